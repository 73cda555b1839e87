"""What stands at the end of a run: a line per case, below it their objectives, and where the files are."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, Final

import pytest

from pytest_llmdbench.reports.case_lines import Line, case_lines, detail_lines

#: So wide is what is written at least, wherever it goes; a terminal that is wider is used.
WIDTH: Final = 100
_COLOURS: Final = {
    **dict.fromkeys(("PASS", "ok"), "green"),
    **dict.fromkeys(("INVALID", "INCONCLUSIVE", "INTERRUPTED", "UNPROVEN"), "yellow"),
    **dict.fromkeys(("FAIL", "ERROR", "MISSED", "NOT REPORTED"), "red"),
}


def write_summary(
    terminal: pytest.TerminalReporter, records: Sequence[Mapping[str, Any]], stacks: Sequence[str], folder: str | None
) -> None:
    """Write the tables of all cases. Takes records of cases that never got to a result."""
    if not records and not stacks:
        return
    terminal.section("llmdbench", "=")
    width = max(WIDTH, terminal._tw.fullwidth)
    if records:
        header, *rows = case_lines(records, width)
        terminal.write_line(header.text, bold=True)
        for line in rows:
            _write(terminal, line)
        for line in detail_lines(records, width):
            _write(terminal, line)
    for stack in stacks:
        for text in textwrap.wrap(stack, width, subsequent_indent="  ", break_on_hyphens=False, break_long_words=False):
            terminal.write_line(text)
    if folder:
        terminal.write_line(f"results: {folder}")


def _write(terminal: pytest.TerminalReporter, line: Line) -> None:
    """Write a line, with its word in its colour where the terminal has any."""
    before, word, after = line.parts
    colour = _COLOURS.get(word.strip())
    terminal.write(before)
    terminal.write(word, **({colour: True, "bold": True} if colour else {}))
    terminal.write_line(after)


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
