"""Merging what was declared in several places, remembering which place each value came from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from pytest_llmdbench.declared.source import KeyPath, Source, parse_yaml
from pytest_llmdbench.errors import DeclarationError


@dataclass
class Layers:
    """A tree merged from layers, the later over the earlier.

    Mappings merge; lists and scalars replace; ``null`` clears.
    """

    tree: dict[str, Any] = field(default_factory=dict)
    #: Where each leaf came from: ``scenarios/local.yaml:4``, ``$LLMDBENCH_MODEL``, ``--llmd-set``.
    origins: dict[KeyPath, str] = field(default_factory=dict)

    def add_source(self, source: Source) -> None:
        """Lay a YAML document over what is there. Raises DeclarationError when its root is not a mapping."""
        data = {} if source.data is None else source.data
        if not isinstance(data, Mapping):
            raise DeclarationError(f"{source.where()}: expected keys and values, found a {type(data).__name__}")
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
        node[str(path[-1])] = value
        self.origins[path] = origin


def leaves(tree: Any, at: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every leaf of nested mappings with its path; a list is one leaf, and so is an empty mapping."""
    if isinstance(tree, Mapping) and tree:
        for key, value in tree.items():
            yield from leaves(value, (*at, str(key)))
    elif at:
        yield at, tree


def parse_assignment(text: str, option: str) -> tuple[str, Any]:
    """Split ``key.path=value``; the value is YAML. Raises DeclarationError that quotes the option."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip() or not all(key.strip().split(".")):
        raise DeclarationError(f"{option} {text!r}: expected KEY.PATH=VALUE, as in model.name=facebook/opt-125m")
    return key.strip(), parse_yaml(value, name=f"{option} {text}").data
