"""Filling in what a profile leaves open, without touching the profile itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def subsection(tree: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping below ``key``, a copy that stands there from now on; made if there is none."""
    value = dict(tree.get(key) or {})
    tree[key] = value
    return value


def default(tree: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Set what is not there, or is null."""
    for key, value in values.items():
        if tree.get(key) is None:
            tree[key] = value
