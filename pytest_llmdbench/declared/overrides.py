"""Overrides of a workload: ``rate=5`` sets every leaf of that name, ``load.stages.0.rate=5`` exactly one."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from copy import deepcopy
from typing import Any

from pytest_llmdbench.declared.source import KeyPath, dotted, parse_yaml
from pytest_llmdbench.errors import DeclarationError, nearest

#: Overrides with where they were declared.
Overrides = tuple[Mapping[str, Any], str]


def parse_overrides(text: str, option: str, example: str = "rate=5,duration=60") -> dict[str, Any]:
    """Split ``rate=5,duration=60``; values are YAML, and commas inside brackets or quotes do not split.

    Raises:
        DeclarationError: a part without ``=`` or with a value that is not YAML.
    """
    overrides: dict[str, Any] = {}
    for part in _split(text):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise DeclarationError(f"{option} {part.strip()!r}: expected KEY=VALUE, as in {example}")
        overrides[key.strip()] = parse_yaml(value, name=f"{option} {part.strip()}").data
    return overrides


def apply_overrides(
    profile: Mapping[str, Any],
    overrides: Mapping[str, Any],
    known_keys: Collection[str],
    origin: str,
    name: str = "the workload",
) -> dict[str, Any]:
    """A copy of ``profile`` with overrides set.

    A dotted path whose last key is not there is added if its parent is a mapping and the harness knows the key
    (``known_keys``). Errors call the profile by its ``name``.

    Raises:
        DeclarationError: an override that matches nothing, with the nearest names that would.
    """
    tree = deepcopy(dict(profile))
    for key, value in overrides.items():
        # Upstream's flat profiles hold keys with dots or dashes in them: a key that stands there literally is that key.
        literal = "." not in key and "[" not in key
        places = [path for path, _ in _leaves(tree) if _named(path, key)] if literal else _exact(tree, key, known_keys)
        if (
            not places
            and literal
            and key in known_keys
            and not any(isinstance(one, dict | list) for one in tree.values())
        ):
            # A flat profile holds a program's flags: one that it knows and that is not there can be added.
            places = [(key,)]
        if not places:
            names = (
                {str(path[-1]) for path, _ in _leaves(tree)} if literal else {dotted(path) for path, _ in _leaves(tree)}
            )
            raise DeclarationError(f"{origin}: '{key}' matches nothing in {name}; {nearest(key, names)}")
        for path in places:
            _parent(tree, path)[path[-1]] = deepcopy(value)
    return tree


def _named(path: KeyPath, key: str) -> bool:
    """Whether a leaf has that name; of a dotted text as its key (``profile.streams``) the last part is one as well."""
    return str(path[-1]) == key or str(path[-1]).rpartition(".")[2] == key


def _exact(tree: dict[str, Any], key: str, known_keys: Collection[str]) -> list[KeyPath]:
    literal = [path for path, _ in _leaves(tree) if path[-1] == key]
    if literal:
        return literal
    path: KeyPath = tuple(
        int(part) if part.lstrip("-").isdigit() else part for part in re.sub(r"\[(-?\d+)\]", r".\1", key).split(".")
    )
    try:
        parent = _parent(tree, path)
    except (KeyError, IndexError, TypeError):
        return []
    if isinstance(parent, list):
        return [path] if isinstance(path[-1], int) and -len(parent) <= path[-1] < len(parent) else []
    return [path] if isinstance(parent, dict) and (path[-1] in parent or path[-1] in known_keys) else []


def _parent(tree: Any, path: KeyPath) -> Any:
    for part in path[:-1]:
        tree = tree[part]
    return tree


def _leaves(tree: Any, at: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Every scalar with its path, through mappings and lists; a list of scalars is one leaf."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, (*at, key))
    elif isinstance(tree, list) and any(isinstance(item, dict | list) for item in tree):
        for index, item in enumerate(tree):
            yield from _leaves(item, (*at, index))
    elif at:
        yield at, tree


def _split(text: str) -> list[str]:
    parts, depth, quote, start = [], 0, "", 0
    for index, char in enumerate(text):
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "[{(":
            depth += 1
        elif char in "]})":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:index])
            start = index + 1
    return [part for part in (*parts, text[start:]) if part.strip()]
