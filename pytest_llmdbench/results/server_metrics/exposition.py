"""Reads the text that Prometheus scrapes (version 0.0.4): only the samples that are asked for, for that is quick."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Final

from pytest_llmdbench.errors import LlmdError

#: The labels of one series, sorted by name.
Labels = tuple[tuple[str, str], ...]
#: Values by sample name and labels; only finite ones.
Samples = Mapping[str, Mapping[Labels, float]]

#: More series of the metrics that are asked for than this are not a server's, or are no use to anybody.
MOST_SERIES: Final = 20_000
_NAME: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL: Final = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|(?=\}))')
_ESCAPED: Final = re.compile(r"\\(.)")
_PLAIN: Final = {"n": "\n", "\\": "\\", '"': '"'}


class ExpositionError(LlmdError):
    """A text is not what Prometheus scrapes; says which line."""


def parse(text: str, wanted: frozenset[str]) -> dict[str, dict[Labels, float]]:
    """The samples whose names are ``wanted``. A value that is no finite number is left out: it says nothing.

    The form is https://prometheus.io/docs/instrumenting/exposition_formats/ ; lines of other samples are passed over
    unread.

    Raises:
        ExpositionError: a wanted line is malformed, the text was cut short, or has too many series.
    """
    if not text.endswith("\n"):
        raise ExpositionError("it was cut short: its last line has no end" if text else "it is empty")
    found: dict[str, dict[Labels, float]] = {}
    series = 0
    for line in text.split("\n"):
        match = _NAME.match(line)
        if match is None or match[0] not in wanted:
            continue
        try:
            labels, rest = _labels(line, match.end())
            # After the value there may be a time.
            value = float(rest.split(maxsplit=1)[0])
        except (ValueError, IndexError):
            raise ExpositionError(f"a line cannot be read: {line[:120]!r}") from None
        if not math.isfinite(value):
            continue
        series += 1
        if series > MOST_SERIES:
            raise ExpositionError(f"it has more than {MOST_SERIES} series")
        found.setdefault(match[0], {})[labels] = value
    return found


def _labels(line: str, begin: int) -> tuple[Labels, str]:
    """The labels of a sample's line, and what comes after them."""
    rest = line[begin:].lstrip(" \t")
    if not rest.startswith("{"):
        return (), rest
    labels: list[tuple[str, str]] = []
    place = line.index("{") + 1
    while line[place : place + 1] != "}":
        match = _LABEL.match(line, place)
        if match is None:
            raise ValueError(line)
        name, value, _ = match.groups()
        labels.append((name, _ESCAPED.sub(_unescaped, value) if "\\" in value else value))
        place = match.end()
        while line[place : place + 1] in (" ", "\t"):
            place += 1
    return tuple(sorted(labels)), line[place + 1 :]


def _unescaped(match: re.Match[str]) -> str:
    # What nobody knows as an escape stays as it is.
    return _PLAIN.get(match[1], match[0])
