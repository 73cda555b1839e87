"""What cannot get better in a cluster, and the way out: of containers, of claims, of what makes pods. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.stacks.kubernetes.events import about, latest

#: Seconds that what often mends itself (a cache not yet filled, a node that is late) may last.
SHORT_S: Final = 4.0
#: What a registry says when asking again does not help.
_FINAL_PULL: Final = (
    "not found", "denied", "unauthorized", "authentication required", "forbidden", "manifest unknown", "no basic auth",
)  # fmt: skip
#: Restarts after which a crash is no accident: one that comes late (a slow loader) never leads to a back-off.
_RESTARTS: Final = 2
_EXIT_CODES: Final = {
    126: "its command cannot be run",
    127: "its command was not found",
    128: "it could not be started",
    134: "it aborted itself",
    137: "it was killed, for memory or by a probe",
    139: "a segmentation fault",
    143: "it was told to end",
}
_CREATE: Final = "create what is missing, or name another one"
#: Events by which a controller says that it cannot make what it should.
_NOT_MADE: Final = ("FailedCreate", "ReplicaSetCreateError")


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something that cannot get better once it has been so for ``patience_s`` seconds.

    ``word`` is Kubernetes' own for it, ``why`` a sentence with the way out. ``crashed`` is the container whose log
    tells more, and whether it is that of its previous incarnation. ``full``: it would pass if others left the cluster.
    """

    word: str
    why: str
    patience_s: float = 0.0
    crashed: tuple[str, bool] | None = None
    full: bool = False


def containers(pod: Mapping[str, Any]) -> Iterator[tuple[bool, Mapping[str, Any]]]:
    """Init containers (True) and then containers (False) of a pod, by their status."""
    status = pod.get("status") or {}
    for first, key in ((True, "initContainerStatuses"), (False, "containerStatuses")):
        for container in status.get(key) or ():
            yield first, container


def last_end(container: Mapping[str, Any]) -> tuple[Mapping[str, Any], bool] | None:
    """How a container last ended, from its status, and whether that was a previous incarnation."""
    for state, previous in (("state", False), ("lastState", True)):
        if ended := (container.get(state) or {}).get("terminated"):
            return ended, previous
    return None


def how_it_ended(pod: Mapping[str, Any], name: str, ended: Mapping[str, Any]) -> str:
    """What a ``terminated`` state says: ``exit code 127: its command was not found``, or that memory was short."""
    code, message = ended.get("exitCode"), (ended.get("message") or "").strip()
    if ended.get("reason") == "OOMKilled":
        return f"OOMKilled: {_memory(pod, name)}"
    meaning = message[-300:] or _EXIT_CODES.get(code if isinstance(code, int) else 0, "")
    return f"exit code {code}" + (f": {meaning}" if meaning else "")


def of_containers(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Trouble | None:
    """What is wrong with a pod's containers, those that run before the others first."""
    told = about(pod, events)
    for first, container in containers(pod):
        where = f"pod {pod['metadata']['name']}: {'init container' if first else 'container'} {container['name']}"
        waiting = (container.get("state") or {}).get("waiting") or {}
        reason, message = waiting.get("reason") or "", (waiting.get("message") or "").strip()
        found = _image(reason, message, told) or _start(reason, message, told)
        if found:
            return Trouble(reason, f"{where}: {found[0]}", found[1])
        end = last_end(container)
        if container.get("ready") or end is None:
            continue
        how, crashed = how_it_ended(pod, container["name"], end[0]), (container["name"], end[1])
        if end[0].get("reason") == "OOMKilled":
            return Trouble("OOMKilled", f"{where} was {how}", crashed=crashed)
        if reason == "CrashLoopBackOff" or (container.get("restartCount", 0) >= _RESTARTS and end[0].get("exitCode")):
            return Trouble(
                "CrashLoopBackOff", f"{where} crashes again and again ({how}){_killed(told)}", crashed=crashed
            )
    return None


def look_at_claim(claim: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Trouble | None:
    """Why a PersistentVolumeClaim will not be bound; None while it may, or is."""
    name, phase = claim["metadata"]["name"], (claim.get("status") or {}).get("phase")
    if phase == "Lost":
        return Trouble("Lost", f"claim {name} has lost its volume; delete the claim, or name another one (storage.pvc)")
    failed = latest(about(claim, events), "ProvisioningFailed", "FailedBinding")
    if (
        phase != "Pending"
        or failed is None
        or any(word in failed["message"] for word in ("Deadline", "already exists"))
    ):
        return None
    why = f"claim {name} cannot be bound ({failed['reason']}): {failed['message']}"
    out = (
        "set storage.storage_class to a class that the cluster has ('kubectl get storageclass'), or name another claim"
    )
    return Trouble(failed["reason"], f"{why}; {out} (storage.pvc)", SHORT_S)


def look_at_maker(maker: Mapping[str, Any]) -> Trouble | None:
    """Why a ReplicaSet cannot even make its pods, as its own status says."""
    for condition in (maker.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "ReplicaFailure" and condition.get("status") == "True":
            return _not_made(str(condition.get("reason")), str(condition.get("message")))
    return None


def not_made(event: Mapping[str, Any]) -> Trouble | None:
    """The same for any other kind, from an event about it."""
    return _not_made(event["reason"], event["message"]) if event.get("reason") in _NOT_MADE else None


def _not_made(reason: str, message: str) -> Trouble:
    out = "ask the namespace's owner"
    full = "exceeded quota" in message
    if full:
        out = "ask for less (pods), free what the quota counts, or use another namespace (cluster.namespace)"
    return Trouble(reason, f"its pods cannot be made ({reason}): {message}; {out}", SHORT_S, full=full)


def _image(reason: str, message: str, told: Sequence[Mapping[str, Any]]) -> tuple[str, float] | None:
    """Why an image cannot be had, with the way out, and the patience."""
    if reason == "ImagePullBackOff" or (reason == "ErrImagePull" and any(w in message.lower() for w in _FINAL_PULL)):
        pulls = [one for one in told if one.get("reason") == "Failed" and "pull image" in one.get("message", "")]
        known = reason == "ErrImagePull" or bool(pulls)
        cause = pulls[-1]["message"] if reason == "ImagePullBackOff" and pulls else message
        out = "correct engine.image, or name the Secret to pull it with in cluster.image_pull_secrets"
        # The event that says why may come after the state that it is about.
        return f"its image cannot be pulled ({reason}): {cause}; {out}", 0.0 if known else SHORT_S
    if reason in ("ErrImageNeverPull", "InvalidImageName", "ImageInspectError"):
        out = "set engine.pull_policy to IfNotPresent" if reason == "ErrImageNeverPull" else "correct engine.image"
        return f"its image cannot be used ({reason}): {message}; {out}", 0.0
    return None


def _start(reason: str, message: str, told: Sequence[Mapping[str, Any]]) -> tuple[str, float] | None:
    """Why a container cannot be started, with the way out, and the patience."""
    if reason == "CreateContainerConfigError":
        return f"it cannot be configured ({reason}): {message}; {_CREATE}", SHORT_S if "cache" in message else 0.0
    if reason in ("CreateContainerError", "RunContainerError"):
        return f"it cannot be started ({reason}): {message}; look at its command, its volumes and its node", SHORT_S
    if reason in ("ContainerCreating", "PodInitializing"):
        mount = latest(told, "FailedMount", "FailedAttachVolume")
        if mount and "not found" in mount["message"]:
            return f"a volume cannot be mounted ({mount['reason']}): {mount['message']}; {_CREATE}", SHORT_S
    return None


def _memory(pod: Mapping[str, Any], name: str) -> str:
    """What to do about too little memory: the limit that was hit, and the key that raises it."""
    spec = pod.get("spec") or {}
    for container in [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]:
        limit = ((container.get("resources") or {}).get("limits") or {}).get("memory")
        if container["name"] == name and limit:
            return f"it needs more than its memory limit of {limit}; raise pods.memory"
    return "its node has no more memory, and it has no limit of its own; set pods.memory"


def _killed(told: Sequence[Mapping[str, Any]]) -> str:
    """That a probe killed a container, where one did."""
    event = latest(told, "Killing")
    return f"; {event['message']}: see pods.startup_s" if event and "probe" in event.get("message", "") else ""
