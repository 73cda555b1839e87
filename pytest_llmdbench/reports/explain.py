"""``--llmd-explain``: the merged scenario as YAML, with where each value came from beside it.

Sections of which nothing is said, mostly those of other ways to deploy, are only named.
"""

from __future__ import annotations

from typing import Any

import yaml

from pytest_llmdbench.declared.layers import leaves
from pytest_llmdbench.plan import Plan
from pytest_llmdbench.planned_stack import PlannedStack


def explain(plan: Plan) -> str:
    """All stacks, one after the other. Raises DeclarationError for what cannot be merged."""
    return "\n\n".join(_explain(stack) for stack in plan.stacks)


def _explain(stack: PlannedStack) -> str:
    rows: list[tuple[str, str]] = []
    before: tuple[Any, ...] = ()
    said = {path[0] for path in stack.layers.origins}
    silent = [key for key, value in stack.spec.config.items() if isinstance(value, dict) and key not in said]
    for path, value in leaves({key: value for key, value in stack.spec.config.items() if key not in silent}):
        for depth in range(len(path)):
            if path[: depth + 1] != before[: depth + 1]:
                last = depth == len(path) - 1
                text = "  " * depth + f"{path[depth]}:" + (f" {_scalar(value)}" if last else "")
                rows.append((text, stack.layers.origin(path) if last else ""))
        before = path
    width = min(max(len(text) for text, _ in rows), 70)
    lines = [f"{text.ljust(width)}  # {origin}" if origin else text for text, origin in rows]
    rest = [f"# all default, see docs/reference/scenario.md: {', '.join(silent)}"] if silent else []
    return "\n".join([f"# stack {stack.spec.key}", *lines, *rest])


def _scalar(value: Any) -> str:
    return yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
