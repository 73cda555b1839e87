"""The report of guidellm, ``results.json``, read piece by piece: most of it are single requests.

A report is metadata, the configuration, and a list of benchmarks, one a stage. Each benchmark has statistics, and its
requests in three lists, by what became of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.fields import Fields, unreadable
from pytest_llmdbench.harnesses.harness import STDERR

RESULTS: Final = "results.json"
#: The versions of the report that are known; releases 0.7.3 and 0.8.1 write it.
KNOWN: Final = (2,)
#: The lists of requests in each benchmark.
LISTS: Final = ("successful", "errored", "incomplete")


@dataclass(frozen=True, slots=True)
class Benchmark:
    """All of a benchmark but its requests: in place of each list (``requests.errored``) stands its length."""

    number: int
    fields: Fields


@dataclass(frozen=True, slots=True)
class Entry:
    """One request as it stands in a list of a benchmark."""

    benchmark: Benchmark
    listed: str
    data: Any


def benchmarks(folder: Path) -> list[Benchmark]:
    """All benchmarks of the report in a folder, without their requests.

    Raises:
        HarnessError: there is no report, it was cut short, or is of an unknown version.
    """
    import ijson

    path = folder / RESULTS
    if not path.is_file():
        raise HarnessError(
            f"guidellm wrote no {RESULTS}: it ended before its results, or found no server that answers; "
            f"see {folder / STDERR}"
        )
    try:
        with path.open("rb") as file:
            report = _without_requests(ijson.basic_parse(file, use_float=True))
    except (OSError, ValueError, RecursionError, ijson.JSONError) as error:
        raise unreadable(path, error) from error
    fields = Fields.of(path, report)
    version = fields.get("metadata.version")
    if version not in KNOWN:
        raise fields.wrong("metadata.version", f"a version that is known here ({', '.join(map(str, KNOWN))})", version)
    return [
        Benchmark(number, Fields.of(path, one, f"benchmarks.{number}"))
        for number, one in enumerate(fields.items("benchmarks"))
    ]


def entries(folder: Path, of: Sequence[Benchmark]) -> Iterator[Entry]:
    """All requests of the report in a folder, one by one. Raises HarnessError as :func:`benchmarks`."""
    import ijson

    path = folder / RESULTS
    try:
        for name in LISTS:
            with path.open("rb") as file:
                # They do not say which benchmark they are of: so many of the first, so many of the second.
                items = ijson.items(file, f"benchmarks.item.requests.{name}.item", use_float=True)
                for benchmark in of:
                    for data in islice(items, benchmark.fields.count(f"requests.{name}") or 0):
                        yield Entry(benchmark, name, data)
    except (OSError, ValueError, RecursionError, ijson.JSONError) as error:
        raise unreadable(path, error) from error


def _without_requests(events: Iterator[tuple[str, Any]]) -> Any:
    """What is read, but for the values of ``requests``: of lists in them the lengths, of the rest nothing."""
    from ijson.common import ObjectBuilder

    builder = ObjectBuilder()
    for event, value in events:
        builder.event(event, value)
        if event == "map_key" and value == "requests":
            builder.event("start_map", None)
            for name, length in _lengths(events).items():
                builder.event("map_key", name)
                builder.event("number", length)
            builder.event("end_map", None)
    return builder.value


def _lengths(events: Iterator[tuple[str, Any]]) -> Counter[str]:
    """The lengths of the lists in the value that is read next."""
    lengths: Counter[str] = Counter()
    name, depth = "", 0
    for event, value in events:
        if event == "map_key":
            name = value if depth == 1 else name
        elif event in ("end_map", "end_array"):
            depth -= 1
        else:
            if depth == 2:
                lengths[name] += 1
            if event in ("start_map", "start_array"):
                depth += 1
        if depth == 0:
            break
    return lengths
