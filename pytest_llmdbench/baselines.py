"""``--llmd-baseline``, ``--llmd-save-baseline`` and ``--llmd-aa``: what cases measure, against what they did before."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_llmdbench.errors import DeclarationError, ResultsError, nearest

if TYPE_CHECKING:
    from pytest_llmdbench.bench import Bench
    from pytest_llmdbench.results.baseline import Baseline, CaseRuns
    from pytest_llmdbench.results.result import Result
    from pytest_llmdbench.verdicts.regression import Regressed, Regression

#: Where stored baselines are, in a project.
PLACE: Final = "baselines"
ENDING: Final = ".yaml"
#: How much worse a metric may be where nobody said.
MARGIN: Final = 0.05
#: Where a record says why none of its runs is one to compare with.
LEFT_OUT: Final = "left_out"
#: What is worse about a case counts before what is unknown of it.
_RANK: Final = {"NO REGRESSION": 0, "INCONCLUSIVE": 1, "REGRESSION": 2}


def where(given: str, roots: Sequence[Path], origin: str) -> Path:
    """What a baseline's name or path stands for. Raises DeclarationError that lists the names there are."""
    path = Path(given).expanduser()
    if _is_path(given):
        if not path.exists():
            raise DeclarationError(f"{origin}: no baseline at '{given}': name a file, a folder of results, or a name")
        return path.absolute()
    known = {one.stem: one for root in reversed(roots) for one in sorted((root / PLACE).glob(f"*{ENDING}"))}
    if given in known:
        return known[given]
    if path.exists():
        return path.absolute()
    raise DeclarationError(
        f"{origin}: no baseline '{given}' in {PLACE}/, and no such folder of results; {nearest(given, known)}"
    )


def where_to_save(given: str, root: Path, origin: str) -> Path:
    """The file of a baseline that is saved under a name, or at a path. Raises DeclarationError."""
    if _is_path(given):
        path = Path(given).expanduser().absolute()
        if path.suffix != ENDING or path.is_dir():
            raise DeclarationError(f"{origin}: '{given}' is no name of a baseline's file: end it with {ENDING}")
        return path
    if not re.fullmatch(r"[A-Za-z0-9][\w.+-]*", given):
        raise DeclarationError(f"{origin}: '{given}' is no name; use letters, digits, '.', '-' and '_', or a path")
    return root / PLACE / f"{given.removesuffix(ENDING)}{ENDING}"


def _is_path(given: str) -> bool:
    return "/" in given or given.startswith("~") or given.endswith(ENDING)


def share(text: str, origin: str) -> float:
    """A margin like ``5%``, as a share of 1. Raises DeclarationError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*%", text.strip())
    if match is None or not 0 < float(match[1]) < 100:
        raise DeclarationError(f"{origin}: expected a share like 5%, above 0% and below 100%, found {text!r}")
    return float(match[1]) / 100


def runs_of(judged: Sequence[tuple[Result, Path, str]], record: dict[str, Any]) -> list[CaseRuns]:
    """The sound runs among judged results, each with its folder and its verdict's outcome.

    Where there is none the record is told why.
    """
    from pytest_llmdbench.results.baseline import gathered
    from pytest_llmdbench.results.recorded import find_recorded
    from pytest_llmdbench.verdicts.measured import left_out, measured

    runs = [(find_recorded(folder)[0], result, outcome) for result, folder, outcome in judged]
    found = [one for run in runs if (one := measured(*run)) is not None]
    if not found:
        record[LEFT_OUT] = left_out(*runs[0])
    return gathered(found)


def compared(bench: Bench, now: Sequence[CaseRuns], record: dict[str, Any], folder: Path | None) -> Regressed | None:
    """What a case's runs are against the baseline, kept in its record and in ``folder``; what to raise if worse.

    Runs of different loads are compared each with their like, and the worst is kept. Raises ResultsError.
    """
    baseline = bench.baseline
    if baseline is None:
        return None
    from pytest_llmdbench.reports.compare import text_of
    from pytest_llmdbench.results.store import write_json
    from pytest_llmdbench.verdicts.regression import Regressed, Regression, compare

    found = [compare(baseline, one, bench.margin) for one in now] or [
        Regression(record["case"], "INCONCLUSIVE", f"nothing to compare: {record[LEFT_OUT]}", baseline.origin)
    ]
    worst: Regression = max(found, key=lambda one: _RANK[one.outcome])
    record["regression"] = worst.to_json()
    if folder is not None:
        write_json(folder / "regression.json", worst.to_json())
    return Regressed(worst, text_of(worst)) if worst.outcome == "REGRESSION" else None


def with_noise(runs: CaseRuns) -> CaseRuns:
    """The same with the noise between every other run and those between: the arms of an A/A measurement."""
    from dataclasses import replace

    from pytest_llmdbench.verdicts.noise import measure_noise

    values = [run.values for run in runs.runs]
    return replace(runs, noise=measure_noise(values[0::2], values[1::2])) if len(values) > 1 else runs


def kept(bench: Bench, now: Sequence[CaseRuns], record: dict[str, Any], folder: Path | None) -> Sequence[CaseRuns]:
    """The runs, with their noise where it was asked for, put in the record for whoever saves them."""
    from pytest_llmdbench.results.baseline import case_to_json
    from pytest_llmdbench.results.store import write_json
    from pytest_llmdbench.verdicts.measured import NOISE

    if bench.settings.get("aa"):
        now = [with_noise(one) for one in now]
        if folder is not None and now and now[0].noise:
            write_json(folder / NOISE, case_to_json(now[0]))
    if bench.settings.get("aa") or bench.settings.get("save_baseline"):
        record["measured"] = [case_to_json(one) for one in now]
    return now


def after_the_test(
    bench: Bench, record: dict[str, Any], judged: Sequence[tuple[Result, Path, str]]
) -> Regressed | None:
    """All there is to do with a test's runs once they are judged; gives what to raise if they are worse than before."""
    if not bench.watches_runs or not judged:
        return None
    folder = judged[0][1]
    now = kept(bench, runs_of(judged, record), record, folder)
    return compared(bench, now, record, folder)


class BaselineKeeper:
    """Registered where reports arrive: says what was compared and measured, and saves the baseline at the end."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._records: dict[str, Mapping[str, Any]] = {}
        self._saved: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep the record that came with the report of a test's call."""
        record = getattr(report, "llmd", None)
        if record and report.when == "call":
            self._records[report.nodeid] = record

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Save, before anything is said of it; where that fails the session fails."""
        if path := self._bench.baseline_to_save:
            try:
                self._saved = self._save(path)
            except ResultsError as error:
                self._saved = [str(error)]
                session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(trylast=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """A line for each case."""
        from pytest_llmdbench.reports.compare import noise_lines, summary_lines

        records = list(self._records.values())
        lines = [*summary_lines(records), *noise_lines(records), *self._saved]
        if lines:
            terminalreporter.section("llmdbench: baseline", "-")
        for line in lines:
            terminalreporter.write_line(line)

    def _save(self, path: Path) -> list[str]:
        from pytest_llmdbench.results.baseline import Baseline, added, case_from, read_baseline, write_baseline
        from pytest_llmdbench.results.fields import Part

        new = [
            case_from(Part(nodeid, one))
            for nodeid, record in self._records.items()
            for one in record.get("measured") or ()
        ]
        if not new:
            told = [record for record in self._records.values() if LEFT_OUT in record]
            why = dict.fromkeys(f"  {record['case']}: {record[LEFT_OUT]}" for record in told)
            return [f"baseline {path.stem}: nothing to save", *why]
        earlier: Baseline = read_baseline(path) if path.is_file() else Baseline(str(path), ())
        baseline, lines = added(earlier, new)
        write_baseline(path, baseline)
        return [f"baseline {path.stem} saved in {path}:", *(f"  {line}" for line in lines)]
