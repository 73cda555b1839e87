"""Merging what was declared in several places, remembering which place each value came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pytest_llmdbench.declared.source import KeyPath, Source
from pytest_llmdbench.errors import DeclarationError


@dataclass
class Layers:
    """A tree merged from layers, the later over the earlier.

    Mappings merge; lists and scalars replace; ``null`` brings the default back.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    #: Where each leaf came from: ``scenarios/local.yaml:4``, ``$LLMDBENCH_MODEL``, ``--llmd-set``.
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def add_source(self, source: Source) -> None:
        """Lay a YAML document over what is there. Raises DeclarationError when its root is not a mapping."""
        data = {} if source.data is None else source.data
        if not isinstance(data, Mapping):
            raise DeclarationError(f"{source.where()}: expected keys and values, found {kind_of(data)}")
        for path, value in leaves(data):
            self._put(path, value, source.where(path))

    def put(self, key: str, value: Any, origin: str) -> None:
        """Lay one value over what is there; ``key`` is dotted (``model.name``)."""
        for path, leaf in leaves(value, tuple(key.split("."))):
            self._put(path, leaf, origin)

    def origin(self, path: KeyPath) -> str:
        """Where the value at ``path``, or the nearest thing around it, came from; ``default`` if nowhere."""
        inside = next((origin for at, origin in self.origins.items() if at[: len(path)] == path), None)
        if inside is not None:
            return inside
        while path not in self.origins and path:
            path = path[:-1]
        return self.origins.get(path, "default")

    def copy(self) -> Layers:
        """An independent copy, to lay different things over the same ground."""
        return Layers(deepcopy(self.tree), dict(self.origins))

    def _put(self, path: KeyPath, value: Any, origin: str) -> None:
        node = self.tree
        for depth, part in enumerate(path[:-1], start=1):
            below = node.get(str(part))
            if not isinstance(below, dict):
                below = {}
                node[str(part)] = below
                self.origins.pop(path[:depth], None)
            node = below
        if isinstance(node.get(str(path[-1])), dict):
            self.origins = {at: kept for at, kept in self.origins.items() if at[: len(path)] != path}
        if value is None:  # the default holds again
            node.pop(str(path[-1]), None)
            self.origins.pop(path, None)
            return
        node[str(path[-1])] = value
        self.origins[path] = origin


def leaves(tree: Any, at: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every leaf of nested mappings with its path; a list is one leaf, and so is an empty mapping."""
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*at, str(key)))
    elif at:
        yield at, tree


def kind_of(value: Any) -> str:
    """What YAML made of something, in words for people."""
    words = {
        dict: "keys and values",
        list: "a list",
        str: "text",
        bool: "true or false",
        int: "a number",
        float: "a number",
    }
    return words.get(type(value), "nothing" if value is None else f"a {type(value).__name__}")
