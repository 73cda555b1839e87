"""The cases of a run as lines that fit a width: a table of their numbers, and what is to be said of each. Pure."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pytest_llmdbench.errors import counted
from pytest_llmdbench.reports.comparison import outcome_of
from pytest_llmdbench.reports.texts import OBJECTIVES, objective_row, remarks
from pytest_llmdbench.reports.units import shortened, show_pair, show_rate, told_apart

#: More lines of objectives than these are not read: those of cases that passed are left out.
MOST: Final = 60
#: No text is cut to less.
_NARROWEST: Final = 16
_GAP: Final = "  "
#: What the numbers of a case are called.
NUMBERS: Final = ("requests", "failed", "TTFT p50/p99", "TPOT p50/p99", "E2E p50/p99", "tok/s")


@dataclass(frozen=True, slots=True)
class Line:
    """A line of text; ``word`` is the part of it that has a colour, and where that begins."""

    text: str
    word: str = ""
    at: int = 0

    @property
    def parts(self) -> tuple[str, str, str]:
        """What is before the word, the word, and what is behind it."""
        end = self.at + len(self.word)
        return self.text[: self.at], self.text[self.at : end], self.text[end:]


def case_lines(records: Sequence[Mapping[str, Any]], width: int) -> list[Line]:
    """A header and a line a case, where different programs sent the same load next to each other.

    A column that no case has anything for is left out; ITL is in the other reports.
    """
    ordered = side_by_side(records)
    rows = [number_cells(record) for record in ordered]
    kept = [place for place in range(len(NUMBERS)) if any(row[place] != "-" for row in rows)]
    cells = [[row[place] for place in kept] for row in ([*NUMBERS], *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    words = [outcome_of(record) for record in ordered]
    rest = sum(widths) + len(_GAP) * (len(widths) + 1) + max(len("verdict"), *map(len, words))
    names = told_apart([str(record["case"]) for record in ordered], max(_NARROWEST, width - rest))
    first = max(len("case"), *map(len, names))
    lines = []
    for name, row, word in zip(("case", *names), cells, ("verdict", *words), strict=True):
        numbers = [cell.rjust(wide) for cell, wide in zip(row, widths, strict=True)]
        before = _GAP.join([name.ljust(first), *numbers, ""])
        lines.append(Line(before + word, word, len(before)))
    return lines


def detail_lines(records: Sequence[Mapping[str, Any]], width: int) -> Iterator[Line]:
    """Under each case's whole name: why it did not pass, its objectives, and what its servers and its cost were."""
    judged = {id(record): list((record.get("verdict") or {}).get("objectives") or ()) for record in records}
    if sum(map(len, judged.values())) > MOST:
        passed = [record for record in records if judged[id(record)] and outcome_of(record) == "PASS"]
        if passed:
            yield Line(f"objectives of {counted(len(passed), 'case')} that passed: see verdict.json of each")
        judged |= {id(record): [] for record in passed}
    rows = {key: [objective_row(one) for one in several] for key, several in judged.items()}
    everything = [row for several in rows.values() for row in several]
    widths = [max(map(len, column)) for column in zip(OBJECTIVES, *everything, strict=True)]
    rest = sum(widths) - widths[1] + len(_GAP) * len(widths)
    widths[1] = min(widths[1], max(_NARROWEST, width - rest))
    if everything:
        yield Line(_objective_line(OBJECTIVES, widths))
    for record in records:
        said = [line for text in remarks(record) for line in _wrapped(text, width)]
        if not said and not rows[id(record)]:
            continue
        yield Line(shortened(str(record["case"]), width))
        for row in rows[id(record)]:
            yield Line(_objective_line(row, widths), row[0], len(_GAP))
        yield from map(Line, said)


def _objective_line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (row[0], shortened(row[1], widths[1]), *row[2:])
    return (_GAP + _GAP.join(cell.ljust(wide) for cell, wide in zip(cells, widths, strict=True))).rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, initial_indent=_GAP, subsequent_indent=_GAP * 2, break_on_hyphens=False)


def side_by_side(records: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The records in their order, but those of one load, whatever sent it, together at the place of the first."""
    places: dict[tuple[str, ...], int] = {}

    def place(record: Mapping[str, Any]) -> int:
        parts = ("scenario", "setup_treatment", "workload", "treatment")
        known = record.get("workload") is not None
        load = tuple(str(record.get(name)) for name in parts) if known else (str(id(record)),)
        return places.setdefault(load, len(places))

    return sorted(records, key=place)


def number_cells(record: Mapping[str, Any]) -> list[str]:
    """The numbers of a case, as people read them; ``-`` where absent."""
    numbers = record.get("result") or {}
    requests, latencies = numbers.get("requests") or {}, numbers.get("latencies") or {}
    pairs = [latencies.get(name) or {} for name in ("ttft", "tpot", "e2e")]
    return [
        str(requests.get("completed", "-")),
        str(requests.get("failed") or "-"),
        *(show_pair(one.get("p50"), one.get("p99")).replace(" / ", "/") for one in pairs),
        show_rate(numbers.get("output_tokens_per_second")),
    ]
