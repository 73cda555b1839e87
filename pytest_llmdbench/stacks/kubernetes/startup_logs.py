"""Keeps what engines said until they were ready: how they started can be read from it after their pods are gone."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.hide import hide_text
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered

#: Lines of a log that are read, the last ones: a start has some hundreds for each GPU.
_LINES: Final = 50_000


def save(cluster: Cluster, rendered: Rendered, folder: Path, say: Say) -> dict[str, str]:
    """Write the log of one engine of each role into a folder, and give role -> file.

    Never raises: what cannot be read or written is said and left out. Values that look like secrets are hidden.
    """
    kept: dict[str, str] = {}
    for expected in rendered.expected:
        if expected.role not in rendered.engine_ports:
            continue
        try:
            pods = cluster.objects("v1", "Pod", expected.selector)
            names = sorted(one["metadata"]["name"] for one in pods if not one["metadata"].get("deletionTimestamp"))
            if not names:  # scaled to none
                continue
            text = cluster.logs(names[0], expected.container, tail=_LINES)
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{expected.role}.log"
            file.write_text(hide_text(text), encoding="utf-8")
        except (ClusterError, OSError) as error:
            say(f"how the engine of role {expected.role} started could not be kept: {error}")
            continue
        kept[expected.role] = str(file)
    return kept
