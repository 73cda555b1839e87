"""Gathers the record of every case on the controller, and has the summaries written from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_llmdbench.errors import LlmdError
from pytest_llmdbench.options import unknown_variables
from pytest_llmdbench.reports.html import HtmlColumns
from pytest_llmdbench.reports.interrupted import InterruptedCases

if TYPE_CHECKING:
    from pytest_llmdbench.bench import Bench


class RecordCollector(HtmlColumns, InterruptedCases):
    """Registered where reports arrive: the controller, or the only process."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._records: dict[str, dict[str, Any]] = {}
        self._written = self._told = self._lost = False
        HtmlColumns.__init__(self, lambda: _named(self._records))
        InterruptedCases.__init__(self, lambda: bench.folder)

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell an xdist worker the name of the results folder, and the command that was given."""
        node.workerinput["llmd_run"] = self._bench.run_id
        node.workerinput["llmd_command"] = self._bench.command_line

    @pytest.hookimpl(optionalhook=True)
    def pytest_handlecrashitem(self, crashitem: str, report: pytest.TestReport) -> None:
        """A case whose worker died has a line in the table all the same."""
        _, bracket, name = crashitem.partition("[")
        if bracket:
            self.pytest_runtest_logfinish(crashitem)
            report.llmd = {"case": name.removesuffix("]"), "error": str(report.longrepr)}  # type: ignore[attr-defined]

    def pytest_report_header(self) -> list[str]:
        """What is asked for, in the header of the session."""
        return [*self._asked(), *self._misspelt()]

    def pytest_report_collectionfinish(self) -> list[str]:
        """The same of what may be misspelt, where there was no header, or no benchmark yet."""
        return self._misspelt()

    def _misspelt(self) -> list[str]:
        told, self._told = self._told, True
        return [] if told else [f"llmdbench: {line}" for line in unknown_variables()]

    def _asked(self) -> list[str]:
        if replayed := self._bench.settings.get("from_results"):
            return [f"llmdbench: judging the runs recorded in {replayed}"]
        try:
            stacks = ", ".join(stack.spec.key for stack in self._bench.plan.stacks)
        except LlmdError:  # from the environment: it comes up with the first benchmark, if there is one
            return []
        where = "" if self._bench.without_load else f"; results in {self._bench.folder}"
        return [f"llmdbench: stacks {stacks}{where}"]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the record that came with a report; a failed teardown does not replace what the call said."""
        record = getattr(report, "llmd", None)
        if record and (report.when != "teardown" or report.nodeid not in self._records):
            self._records[report.nodeid] = record

    def pytest_keyboard_interrupt(self) -> None:
        """Before all others' files are written, say what was under way."""
        self.report_interrupted(self._bench.config)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Generator[None, object, object]:
        """Files are written as well where pytest asks for no summary: without a terminal, after an internal error.

        A table that was asked for and is not there fails the session.
        """
        outcome = yield
        if not self._written:
            self._write(None)
        if self._lost and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        return outcome

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Write the table, and the files."""
        self._write(terminalreporter)

    def _write(self, terminal: pytest.TerminalReporter | None) -> None:
        """Write the table where there is a terminal for it, what was asked for and, where cases ran, ``run.json``."""
        from pytest_llmdbench.reports.started_engines import stack_starts, start_lines, store_lines
        from pytest_llmdbench.reports.terminal import stack_line, write_summary
        from pytest_llmdbench.results.store import RUN, write_json
        from pytest_llmdbench.stacks.owner import StackOwner
        from pytest_llmdbench.stacks.ownership import stacks_of

        self._written = True
        say: Callable[..., None] = terminal.write_line if terminal else lambda line, **_: print(line)
        records = _named(self._records)
        owner = stacks_of(self._bench.config)
        # Reports arrive where stacks are owned, so this is the owner.
        lines = [stack_line(stack) for stack in owner.records()] if isinstance(owner, StackOwner) else []
        # What a case has said already.
        told = {str(record.get("error")).partition("\n")[0] for record in records}
        stacks = [line for line in lines if line not in told]
        replayed = self._bench.settings.get("from_results")
        folder = self._bench.folder if any(record.get("folder") for record in records) else None
        where = replayed or (str(folder) if folder else None)
        starts = stack_starts(records)
        stored = list(store_lines(starts)) if self._bench.settings.get("store_corrections") else []
        engines = start_lines(starts, verbose=self._bench.config.get_verbosity() > 0)
        if terminal:
            write_summary(terminal, records, [*stacks, *engines, *stored], where)
        asked = self._bench.settings.get("summary")
        if records or asked:
            from pytest_llmdbench.reports.markdown import summary, write

            for line in write(summary(records, [*stacks, *start_lines(starts), *stored], where), asked):
                say(line)
        if folder and not replayed:
            write_json(folder / RUN, {"run": self._bench.run_id, "cases": self._records})
        if folder:
            self._export(Path(replayed).expanduser() if replayed else folder, say)

    def _export(self, folder: Path, say: Callable[..., None]) -> None:
        """Write the table of all results where one was asked for; what goes wrong does not lose the summary."""
        for path in self._bench.settings.get("export", ()):
            from pytest_llmdbench.results.export import export
            from pytest_llmdbench.results.frame import frame

            try:
                export(frame(folder), Path(path).expanduser())
                say(f"all results: {path}")
            except LlmdError as error:
                self._lost = True
                say(f"--llmd-export: {error}", red=True)


def _named(records: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """The records, each under a name that tells its row: the case, with its test where several tests share a case."""
    cases = Counter(record["case"] for record in records.values())
    return [
        {**record, "case": nodeid.rpartition("::")[2] if cases[record["case"]] > 1 else record["case"]}
        for nodeid, record in records.items()
    ]
