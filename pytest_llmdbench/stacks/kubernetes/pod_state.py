"""What a pod is doing, in a few words, and whether it can still get better. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pytest_llmdbench.stacks.kubernetes.events import about, latest, moment
from pytest_llmdbench.stacks.kubernetes.trouble import (
    SHORT_S,
    Trouble,
    containers,
    how_it_ended,
    last_end,
    of_containers,
)

#: Seconds that a pod may stay without a place before that is taken for final: an autoscaler needs some to say that it
#: makes a node.
UNSCHEDULABLE_S: Final = 8.0
#: Events by which an autoscaler says that a node is on its way.
_SCALING: Final = ("TriggeredScaleUp", "Nominated")
_CLAIM: Final = "create the claim, or name another one (storage.pvc, pods.volumes)"


@dataclass(frozen=True, slots=True)
class PodState:
    """What one pod is doing.

    ``word`` is for people; ``since`` is the cluster's time, None where it does not say. ``alive`` is False for a pod
    that has ended or is about to. ``trouble`` is why it cannot get better.
    """

    word: str
    since: datetime | None = None
    ready: bool = False
    alive: bool = True
    trouble: Trouble | None = None

    @property
    def hopeless(self) -> str | None:
        """Why it cannot get better, with the way out."""
        return self.trouble.why if self.trouble else None


def look(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> PodState:
    """What a pod is doing. ``events`` may hold those of others."""
    ended = _ended(pod, events)
    if ended is not None:
        return ended
    conditions = {one["type"]: one for one in (pod.get("status") or {}).get("conditions") or ()}
    ready = conditions.get("Ready") or {}
    changed = moment(ready.get("lastTransitionTime"))
    if ready.get("status") == "True":
        return PodState("ready", changed, ready=True)
    scheduled = conditions.get("PodScheduled") or {}
    if scheduled.get("status") != "True":
        return _unscheduled(pod, scheduled, events)
    if trouble := of_containers(pod, events):
        return PodState(trouble.word, changed, trouble=trouble)
    if lost_node(pod):
        node = pod["spec"].get("nodeName", "?")
        why = (
            f"pod {pod['metadata']['name']}: its containers are ready, but node {node} does not answer any more "
            f"(NodeNotReady); look at 'kubectl describe node {node}', or choose other nodes (pods.node_selector)"
        )
        return PodState(f"node {node} is not ready", changed, trouble=Trouble("NodeNotReady", why, SHORT_S))
    return _on_its_way(pod, ready, about(pod, events))


def failing_probe(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> str | None:
    """What the last probe that failed said: ``Readiness probe failed: HTTP probe failed with statuscode: 503``."""
    event = latest(about(pod, events), "Unhealthy")
    return str(event["message"]).strip() if event else None


def lost_node(pod: Mapping[str, Any]) -> bool:
    """Whether a pod is well as far as its node said, but is called not ready: then the node does not answer."""
    status = pod.get("status") or {}
    ready: Mapping[str, Any] = next((one for one in status.get("conditions") or () if one["type"] == "Ready"), {})
    well = [one["ready"] for one in status.get("containerStatuses") or ()]
    return (
        ready.get("status") == "False" and ready.get("reason") != "ReadinessGatesNotReady" and bool(well) and all(well)
    )


def _ended(pod: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> PodState | None:
    """A pod that has ended, or has been told to."""
    if pod["metadata"].get("deletionTimestamp"):
        return PodState("terminating", alive=False)
    name, status = pod["metadata"]["name"], pod.get("status") or {}
    phase, reason, message = status.get("phase"), status.get("reason"), (status.get("message") or "").strip()
    if phase not in ("Failed", "Succeeded"):
        return None
    if phase == "Failed" and reason:
        out = "; give it more room (pods.memory, pods.ephemeral_storage) or other nodes (pods.node_selector)"
        why = f"pod {name} was ended by its node ({reason}): {message.rstrip('.')}{out if reason == 'Evicted' else ''}"
        return PodState(reason.lower(), alive=False, trouble=Trouble(reason, why))
    for _, container in containers(pod):
        end = last_end(container)
        if end and end[0].get("exitCode"):
            how, crashed = how_it_ended(pod, container["name"], end[0]), (container["name"], end[1])
            why = f"pod {name} failed: container {container['name']}: {how}"
            return PodState("failed", alive=False, trouble=Trouble("Failed", why, crashed=crashed))
    if phase == "Failed":
        told = about(pod, events)
        why = f"pod {name} failed: {told[-1]['message'] if told else 'Kubernetes does not say why'}"
        return PodState("failed", alive=False, trouble=Trouble("Failed", why))
    why = f"pod {name}: all its containers have ended, with success, where a server should run"
    return PodState("ended", alive=False, trouble=Trouble("Succeeded", why))


def _unscheduled(pod: Mapping[str, Any], scheduled: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> PodState:
    """A pod without a node."""
    since = moment(scheduled.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp"))
    message = (scheduled.get("message") or "").strip().rstrip(".")
    if scheduled.get("reason") != "Unschedulable":
        return PodState(f"Pending: {scheduled.get('reason') or 'waiting for the scheduler'}", since)
    if scaling := latest(about(pod, events), *_SCALING):
        return PodState(f"Pending: waiting for a new node ({scaling['message']})", since)
    word = f"Pending: unschedulable ({message})"
    # A claim that is not bound yet says itself whether it ever will be.
    if "unbound immediate PersistentVolumeClaims" in message:
        return PodState(word, since)
    full = "Insufficient" in message
    out = "look at the nodes' labels and taints against pods.node_selector, pods.tolerations and accelerator.product"
    if full:
        # Of a node's own resources, those that others bring along have a domain in their name.
        wait = (
            ", or wait until they are free with --llmd-wait-for-gpus"
            if "/" in message.partition("Insufficient")[2]
            else ""
        )
        out = f"ask for less (pods), or free the nodes{wait}"
    elif "persistentvolumeclaim" in message:
        out = _CLAIM
    why = f"pod {pod['metadata']['name']} is unschedulable: {message}; {out}"
    return PodState(word, since, trouble=Trouble("Unschedulable", why, UNSCHEDULABLE_S, full=full))


def _on_its_way(pod: Mapping[str, Any], ready: Mapping[str, Any], told: Sequence[Mapping[str, Any]]) -> PodState:
    """A pod on a node with nothing wrong: how far it is."""
    for first, container in containers(pod):
        state = container.get("state") or {}
        running, again = state.get("running"), container.get("restartCount", 0)
        if first and running and not container.get("started"):
            return PodState(f"running init container {container['name']}", moment(running.get("startedAt")))
        if not first and running and not container.get("ready"):
            word = f"restarted {again}x, loading (not ready)" if again else "loading (not ready)"
            return PodState(word, moment(running.get("startedAt")))
    born = moment(pod["status"].get("startTime") or pod["metadata"].get("creationTimestamp"))
    if ready.get("reason") == "ReadinessGatesNotReady":
        return PodState(f"waiting for its readiness gates ({ready.get('message', '')})", born)
    step = latest(told, "Pulling", "Pulled", "Failed", "FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox")
    if step and step["reason"] == "Pulling":
        return PodState("pulling image", moment(step))
    if step and step["reason"].startswith("Failed"):
        return PodState(f"starting ({step['message'][:160]})", born)
    return PodState("starting", born)
