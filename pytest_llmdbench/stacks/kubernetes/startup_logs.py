"""Keeps what engines said until they were ready, and tells how far their memory is from what was estimated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.corrections import default_file
from pytest_llmdbench.capacity.engines import Role, name_of, roles
from pytest_llmdbench.capacity.products import Product, is_unnamed, product_of_node
from pytest_llmdbench.capacity.started import facts_of_start, products_of_start, read_started, without_gpu
from pytest_llmdbench.capacity.texts import started_line
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.say import Say
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.hide import hide_text
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered

#: Lines of a log that are read, the last ones: a start has some hundreds for each GPU.
_LINES: Final = 50_000
#: Seconds for which a node is asked for: a stack that is up does not wait for the name of its GPU.
_NODE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Kept:
    """The log of one engine, in a file, and the node that it is on."""

    file: str
    node: str


def save(cluster: Cluster, rendered: Rendered, folder: Path, say: Say) -> dict[str, Kept]:
    """Write the log of one engine of each role into a folder, and give what was kept by role.

    Never raises: what cannot be read or written is said and left out. Values that look like secrets are hidden.
    """
    kept: dict[str, Kept] = {}
    for expected in rendered.expected:
        if expected.role not in rendered.engine_ports:
            continue
        try:
            pods = cluster.objects("v1", "Pod", expected.selector)
            there = [one for one in pods if not one["metadata"].get("deletionTimestamp")]
            if not there:  # scaled to none
                continue
            pod = min(there, key=lambda one: str(one["metadata"]["name"]))
            text = cluster.logs(pod["metadata"]["name"], expected.container, tail=_LINES)
            folder.mkdir(parents=True, exist_ok=True)
            file = folder / f"{expected.role}.log"
            file.write_text(hide_text(text), encoding="utf-8")
        except (ClusterError, OSError) as error:
            say(f"how the engine of role {expected.role} started could not be kept: {error}")
            continue
        kept[expected.role] = Kept(str(file), pod["spec"].get("nodeName") or "")
    return kept


def products(cluster: Cluster, scenario: Scenario, kept: Mapping[str, Kept]) -> dict[Role, Product]:
    """What the nodes of engines call their GPUs, where the scenario does not; what may not be read is left out."""
    found: dict[Role, Product] = {}
    for role in roles(scenario) if is_unnamed(scenario.accelerator) else ():
        node = kept[name_of(role)].node if name_of(role) in kept else ""
        try:
            thing = cluster.impatient(_NODE_S).get("v1", "Node", node) if node else None
        except ClusterError:  # nearly always for want of the right, which people need for nothing else
            return found
        labels = (thing or {}).get("metadata", {}).get("labels") or {}
        if product := product_of_node(labels, scenario.accelerator, "its node"):
            found[role] = product
    return found


def compared(
    key: str, scenario: Scenario, logs: Mapping[str, str], say: Say, nodes: Mapping[Role, Product] | None = None
) -> dict[str, Any]:
    """The fact of a stack that sets the memory of its engines beside the estimate, and a line on each.

    ``logs`` are the files by role, and ``nodes`` what :func:`products` gave. Empty where nothing is known that could be
    compared; where the GPU is all that is not known, a line says what would tell it. Never raises.
    """
    try:
        found = products_of_start(scenario, logs, nodes or {})
        fact, without = facts_of_start(scenario, logs, default_file(), found), without_gpu(scenario, logs, found)
    except Exception as error:  # whatever is wrong with an estimate, the stack is up
        say(f"stack {key}: its memory could not be compared with the estimate: {error!r}")
        return {}
    for one in read_started(fact):
        say(f"stack {key}, {started_line(one)}")
    if without:
        say(
            f"stack {key}: the memory of {' and '.join(without)} is not compared with the estimate, as the GPU is not "
            f"known: set accelerator.product, or let this run read nodes with the label {scenario.accelerator.label}"
        )
    return fact
