"""The result file of ``vllm bench serve``, one JSON object, read in one pass that keeps only what is asked for.

Beside its summary it holds a list an entry a request for each thing measured, all texts and all gaps among them: with a
million requests that is gigabytes, of which a column of numbers is 8 bytes a request.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.fields import unreadable

#: What reads one entry of a list.
Append = Callable[[Any], None]

_OPENS: Final = frozenset({"start_map", "start_array"})
_CLOSES: Final = frozenset({"end_map", "end_array"})


def scan(path: Path, absent: str, columns: Mapping[str, Append] | None = None) -> dict[str, Any]:
    """The values at the top of the file, by name, lists and objects as empty ones.

    The entries of the lists named in ``columns`` go to those.

    Raises:
        HarnessError: it is not there (``absent`` is the sentence for that), cut short, or no such object.
    """
    import ijson

    single: dict[str, Any] = {}
    columns = columns or {}
    with _readable(path, absent), path.open("rb") as file:
        for key, depth, value in _values(ijson.basic_parse(file, use_float=True), path, columns):
            if depth == 1:
                single[key] = value
            else:
                columns[key](value)
    return single


def numbers(into: array[float], path: Path, name: str) -> Append:
    """Reads the entries of a list as numbers, finite and 0 or more."""

    def append(value: Any) -> None:
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if isinstance(value, str) or not 0 <= number < math.inf:
            raise HarnessError(f"{path}: '{name}' should hold numbers of 0 or more, not {str(value)[:60]!r}")
        into.append(number)

    return append


def lists(path: Path, name: str) -> Iterator[Sequence[float]]:
    """The lists of times, in seconds, that the list ``name`` holds, one after the other.

    Raises:
        HarnessError: as :func:`scan`, also while they are read.
    """
    import ijson

    with _readable(path, f"{path} is gone"), path.open("rb") as file:
        for found in ijson.items(file, f"{name}.item", use_float=True):
            times = _times(found)
            if times is None:
                raise HarnessError(f"{path}: '{name}' should hold lists of times, not {str(found)[:60]!r}")
            yield times


def _times(found: Any) -> Sequence[float] | None:
    try:
        times = array("d", found)
    except (TypeError, ValueError, OverflowError):
        return None
    return times if not times or (min(times) >= 0 and math.isfinite(sum(times))) else None


def _values(events: Iterable[tuple[str, Any]], path: Path, wanted: Iterable[str]) -> Iterator[tuple[str, int, Any]]:
    """Every value at the top, lists and objects empty, and every entry of the wanted lists: name, depth, value."""
    depth, key, inside = 0, "", False
    for event, value in events:
        if event in _OPENS:
            if depth == 0 and event != "start_map":
                break
            if inside:
                raise HarnessError(f"{path}: '{key}' should hold single values, not lists of them")
            depth += 1
            if depth == 2:
                yield key, 1, [] if event == "start_array" else {}
            inside = depth == 2 and event == "start_array" and key in wanted
        elif event in _CLOSES:
            depth, inside = depth - 1, False
        elif depth == 0:
            break
        elif inside:
            yield key, 2, value
        elif event == "map_key" and depth == 1:
            key = value
        elif depth == 1:
            yield key, 1, value
    else:
        return
    raise HarnessError(f"{path}: is no object of fields")


@contextmanager
def _readable(path: Path, absent: str) -> Iterator[None]:
    """Turns what can go wrong with a file into sentences."""
    import ijson

    try:
        yield
    except FileNotFoundError as error:
        raise HarnessError(absent) from error
    except (OSError, ValueError, RecursionError, ijson.JSONError) as error:
        raise unreadable(path, error) from error
