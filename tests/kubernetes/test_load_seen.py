"""What the pods of a load are seen to do."""

from __future__ import annotations

from typing import Any

from pytest_llmdbench.stacks.kubernetes.load_seen import gone, seen


def pod(
    name: str, *, ready: bool = True, ended: dict[str, Any] | None = None, phase: str = "Running"
) -> dict[str, Any]:
    """A load pod as the cluster describes it."""
    state: dict[str, Any] = (
        {"terminated": ended} if ended else {"running": {}} if ready else {"waiting": {"reason": "x"}}
    )
    up = ready and not ended
    return {
        "metadata": {"name": name, "uid": name},
        "spec": {"containers": [{"name": "load", "resources": {"limits": {"memory": "64Mi"}}}]},
        "status": {
            "phase": phase,
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "True" if up else "False"},
            ],
            "containerStatuses": [{"name": "load", "ready": up, "restartCount": 0, "state": state}],
        },
    }


def lists(*pods: dict[str, Any], events: tuple[dict[str, Any], ...] = ()) -> dict[str, list[dict[str, Any]]]:
    return {"Pod": list(pods), "Event": list(events)}


def test_a_load_is_up_when_all_its_pods_are() -> None:
    assert not seen(lists(pod("a")), "job", 2).up
    assert not seen(lists(pod("a"), pod("b", ready=False)), "job", 2).up
    both = seen(lists(pod("b"), pod("a")), "job", 2)
    assert both.up
    assert both.pods == ("a", "b")


def test_the_end_of_a_program_is_no_trouble_of_its_pod() -> None:
    look = seen(lists(pod("a", ended={"exitCode": 3, "reason": "Error"})), "job", 1)
    assert look.ended["a"]["exitCode"] == 3
    assert look.troubles == ()
    assert gone(["a"], lists(pod("a", ended={"exitCode": 3}))) is None


def test_what_keeps_a_pod_from_starting_names_the_keys_of_the_load() -> None:
    waiting = pod("a", ready=False)
    waiting["status"]["containerStatuses"][0]["state"] = {
        "waiting": {"reason": "ErrImageNeverPull", "message": "image nowhere:1 is not present"}
    }
    ((_, trouble),) = seen(lists(waiting), "job", 1).troubles
    assert "load.pull_policy" in trouble.why
    assert "engine." not in trouble.why


def test_a_job_that_may_not_make_its_pods_says_why() -> None:
    event = {
        "metadata": {"resourceVersion": "1"},
        "involvedObject": {"kind": "Job", "name": "job", "uid": "j"},
        "reason": "FailedCreate",
        "message": "exceeded quota: small",
    }
    ((who, trouble),) = seen(lists(events=(event,)), "job", 1).troubles
    assert who == "job"
    assert "exceeded quota: small" in trouble.why


def test_a_pod_that_is_taken_away_is_named() -> None:
    deleted = pod("b")
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    evicted = pod("b", phase="Failed")
    evicted["status"] |= {"reason": "Evicted", "message": "The node was low on resource: memory."}
    assert gone(["a", "b"], lists(pod("a"), pod("b"))) is None
    assert gone(["a", "b"], lists(pod("a"))) == "load pod b was deleted"
    assert gone(["a", "b"], lists(pod("a"), deleted)) == "load pod b is being deleted"
    assert "low on resource" in (gone(["a", "b"], lists(pod("a"), evicted)) or "")
