"""The anchor's Job: its container ends once its pod's annotation has not changed for as long as it said. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.stacks.kubernetes.names import OURS, ROLE, RUN

#: What the anchor reads: a number that changes, and for how many seconds it is good.
ALIVE: Final = "llmdbench/alive"
CONTAINER: Final = "anchor"
_FOLDER: Final = "/etc/llmdbench"
#: ``$1`` is the file. Only a change counts, by this node's own clock: clocks of others may differ.
_SCRIPT: Final = """
trap 'exit 0' TERM
last=none until=0
while :; do
  now=$(date +%s)
  read -r beat seconds < "$1" || [ -n "$beat" ] || { beat=$last; seconds=0; }
  if [ "$beat" != "$last" ]; then last=$beat; until=$((now + seconds)); fi
  if [ "$now" -ge "$until" ]; then echo "no sign of life for $seconds s: giving everything back"; exit 0; fi
  sleep 1
done
"""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long things may stay. Seconds.

    ``lease_s`` after the last sign of life; ``hard_s`` in any case.
    """

    lease_s: float = 60.0
    hard_s: float = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Image:
    """What the anchor's container runs: any image with ``sh`` and ``python3``; ours holds the load programs as well."""

    name: str
    pull_policy: str = "IfNotPresent"
    pull_secrets: tuple[str, ...] = ()


def job(run: str, namespace: str, image: Image, bounds: Bounds) -> dict[str, Any]:
    """The Job's manifest. Pure."""
    labels = {**OURS, RUN: run, ROLE: "anchor"}
    container = {
        "name": CONTAINER,
        "image": image.name,
        "imagePullPolicy": image.pull_policy,
        "command": ["sh", "-c", _SCRIPT, CONTAINER, f"{_FOLDER}/alive"],
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "256Mi"}},
        "volumeMounts": [{"name": "alive", "mountPath": _FOLDER}],
    }
    told = {"path": "alive", "fieldRef": {"fieldPath": f"metadata.annotations['{ALIVE}']"}}
    pod = {
        "metadata": {"labels": labels, "annotations": {ALIVE: f"0 {bounds.lease_s:.0f}"}},
        "spec": {
            "imagePullSecrets": [{"name": name} for name in image.pull_secrets],
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 2,
            "containers": [container],
            "volumes": [{"name": "alive", "downwardAPI": {"items": [told]}}],
        },
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": anchor_name(run), "namespace": namespace, "labels": labels},
        "spec": {
            "activeDeadlineSeconds": int(bounds.hard_s),
            "ttlSecondsAfterFinished": 0,
            "backoffLimit": 0,
            "template": pod,
        },
    }


def anchor_name(run: str) -> str:
    """The name of a run's anchor, and of its Lease."""
    return f"llmdbench-{run}"
