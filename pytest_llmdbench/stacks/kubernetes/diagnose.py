"""Saves all that can be known of a stack before anything of it is deleted: states, events, logs. Never raises."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

from pytest_llmdbench.errors import counted
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.events import line, ordered
from pytest_llmdbench.stacks.kubernetes.hide import hide, hide_text
from pytest_llmdbench.stacks.kubernetes.names import RUN, STACK
from pytest_llmdbench.stacks.kubernetes.pod_state import look
from pytest_llmdbench.stacks.kubernetes.trouble import containers

#: Lines of one log that are kept, the last ones, and characters of it.
LOG_LINES: Final = 5000
_LOG_CHARACTERS: Final = 4_000_000
#: What is saved beside the pods. A kind that the cluster does not know is passed over.
_KINDS: Final = (
    ("apps/v1", "Deployment"),
    ("apps/v1", "ReplicaSet"),
    ("apps/v1", "StatefulSet"),
    ("leaderworkerset.x-k8s.io/v1", "LeaderWorkerSet"),
    ("batch/v1", "Job"),
    ("v1", "Service"),
    ("v1", "PersistentVolumeClaim"),
    ("inference.networking.k8s.io/v1", "InferencePool"),
)


def save(cluster: Cluster, labels: Mapping[str, str], folder: Path, say: Say) -> Path | None:
    """Write what the cluster knows of the objects with these labels into a folder; ``index.txt`` lists it.

    What cannot be read is noted in its place. Returns the folder, or None if nothing could be written there. Values
    that look like secrets are left out.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        saved = _Saved(cluster, folder)
        saved.all(labels)
        (folder / "index.txt").write_text("\n".join(saved.index) + "\n", encoding="utf-8")
    except Exception as error:  # whatever it is, it must not hide what went wrong before
        say(f"states, events and logs could not be saved in {folder}: {error}")
        return None
    return folder


class _Saved:
    """One folder of diagnostics while it is written."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._folder = folder
        #: One line a file: its name, and what it is about.
        self.index: list[str] = []
        #: Set once the cluster did not answer: each further question would take as long again.
        self._silent = ""

    def all(self, labels: Mapping[str, str]) -> None:
        """Everything, the most telling first."""
        pods = self._objects("v1", "Pod", labels)
        events = self._objects("v1", "Event", None)
        things = {kind: self._objects(version, kind, labels) for version, kind in _KINDS}
        claimed = {volume["persistentVolumeClaim"]["claimName"] for pod in pods for volume in _claims(pod)}
        ours = {one["metadata"]["name"] for one in things["PersistentVolumeClaim"]}
        for name in sorted(claimed - ours):
            if found := self._ask(f"claim {name}", lambda: self._cluster.get("v1", "PersistentVolumeClaim", name)):  # noqa: B023
                things["PersistentVolumeClaim"].append(found)
        for pod in pods:
            self._pod(pod, events)
        self._events(events, [*pods, *(one for kind in things.values() for one in kind)], labels)
        for kind, found in things.items():
            for one in found:
                self._write(f"{kind.lower()}-{one['metadata']['name']}.yaml", _yaml(one), kind)
        for node in sorted({pod["spec"]["nodeName"] for pod in pods if pod["spec"].get("nodeName")}):
            if found := self._ask(f"node {node}", lambda: self._cluster.get("v1", "Node", node)):  # noqa: B023
                self._write(f"node-{node}.yaml", _yaml(found), "Node")

    def _pod(self, pod: dict[str, Any], events: Sequence[Mapping[str, Any]]) -> None:
        name, state = pod["metadata"]["name"], look(pod, events)
        self._write(f"pod-{name}.yaml", _yaml(pod), f"Pod: {state.hopeless or state.word}")
        for _, container in containers(pod):
            part = container["name"]
            runs = {"": False} | ({"-previous": True} if container.get("restartCount") else {})
            for suffix, previous in runs.items():
                text = self._ask(
                    f"log of {name}/{part}{suffix}",
                    lambda: self._cluster.logs(name, part, previous=previous, tail=LOG_LINES),  # noqa: B023
                )
                if text:
                    self._write(
                        f"log-{name}-{part}{suffix}.txt",
                        text[-_LOG_CHARACTERS:],
                        f"log, {counted(len(text.splitlines()), 'line')}",
                    )

    def _events(
        self, events: Sequence[Mapping[str, Any]], things: Sequence[Mapping[str, Any]], labels: Mapping[str, str]
    ) -> None:
        """Those about these objects, and about others of the stack that are gone already."""
        uids = {one["metadata"]["uid"] for one in things}
        base = f"{labels[STACK]}-{labels[RUN]}" if STACK in labels and RUN in labels else "/"
        ours = [
            one
            for one in events
            if one["involvedObject"].get("uid") in uids or str(one["involvedObject"].get("name")).startswith(base)
        ]
        self._write("events.txt", "".join(line(one) + "\n" for one in ordered(ours)), f"{len(ours)} events, by time")

    def _objects(self, version: str, kind: str, labels: Mapping[str, str] | None) -> list[dict[str, Any]]:
        def ask() -> list[dict[str, Any]]:
            return self._cluster.objects(version, kind, labels) if self._cluster.knows(version, kind) else []

        return self._ask(f"{kind}s", ask) or []

    def _ask(self, what: str, ask: Callable[[], Any]) -> Any:
        """An answer of the cluster; None, noted in the index, where there is none."""
        if self._silent:
            self.index.append(f"{what}: not read: {self._silent}")
            return None
        try:
            return ask()
        except ClusterError as error:
            self._silent = str(error) if error.status in (0, 429) or error.status >= 500 else ""
            self.index.append(f"{what}: not read: {error}")
        return None

    def _write(self, name: str, text: str, about: str) -> None:
        safe = re.sub(r"[^\w.-]+", "_", name)
        (self._folder / safe).write_text(hide_text(text), encoding="utf-8")
        self.index.append(f"{safe}: {hide_text(about)}")


def _claims(pod: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in pod["spec"].get("volumes") or () if "persistentVolumeClaim" in one]


def _yaml(thing: Mapping[str, Any]) -> str:
    return yaml.safe_dump(hide(dict(thing)), sort_keys=False, width=120, allow_unicode=True)
