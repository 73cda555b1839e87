"""YAML that remembers where each value was written, so that an error can name file and line."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from pytest_llmdbench.errors import DeclarationError

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: slower, same result
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

#: Where a value sits in a document: keys of mappings and indices of lists, from the root.
KeyPath: TypeAlias = tuple[str | int, ...]


def dotted(path: KeyPath) -> str:
    """A key path as people write it: ``load.stages.0.rate``."""
    return ".".join(str(part) for part in path)


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed YAML document: plain data, and the line of every key and list item in it."""

    name: str
    data: Any
    lines: dict[KeyPath, int] = field(repr=False)

    def where(self, path: KeyPath = ()) -> str:
        """``FILE:LINE`` of the value at ``path``, or of the nearest thing around it that has a line."""
        while path not in self.lines and path:
            path = path[:-1]
        return f"{self.name}:{self.lines.get(path, 1)}"


def load_yaml(path: Path) -> Source:
    """Parse one YAML file safely.

    Raises:
        DeclarationError: unreadable, not YAML, or one key stands twice (YAML would silently take the last).
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise DeclarationError(f"{_shown(path)}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DeclarationError(f"{_shown(path)}: cannot be read: it is not text in UTF-8") from error
    return parse_yaml(text, name=_shown(path))


def parse_yaml(text: str, name: str) -> Source:
    """Parse YAML from a string; ``name`` is what errors call it. Raises as :func:`load_yaml`."""
    loader = _Loader(text)
    try:
        root = loader.get_single_node()
        lines: dict[KeyPath, int] = {}
        if root is None:
            return Source(name, None, lines)
        _note_lines(root, (), lines, name)
        return Source(name, loader.construct_document(root), lines)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DeclarationError(f"{name}:{line}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise DeclarationError(f"{name}: not valid YAML: {error}") from error
    finally:
        loader.dispose()


def _note_lines(node: yaml.Node, path: KeyPath, lines: dict[KeyPath, int], name: str) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            line = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                raise DeclarationError(f"{name}:{line}: a key is plain text, not a list or a mapping")
            if key.value in seen and key.value != "<<":
                raise DeclarationError(
                    f"{name}:{line}: the key '{key.value}' stands twice; first in line {seen[key.value]}"
                )
            seen[key.value] = line
            lines[(*path, key.value)] = line
            _note_lines(value, (*path, key.value), lines, name)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*path, index)] = item.start_mark.line + 1
            _note_lines(item, (*path, index), lines, name)


def _shown(path: Path) -> str:
    """The path as the user would write it: relative to where they are, if it is below."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
