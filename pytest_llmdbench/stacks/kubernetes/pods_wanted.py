"""How far a stack's pods, or a Job, are: one line for people, and what is hopeless about them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pytest_llmdbench.errors import counted
from pytest_llmdbench.stacks.kubernetes.anchor_job import anchor_name
from pytest_llmdbench.stacks.kubernetes.events import about, latest
from pytest_llmdbench.stacks.kubernetes.names import RUN, STACK
from pytest_llmdbench.stacks.kubernetes.pod_state import PodState, failing_probe, look
from pytest_llmdbench.stacks.kubernetes.rendered import Expected
from pytest_llmdbench.stacks.kubernetes.trouble import SHORT_S, Trouble, look_at_claim, look_at_maker, not_made

#: All objects, by kind.
Lists = Mapping[str, Sequence[Mapping[str, Any]]]

#: Pods with what they do.
_States = Sequence[tuple[Mapping[str, Any], PodState]]
#: Pods that the line names; of more it says how many.
_NAMED: Final = 3


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the cluster shows.

    ``line`` is for people; ``key`` is the same without what changes all the time. ``detail`` is what an end by deadline
    adds. ``troubles`` are what is hopeless, each with the name of the object that has it.
    """

    done: bool
    line: str
    key: str = ""
    detail: str = ""
    troubles: tuple[tuple[str, Trouble], ...] = ()


def pods_look(expected: Sequence[Expected], lists: Lists, *, wait_for_gpus: bool = False) -> Look:
    """How far the pods of all roles are. ``wait_for_gpus``: it is not hopeless that others have taken the room."""
    roles: list[tuple[bool, str]] = []
    states: list[tuple[Mapping[str, Any], PodState]] = []
    missing: list[Expected] = []
    for role in expected:
        pods = [one for one in lists["Pod"] if _has(one, role.selector)]
        looks = [(pod, look(pod, lists["Event"])) for pod in pods]
        alive = [state for _, state in looks if state.alive]
        ready = sum(state.ready for state in alive)
        many = f" ({len(alive)} there)" if len(alive) > role.count else ""
        enough = ready >= role.count if role.elastic else ready == role.count == len(alive)
        roles.append((enough, f"{role.role} {ready}/{role.count} ready{many}"))
        states += looks
        if len(alive) < role.count:
            missing.append(role)
    makers = list(_not_made(missing, lists))
    troubles = [*_claims([pod for pod, _ in states], lists), *makers, *_of_pods(states)]
    troubles = [one for one in troubles if not (wait_for_gpus and one[1].full)]
    head = ", ".join(text for _, text in roles)
    if missing and all(state.ready for _, state in states):
        head += f"; pods of {', '.join(one.role for one in missing)} are not made yet"
        head += f" ({makers[0][1].why})" if makers else ""
    line, key = _lines(head, states)
    return Look(all(done for done, _ in roles), line, key, _detail(states, lists), tuple(troubles))


def common_labels(expected: Sequence[Expected]) -> dict[str, str]:
    """The labels that the pods of all roles have, to ask for no more than those."""
    return dict(set.intersection(*(set(one.selector.items()) for one in expected))) if expected else {}


def job_look(name: str, lists: Lists) -> Look:
    """How far a Job is. Its pods may fail as often as it allows; what cannot start at all is hopeless at once."""
    job = next((one for one in lists["Job"] if one["metadata"]["name"] == name), None)
    if job is None:
        return Look(False, "it is not there", troubles=((name, Trouble("Gone", "it is not there any more", SHORT_S)),))
    states = [(pod, look(pod, lists["Event"])) for pod in lists["Pod"]]
    alive = [one for one in states if one[1].alive]
    troubles = [*_claims([pod for pod, _ in alive], lists)]
    troubles += [one for one in _of_pods(alive) if one[1].word != "CrashLoopBackOff"]
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["status"] == "True" and condition["type"] == "Complete":
            return Look(True, "complete")
        if condition["status"] == "True" and condition["type"] == "Failed":
            troubles = [_failed(name, condition, states), *troubles]
    if not states and (trouble := _latest_not_made(job, lists)):
        troubles.append((name, trouble))
    failures = int((job.get("status") or {}).get("failed") or 0)
    line, key = _lines(f"running, {counted(failures, 'failure')} so far" if failures else "running", alive)
    return Look(False, line, key, _detail(alive, lists), tuple(troubles))


def _failed(name: str, condition: Mapping[str, Any], states: _States) -> tuple[str, Trouble]:
    """Why a Job has failed: its own words, and those of the pod that failed last."""
    why = f"it failed ({condition.get('reason')}): {condition.get('message')}"
    born = sorted(states, key=lambda one: str(one[0]["metadata"].get("creationTimestamp")))
    for pod, state in reversed(born):
        if state.trouble:
            return pod["metadata"]["name"], Trouble("Failed", f"{why}; {state.trouble.why}", 0.0, state.trouble.crashed)
    # Jobs and pods are watched apart: that of the pod may be a moment behind.
    return name, Trouble("Failed", why, SHORT_S)


def _of_pods(states: _States) -> Iterator[tuple[str, Trouble]]:
    for pod, state in states:
        if state.trouble:
            yield pod["metadata"]["name"], state.trouble


def _claims(pods: Sequence[Mapping[str, Any]], lists: Lists) -> Iterator[tuple[str, Trouble]]:
    """What is wrong with the claims that these pods use."""
    used = {
        volume["persistentVolumeClaim"]["claimName"]
        for pod in pods
        for volume in pod["spec"].get("volumes") or ()
        if "persistentVolumeClaim" in volume
    }
    for claim in lists["PersistentVolumeClaim"]:
        name = claim["metadata"]["name"]
        if name in used and (trouble := look_at_claim(claim, lists["Event"])):
            yield name, trouble


def _not_made(missing: Sequence[Expected], lists: Lists) -> Iterator[tuple[str, Trouble]]:
    """Why pods that should be there are not even made: as ReplicaSets say, or events about what else makes pods."""
    for maker in lists["ReplicaSet"]:
        if maker["spec"].get("replicas") and any(_has(maker, role.selector) for role in missing):
            name = maker["metadata"]["name"]
            if trouble := look_at_maker(maker):
                yield name, trouble
    ours = tuple({_beginning(one.selector) for one in missing if RUN in one.selector})
    others = {}
    for event in lists["Event"]:
        of = event.get("involvedObject") or {}
        if of.get("kind") not in ("Pod", "ReplicaSet") and str(of.get("name")).startswith(ours or ("/",)):
            others[of.get("uid")] = of
    for of in others.values():
        if trouble := _latest_not_made({"metadata": of}, lists):
            yield of["name"], trouble


def _beginning(selector: Mapping[str, str]) -> str:
    """What the names of everything begin with that makes these pods: a stack's, or the run's anchor's."""
    return f"{selector[STACK]}-{selector[RUN]}" if STACK in selector else anchor_name(selector[RUN])


def _latest_not_made(maker: Mapping[str, Any], lists: Lists) -> Trouble | None:
    """What the last event on making pods says, unless it is that one was made."""
    event = latest(about(maker, lists["Event"]), "FailedCreate", "ReplicaSetCreateError", "SuccessfulCreate")
    return not_made(event) if event else None


def _lines(head: str, states: _States) -> tuple[str, str]:
    """The status line with and without times: those not ready yet, the first few by name."""
    open_ones = [(pod["metadata"]["name"], state) for pod, state in states if not state.ready]
    more = f"; and {len(open_ones) - _NAMED} more" if len(open_ones) > _NAMED else ""
    shown = open_ones[:_NAMED]
    key = "".join(f"; {name}: {state.word}" for name, state in shown)
    line = "".join(f"; {name}: {state.word}{_age(state.since)}" for name, state in shown)
    return head + line + more, head + key + more


def _detail(states: _States, lists: Lists) -> str:
    """What probes last said of pods that are not ready, a line each."""
    lines = [
        f"\n  {pod['metadata']['name']}: {said}"
        for pod, state in states
        if not state.ready and (said := failing_probe(pod, lists["Event"]))
    ]
    return "".join(lines[:_NAMED])


def _age(since: datetime | None) -> str:
    """`` for 12 s``; the cluster's clock may be ahead of ours."""
    return f" for {max(0.0, (datetime.now(UTC) - since).total_seconds()):.0f} s" if since else ""


def _has(thing: Mapping[str, Any], selector: Mapping[str, str]) -> bool:
    labels = thing["metadata"].get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.items())
