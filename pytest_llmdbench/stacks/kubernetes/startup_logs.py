"""Keeps what engines said until they were ready, and tells how far their memory is from what was estimated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.corrections import default_file
from pytest_llmdbench.capacity.started import facts_of_start, read_started
from pytest_llmdbench.capacity.texts import started_line
from pytest_llmdbench.declared.scenario import Scenario
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


def compared(key: str, scenario: Scenario, logs: Mapping[str, str], say: Say) -> dict[str, Any]:
    """The fact of a stack that sets the memory of its engines beside the estimate, and a line on each.

    ``logs`` are what :func:`save` gave; empty where nothing is known that could be compared. Never raises.
    """
    try:
        fact = facts_of_start(scenario, logs, default_file())
    except Exception as error:  # whatever is wrong with an estimate, the stack is up
        say(f"stack {key}: its memory could not be compared with the estimate: {error!r}")
        return {}
    for one in read_started(fact):
        say(f"stack {key}, {started_line(one)}")
    return fact
