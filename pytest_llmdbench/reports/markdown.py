"""The summary of a run in Markdown, as GitHub and GitLab show it beside a job."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import counted
from pytest_llmdbench.reports.case_lines import NUMBERS, number_cells, side_by_side
from pytest_llmdbench.reports.comparison import outcome_of
from pytest_llmdbench.reports.html_cells import ORDER
from pytest_llmdbench.reports.texts import OBJECTIVES, objective_row, remarks
from pytest_llmdbench.reports.units import shortened

#: The file that GitHub has a step add its summary to; it takes at most 1 MiB of all steps of a job together.
GITHUB: Final = "GITHUB_STEP_SUMMARY"
#: Cases that have a row, and cases whose objectives are shown, at most: a job's page is no archive.
_CASES: Final = 300
_EXPLAINED: Final = 50
#: No text is longer in it.
_LONGEST: Final = 300
_MARKUP: Final = re.compile(r"([\\`*_\[\]{}|~$#!^])")
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


def summary(records: Sequence[Mapping[str, Any]], stacks: Sequence[str] = (), folder: str | None = None) -> str:
    """Counts of verdicts, a table of all cases, and of those that did not pass what was missed and why.

    Text from elsewhere is escaped: it makes neither markup nor links nor mentions. ``stacks`` is a line for each.
    """
    parts = [_head(records)]
    if records:
        parts.append(_cases(side_by_side(records)))
    troubled = [record for record in records if outcome_of(record) not in ("PASS", "-")]
    troubled.sort(key=_urgency)
    if troubled:
        parts.append("### What did not pass")
        parts += [_explained(record) for record in troubled[:_EXPLAINED]]
        if len(troubled) > _EXPLAINED:
            parts.append(f"... and {counted(len(troubled) - _EXPLAINED, 'case')} more.")
    ends = [*stacks, *([f"results: {folder}"] if folder else [])]
    parts += ["\n".join(f"- {escaped(line)}" for line in ends)] if ends else []
    return "\n\n".join(parts) + "\n"


def write(text: str, given: str | None, environ: Mapping[str, str] = os.environ) -> Iterator[str]:
    """Write a summary to the file that was ``given``, and add it to the one that GitHub names.

    Gives a line for the former, and for each that could not be written: a summary is not what a run fails by.
    """
    if given:
        try:
            path = Path(given).expanduser()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            yield f"summary: {given}"
        except OSError as error:
            yield f"--llmd-summary: {given} cannot be written: {error.strerror}"
    if environ.get(GITHUB):
        try:
            with Path(environ[GITHUB]).open("a", encoding="utf-8") as step:
                step.write(f"{text}\n")
        except OSError as error:
            yield f"${GITHUB}: {environ[GITHUB]} cannot be written: {error.strerror}"


def escaped(text: str) -> str:
    """One line of plain text that Markdown shows as it is, cut in the middle where it is very long."""
    line = shortened(" ".join(text.split()), _LONGEST)
    marked = _MARKUP.sub(r"\\\1", "".join(one for one in line if one.isprintable()))
    plain = "".join(_ENTITIES.get(one, one) for one in marked)
    # Addresses become links by themselves.
    return plain.replace("://", "&#58;//").replace("www.", "www&#46;")


def _head(records: Sequence[Mapping[str, Any]]) -> str:
    counts = Counter(map(outcome_of, records))
    words = [*ORDER, *sorted(set(counts) - set(ORDER))]
    said = ", ".join(f"{counts[word]} {escaped(word)}" for word in words if word != "-" and counts[word])
    return f"## llmdbench: {said or ('no load was sent' if records else 'no case ran')}"


def _cases(records: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (str(record["case"]), outcome_of(record), *number_cells(record))
        for record in records[:_CASES]
    ]  # fmt: skip
    kept = [place for place in range(len(rows[0])) if any(row[place] != "-" for row in rows)]
    header = ("case", "verdict", *NUMBERS)
    table = _table([header[place] for place in kept], [[row[place] for place in kept] for row in rows])
    more = len(records) - _CASES
    return f"{table}\n\n... and {counted(more, 'case')} more." if more > 0 else table


def _explained(record: Mapping[str, Any]) -> str:
    objectives = [objective_row(one) for one in (record.get("verdict") or {}).get("objectives") or ()]
    said = [f"**{escaped(str(record['case']))}**", *map(escaped, remarks(record))]
    parts = ["  \n".join(said), *([_table(OBJECTIVES, objectives)] if objectives else [])]
    return "\n\n".join(parts)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    def line(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    return "\n".join([line(header), line(["---"] * len(header)), *(line([*map(escaped, row)]) for row in rows)])


def _urgency(record: Mapping[str, Any]) -> int:
    outcome = outcome_of(record)
    return ORDER.index(outcome) if outcome in ORDER else len(ORDER)
