"""The table at the end of a run: a line per case, then what was missed and where the files are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from pytest_llmdbench.errors import counted
from pytest_llmdbench.reports.units import show_duration, show_pair, show_rate
from pytest_llmdbench.results.record import LATENCIES

_HEADERS: Final = ("case", "requests", "TTFT p50/p99", "TPOT p50/p99", "ITL p50/p99", "E2E p50/p99", "tok/s", "verdict")
_COLOURS: Final = {"PASS": "green", "FAIL": "red", "INVALID": "yellow", "ERROR": "red"}


def write_summary(
    terminal: pytest.TerminalReporter, records: Sequence[Mapping[str, Any]], stacks: Sequence[str], folder: str | None
) -> None:
    """Write the table of all cases. Takes records of cases that never got to a result."""
    if not records and not stacks:
        return
    terminal.section("llmdbench", "=")
    if records:
        _write_table(terminal, records)
    for line in stacks:
        terminal.write_line(line)
    if folder:
        terminal.write_line(f"results: {folder}")


def _write_table(terminal: pytest.TerminalReporter, records: Sequence[Mapping[str, Any]]) -> None:
    rows = [_row(record) for record in records]
    widths = [max(len(row[column]) for row in (_HEADERS, *rows)) for column in range(len(_HEADERS))]
    terminal.write_line(_line(_HEADERS, widths), bold=True)
    for row in rows:
        terminal.write(_line(row[:-1], widths) + "  ")
        colour = _COLOURS.get(row[-1])
        terminal.write_line(row[-1], **({colour: True, "bold": True} if colour else {}))
    for record in records:
        for kind in ("scores", "startup"):
            said = (record.get("result") or {}).get(kind)
            if said:
                values = ", ".join(f"{name} {value:.4g}" for name, value in said.items())
                terminal.write_line(f"{kind} of {record['case']}: {values}")
        missed = [one for one in (record.get("verdict") or {}).get("objectives", ()) if not one["met"]]
        if missed:
            values = "; ".join(f"{one['objective']} (measured {one['shown'] or 'nothing'})" for one in missed)
            terminal.write_line(f"missed by {record['case']}: {values}")


def stack_line(stack: Mapping[str, Any]) -> str:
    """``stack local: up in 0.4 s, 3 loads, down in 0.1 s``, or why it never came up."""
    if stack.get("error"):
        # Most errors begin with the stack that they are about.
        name = f"stack {stack['key']}"
        return f"{name}: {str(stack['error']).splitlines()[0].removeprefix(f'{name}: ')}"
    up, down = stack.get("standup_s"), stack.get("teardown_s")
    loads = "1 load" if stack.get("uses") == 1 else f"{stack.get('uses', 0)} loads"
    ended = f", down in {down:.1f} s" if isinstance(down, int | float) else ""
    return (
        f"stack {stack['key']}: up in {up:.1f} s, {loads}{ended}"
        if isinstance(up, int | float)
        else f"stack {stack['key']}"
    )


def plan_lines(cases: Sequence[Any]) -> list[str]:
    """What ``--llmd-dry-run`` prints: stacks, then cases with their load and expected duration."""
    stacks = {case.stack.spec.key: case.stack for case in cases}
    lines = [f"{counted(len(cases), 'case')} on {counted(len(stacks), 'stack')}", ""]
    for key, stack in stacks.items():
        given = [case for case in cases if case.stack.spec.key == key]
        total = _total([case.load.expected_s for case in given])
        lines.append(
            f"stack {key}: {stack.spec.deploy}, model {stack.scenario.model.name}; {show_duration(total)} of load"
        )
        for case in given:
            stages = case.load.stages
            requests = _total([stage.requests for stage in stages])
            asked = "unknown" if requests is None else f"{requests:.0f}"
            lines.append(f"  {case.id}")
            lines.append(f"    {_stages(stages)}; {asked} requests, {show_duration(case.load.expected_s)}")
    everything = show_duration(_total([case.load.expected_s for case in cases]))
    lines += ["", f"expected duration of all load, one after the other: {everything}"]
    return lines


def _stages(stages: Sequence[Any]) -> str:
    def one(stage: Any) -> str:
        if stage.rate is not None:
            return f"{stage.rate:g}/s" + (f" for {stage.duration_s:g} s" if stage.duration_s else "")
        if stage.concurrency is not None:
            return f"{stage.concurrency} at once"
        return "as the data say"

    return ", ".join(one(stage) for stage in stages) or "no stages"


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _row(record: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = record.get("result") or {}
    requests = numbers.get("requests")
    counts = (
        "-"
        if not requests
        else f"{requests['completed']}" + (f" +{requests['failed']} failed" if requests["failed"] else "")
    )
    latencies = numbers.get("latencies", {})
    # A test that sent no load has no verdict, and nothing went wrong with it either.
    verdict = (record.get("verdict") or {}).get("outcome") or ("ERROR" if record.get("error") else "-")
    times = [show_pair(latencies.get(name, {}).get("p50"), latencies.get(name, {}).get("p99")) for name in LATENCIES]
    return (record["case"], counts, *times, show_rate(numbers.get("output_tokens_per_second")), verdict)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = (
        cell.ljust(width) if index == 0 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=False))
    )
    return "  ".join([first, *rest])
