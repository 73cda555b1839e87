"""What reports say of the engines of stacks: their memory as it was estimated, and as their logs have it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_llmdbench.capacity import FACT
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.reports.recorded_case import recorded_case
from pytest_llmdbench.results.recorded import SCENARIO

if TYPE_CHECKING:
    from pytest_llmdbench.capacity.started import Started


@dataclass(frozen=True, slots=True)
class StackStart:
    """One standup of a stack, with the folder of a case that ran on it."""

    stack: str
    folder: Path
    engines: Sequence[Started]


def stack_starts(records: Sequence[Mapping[str, Any]]) -> list[StackStart]:
    """The standups that the cases ran on, each once, where their folders tell of one."""
    found: dict[tuple[Path, str], StackStart] = {}
    for record in records:
        stack, folder = record.get("stack"), Path(record.get("folder") or "")
        place = (folder.parent, str(stack))
        if not stack or not record.get("folder") or place in found:
            continue
        facts = recorded_case(folder).get("stack_facts")
        found[place] = StackStart(str(stack), folder, _engines(facts))
    return [one for one in found.values() if one.engines]


def _engines(facts: Any) -> Sequence[Started]:
    if not isinstance(facts, Mapping) or FACT not in facts:
        return ()
    # Only now: most stacks say no word of it.
    from pytest_llmdbench.capacity.started import read_started

    return read_started(facts)


def start_lines(starts: Sequence[StackStart], *, verbose: bool = False) -> Iterator[str]:
    """A line for each engine: KV cache and concurrency; ``verbose`` with a table of all that is known below it."""
    if not starts:
        return
    # Only now: most stacks say no word of it.
    from pytest_llmdbench.capacity.texts import comparison_lines, started_line

    for one in starts:
        for engine in one.engines:
            yield f"stack {one.stack}, {started_line(engine)}"
            if verbose:
                yield f"  {engine.name}{_more(engine)}"
                yield from comparison_lines(engine.compared)


def start_tables(starts: Sequence[StackStart]) -> list[dict[str, Any]]:
    """The same for the HTML report: a title and rows of quantity, estimated, measured and error for each engine."""
    if not starts:
        return []
    from pytest_llmdbench.capacity.texts import comparison_cells

    tables = []
    for one in starts:
        for engine in one.engines:
            rows = [[f"{each.name}, {each.unit}", *comparison_cells(each)] for each in engine.compared]
            title = f"stack {one.stack}, {engine.role}: {engine.name}{_more(engine)}"
            tables.append({"title": title, "rows": rows})
    return tables


def store_lines(starts: Sequence[StackStart]) -> Iterator[str]:
    """Keep what every start showed as a correction of later estimates; gives a line for each."""
    from pytest_llmdbench.capacity.corrections import default_file
    from pytest_llmdbench.capacity.engines import read_scenario
    from pytest_llmdbench.capacity.started import store_started

    for one in starts:
        try:
            yield from store_started(read_scenario(one.folder / SCENARIO), one.engines, default_file())
        except DeclarationError as error:
            yield f"nothing was stored of stack {one.stack}: {error}"


def _more(engine: Started) -> str:
    """How its GPU is known, and what of the estimate is not by the formulas."""
    by = engine.correction_gib
    known = f"; its GPU is known {engine.gpu_known}" if engine.gpu_known else ""
    return known + (f"; estimated with the {by:+.2f} GiB that an earlier start showed" if by else "")
