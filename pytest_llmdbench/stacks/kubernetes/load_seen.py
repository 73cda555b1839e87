"""What the pods of a load are doing: up, at their end, gone, or without hope. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pytest_llmdbench.stacks.kubernetes.events import latest, ordered
from pytest_llmdbench.stacks.kubernetes.load_manifest import LOAD
from pytest_llmdbench.stacks.kubernetes.pod_state import PodState, look
from pytest_llmdbench.stacks.kubernetes.trouble import Trouble, containers, not_made

#: What the words for serving pods are called for load pods.
_KEYS: Final = {
    "engine.image": "load.image",
    "engine.pull_policy": "load.pull_policy",
    "pods.node_selector, pods.tolerations and accelerator.product": "load.node_selector and load.tolerations",
    "pods.node_selector": "load.node_selector",
    "pods.memory": "load.memory",
    "storage.pvc, pods.volumes": "load.results_pvc",
    "ask for less (pods)": "ask for less (load.cpu, load.memory, load.parallelism)",
    ", or wait until they are free with --llmd-wait-for-gpus": "",
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One look at the pods of a load.

    ``pods`` are their names, in order; ``up`` when all are there with everything running. ``ended`` maps a pod to the
    ``terminated`` state of its load program. ``troubles`` are what is hopeless, by what has it; ``line`` is for people.
    """

    pods: tuple[str, ...] = ()
    up: bool = False
    ended: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    troubles: tuple[tuple[str, Trouble], ...] = ()
    line: str = "no answer from the cluster yet"


def seen(lists: Mapping[str, Sequence[Mapping[str, Any]]], job: str, count: int) -> Seen:
    """What the listed pods and events show of a load of ``count`` pods, made by the Job of this name."""
    events = lists["Event"]
    pods = sorted(lists["Pod"], key=lambda one: str(one["metadata"]["name"]))
    states = [(str(pod["metadata"]["name"]), look(pod, events)) for pod in pods]
    ended = {name: state for pod in pods if (state := _program_ended(pod)) and (name := pod["metadata"]["name"])}
    alive = [(name, state) for name, state in states if state.alive]
    up = [name for name, state in alive if state.ready]
    troubles = [(name, in_our_words(state.trouble)) for name, state in states if state.trouble and name not in ended]
    if len(alive) < count and (trouble := _not_made(events, job)):
        troubles.append((job, in_our_words(trouble)))
    waiting = "".join(f"; {name}: {state.word}" for name, state in states if not state.ready)
    return Seen(
        tuple(name for name, _ in alive),
        len(up) == len(alive) == count,
        ended,
        tuple(troubles),
        f"{len(up)}/{count} load pods up{waiting}",
    )


def gone(pods: Sequence[str], lists: Mapping[str, Sequence[Mapping[str, Any]]]) -> str | None:
    """What has happened to one of these pods that ended its load from outside, in a sentence; None if nothing has."""
    there = {one["metadata"]["name"]: one for one in lists["Pod"]}
    for name in pods:
        pod = there.get(name)
        if pod is None:
            return f"load pod {name} was deleted"
        state: PodState = look(pod, lists["Event"])
        if state.alive or _program_ended(pod):
            continue
        if state.trouble:
            return in_our_words(state.trouble).why
        return f"load pod {name} is being deleted"
    return None


def in_our_words(trouble: Trouble) -> Trouble:
    """The same with the keys of a load where it names those of serving pods."""
    why = trouble.why
    for theirs, ours in _KEYS.items():
        why = why.replace(theirs, ours)
    return Trouble(trouble.word, why, trouble.patience_s, trouble.crashed, trouble.full)


def _program_ended(pod: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """How the load program's container ended, if it has."""
    for _, container in containers(pod):
        if container["name"] == LOAD:
            ended: Mapping[str, Any] | None = (container.get("state") or {}).get("terminated")
            return ended
    return None


def _not_made(events: Sequence[Mapping[str, Any]], job: str) -> Trouble | None:
    """Why the Job cannot make its pods, as its last event says."""
    own = [one for one in events if (one.get("involvedObject") or {}).get("name") == job]
    event = latest(ordered(own), "FailedCreate", "SuccessfulCreate")
    return not_made(event) if event else None
