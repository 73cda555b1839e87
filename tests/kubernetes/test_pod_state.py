"""What pods and claims of a real cluster (tests/data/kubernetes/objects.json) are said to be doing."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any, Final

import pytest

from pytest_llmdbench.stacks.kubernetes.pod_state import failing_probe, look, lost_node
from pytest_llmdbench.stacks.kubernetes.pods_wanted import job_look, pods_look
from pytest_llmdbench.stacks.kubernetes.rendered import Expected
from pytest_llmdbench.stacks.kubernetes.trouble import look_at_claim, look_at_maker

_RECORDED: Final = json.loads(
    (Path(__file__).parents[1] / "data" / "kubernetes" / "objects.json").read_text(encoding="utf-8")
)
_ROLE: Final = {"llmdbench/run": "x7k2m9", "llmdbench/stack": "h100", "llmdbench/role": "decode"}
_DECODE: Final = Expected("decode", _ROLE, 1, "engine")


def _recorded(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    one = copy.deepcopy(_RECORDED[name])
    one["object"]["metadata"]["labels"] = dict(_ROLE)
    return one["object"], one["events"]


def _lists(*pods: dict[str, Any], events: list[dict[str, Any]] | None = None, **more: Any) -> dict[str, Any]:
    return {"Pod": list(pods), "Event": events or [], "PersistentVolumeClaim": [], "ReplicaSet": [], "Job": []} | more


@pytest.mark.parametrize(
    ("name", "cause", "way_out"),
    [
        ("absent-never", "not present with pull policy of Never", "engine.pull_policy"),
        ("absent-pull", 'Failed to pull image "llmdbench.local/absent:1"', "cluster.image_pull_secrets"),
        ("invalid-name", "invalid reference format", "engine.image"),
        ("secret-missing", 'secret "llm-d-hf-token" not found', "create what is missing"),
        ("mount-missing", 'secret "not-there" not found', "create what is missing"),
        ("crash", "container engine crashes again and again (exit code 3)", ""),
        ("init-crash", "init container fetch crashes again and again (exit code 7)", ""),
        ("no-program", 'exec: "vllm-not-there": executable file not found', ""),
        ("oom", "container engine was OOMKilled: it needs more than its memory limit of 64Mi", "raise pods.memory"),
        ("unschedulable", "0/1 nodes are available: 1 Insufficient nvidia.com/gpu", "--llmd-wait-for-gpus"),
        ("claim-absent", 'persistentvolumeclaim "absent" not found', "create the claim"),
        ("evicted", "(Evicted): Pod ephemeral local storage usage exceeds", "pods.ephemeral_storage"),
        ("failed", "pod failed failed: container engine: exit code 4", ""),
        ("lost-node", "node silent does not answer any more (NodeNotReady)", "kubectl describe node silent"),
    ],
)
def test_what_cannot_get_better_is_said_with_its_cause_and_the_way_out(name: str, cause: str, way_out: str) -> None:
    pod, events = _recorded(name)
    hopeless = look(pod, events).hopeless
    assert hopeless is not None
    assert hopeless.startswith(f"pod {name}")
    assert cause in hopeless
    assert way_out in hopeless


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("ready", "ready"),
        ("not-ready", "loading (not ready)"),
        ("claim-unbound", "Pending: unschedulable (0/1 nodes are available: 1 pod has unbound immediate"),
    ],
)
def test_what_may_get_better_is_told_and_not_hopeless(name: str, word: str) -> None:
    pod, events = _recorded(name)
    state = look(pod, events)
    assert state.word.startswith(word)
    assert state.since is not None
    assert state.hopeless is None


def test_a_pod_that_an_image_is_pulled_for_says_so() -> None:
    pod, events = _recorded("absent-pull")
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ContainerCreating"}}
    assert look(pod, [one for one in events if one["reason"] in ("Scheduled", "Pulling")]).word == "pulling image"


def test_a_pull_that_failed_on_the_network_is_tried_again_and_one_that_was_refused_is_not() -> None:
    pod, events = _recorded("absent-pull")
    waiting = {"reason": "ErrImagePull", "message": "dial tcp: lookup registry.example: Temporary failure"}
    pod["status"]["containerStatuses"][0]["state"] = {"waiting": waiting}
    assert look(pod, events).hopeless is None
    waiting["message"] = "unexpected status: 401 Unauthorized"
    assert look(pod, events).hopeless is not None


def test_a_pod_that_an_autoscaler_makes_a_node_for_is_not_hopeless() -> None:
    pod, events = _recorded("unschedulable")
    said = {**events[-1], "reason": "TriggeredScaleUp", "message": "pod triggered scale-up: [{pool 1->2 (max: 4)}]"}
    state = look(pod, [*events, said])
    assert state.hopeless is None
    assert "waiting for a new node" in state.word


def test_who_waits_for_gpus_waits_for_a_full_cluster_and_nobody_else_does() -> None:
    pod, events = _recorded("unschedulable")
    lists = _lists(pod, events=events)
    assert [trouble.word for _, trouble in pods_look([_DECODE], lists).troubles] == ["Unschedulable"]
    assert pods_look([_DECODE], lists, wait_for_gpus=True).troubles == ()


def test_a_place_may_be_found_for_some_seconds_and_a_crash_is_final_at_once() -> None:
    patience = {}
    for name in ("unschedulable", "crash"):
        trouble = look(*_recorded(name)).trouble
        assert trouble is not None
        patience[name] = trouble.patience_s
    assert patience["unschedulable"] > patience["crash"] == 0


def test_one_crash_may_be_an_accident() -> None:
    pod, events = _recorded("crash")
    pod["status"]["containerStatuses"][0] |= {
        "restartCount": 1,
        "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
    }
    state = look(pod, events)
    assert state.hopeless is None
    assert state.word == "restarted 1x, loading (not ready)"
    pod["status"]["containerStatuses"][0]["restartCount"] = 2
    assert look(pod, events).hopeless is not None, "a slow loader that crashes never gets a back-off"


def test_the_log_that_tells_of_a_crash_is_that_of_the_previous_incarnation() -> None:
    trouble = look(*_recorded("crash")).trouble
    assert trouble is not None
    assert trouble.crashed == ("engine", True)


def test_events_of_other_pods_are_not_mixed_in() -> None:
    pod, events = _recorded("not-ready")
    assert failing_probe(pod, _recorded("not-ready-http")[1]) is None
    assert (
        failing_probe(*_recorded("not-ready-http")) == "Readiness probe failed: HTTP probe failed with statuscode: 404"
    )
    assert failing_probe(pod, events) == "Readiness probe failed:"


def test_a_readiness_gate_is_not_taken_for_a_lost_node() -> None:
    pod, _ = _recorded("lost-node")
    assert lost_node(pod)
    ready = next(one for one in pod["status"]["conditions"] if one["type"] == "Ready")
    ready |= {"reason": "ReadinessGatesNotReady", "message": "corresponding condition of pod readiness gate is missing"}
    assert not lost_node(pod)
    assert look(pod, []).hopeless is None


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("no-class", "no persistent volumes available for this claim and no storage class is set"),
        ("unknown-class", 'storageclass.storage.k8s.io "fast" not found'),
    ],
)
def test_a_claim_that_nothing_will_bind_is_hopeless(name: str, cause: str) -> None:
    trouble = look_at_claim(*_recorded(name))
    assert trouble is not None
    assert cause in trouble.why
    assert "storage.storage_class" in trouble.why


def test_a_claim_that_waits_for_its_first_consumer_is_not_hopeless() -> None:
    assert look_at_claim(*_recorded("later")) is None


def test_a_terminating_pod_does_not_count_and_one_too_many_is_not_ready() -> None:
    first, _ = _recorded("ready")
    second, _ = _recorded("ready")
    second["metadata"] |= {"name": "other", "uid": "other"}
    assert pods_look([_DECODE], _lists(first)).done
    both = pods_look([_DECODE], _lists(first, second))
    assert not both.done
    assert both.line.startswith("decode 2/1 ready (2 there)")
    second["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pods_look([_DECODE], _lists(first, second)).done


def test_pods_that_are_not_even_made_are_explained_by_what_should_make_them() -> None:
    said = 'pods "h100-x7k2m9-decode-5c" is forbidden: exceeded quota: gpus, requested: nvidia.com/gpu=2, used: 8'
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": said}
    maker = {
        "metadata": {"name": "h100-x7k2m9-decode-5c", "labels": _ROLE}, "spec": {"replicas": 1},
        "status": {"conditions": [failure]},
    }  # fmt: skip
    trouble = look_at_maker(maker)
    assert trouble is not None
    shown = pods_look([_DECODE], _lists(ReplicaSet=[maker]))
    assert shown.troubles == (("h100-x7k2m9-decode-5c", trouble),)
    assert said in shown.line


def test_pods_of_other_kinds_that_are_not_made_are_explained_by_the_last_event_about_it() -> None:
    of = {"kind": "StatefulSet", "name": "h100-x7k2m9-decode", "uid": "set"}
    failed = {
        "metadata": {"resourceVersion": "1"}, "involvedObject": of, "reason": "FailedCreate", "message": "forbidden",
        "lastTimestamp": "2026-01-01T00:00:00Z",
    }  # fmt: skip
    made = {**failed, "reason": "SuccessfulCreate", "lastTimestamp": "2026-01-01T00:00:05Z"}
    assert [who for who, _ in pods_look([_DECODE], _lists(events=[failed])).troubles] == ["h100-x7k2m9-decode"]
    assert pods_look([_DECODE], _lists(events=[failed, made])).troubles == ()


def test_a_job_may_fail_as_often_as_it_allows() -> None:
    pod, events = _recorded("failed")
    job: dict[str, Any] = {"metadata": {"name": "download", "uid": "job"}, "status": {"failed": 1}}
    shown = job_look("download", _lists(pod, events=events, Job=[job]))
    assert (shown.done, shown.troubles) == (False, ())
    assert "1 failure so far" in shown.line
    why = {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded", "message": "reached the limit"}
    job["status"]["conditions"] = [why]
    ((_, trouble),) = job_look("download", _lists(pod, events=events, Job=[job])).troubles
    assert "BackoffLimitExceeded" in trouble.why
    assert "exit code 4" in trouble.why
    assert trouble.crashed == ("engine", False)
    # What its pod says may come a moment later.
    ((_, early),) = job_look("download", _lists(Job=[job])).troubles
    assert early.patience_s > trouble.patience_s
