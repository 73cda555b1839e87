"""``--llmd-from-results DIR``: recorded runs as tests, judged anew; no cluster, no load program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_llmdbench.bench import bench_of
from pytest_llmdbench.errors import DeclarationError, ResultsError
from pytest_llmdbench.fixtures import RECORD

if TYPE_CHECKING:
    from pytest_llmdbench.bench import Bench
    from pytest_llmdbench.results.baseline import Baseline
    from pytest_llmdbench.results.recorded import Recorded
    from pytest_llmdbench.results.result import Result
    from pytest_llmdbench.verdicts.regression import Regressed


def start_replay(config: pytest.Config, bench: Bench) -> None:
    """Have the recorded runs collected in place of tests.

    Raises:
        DeclarationError: tests were named as well, and would not run; or there is no such folder.
        ResultsError: the folder holds no results, or what says what was run cannot be read.
    """
    from pytest_llmdbench.results.recorded import find_recorded

    if config.args_source is pytest.Config.ArgsSource.ARGS:
        raise DeclarationError(
            "--llmd-from-results judges recorded runs in place of running tests: leave out "
            f"{', '.join(config.args)} (-k selects among the runs)"
        )
    folder = Path(bench.settings.get("from_results")).expanduser().absolute()
    if not folder.is_dir():
        raise DeclarationError(f"--llmd-from-results {folder}: there is no such folder of results")
    config.args = [str(folder)]
    config.pluginmanager.register(Replay(folder, find_recorded(folder)), "llmdbench-replay")


#: What reports show of a case, and others' runs do not say.
_OF_NO_CASE: Final[Mapping[str, Any]] = {
    "scenario": None,
    "workload": None,
    "treatment": None,
    "factors": {},
    "model": None,
}


class Replay:
    """Makes the folder of results a collector of its own."""

    def __init__(self, folder: Path, runs: Sequence[Recorded]) -> None:
        self._folder = folder
        self._runs = runs

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """The folder of results holds runs; those above it are pytest's matter."""
        return RecordedRuns.from_parent(parent, path=path, runs=self._runs) if path == self._folder else None

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Nothing in the folder is a test file, and its place may be one that pytest passes over."""
        return False if collection_path == self._folder else None


class RecordedRuns(pytest.Directory):
    """A folder of results, with the runs in it."""

    def __init__(self, *, runs: Sequence[Recorded], **more: Any) -> None:
        super().__init__(**more)
        self._runs = runs

    def collect(self) -> Iterator[pytest.Item]:
        """One test for each recorded run."""
        for run in self._runs:
            where = run.folder.parent.relative_to(self.path).as_posix() if run.folder != self.path else "."
            name = run.name if where == "." else f"{where}/{run.name}"
            yield RecordedCase.from_parent(self, name=name, run=run)

    @cached_property
    def measured(self) -> Baseline:
        """What all runs in the folder measured. Raises ResultsError."""
        from pytest_llmdbench.verdicts.measured import read_any

        return read_any(self.path)


class RecordedCase(pytest.Item):
    """One recorded run: its test passes as the live one would, by the objectives of then and the options of now."""

    def __init__(self, *, run: Recorded, **more: Any) -> None:
        super().__init__(**more)
        self.run = run

    def runtest(self) -> None:
        """Judge what was recorded. Raises SLOMissed, RunInvalid, Inconclusive, ResultsError.

        A run that was interrupted has nothing to judge, and is counted as such.
        """
        from pytest_llmdbench.declared.objective import nearest_wins
        from pytest_llmdbench.results.record import result_facts
        from pytest_llmdbench.results.store import RESULT
        from pytest_llmdbench.verdicts.share import CONFIDENCE
        from pytest_llmdbench.verdicts.verdict import assert_verdict, judge

        record = {**_OF_NO_CASE, **self.run.facts, "folder": str(self.run.folder)}
        self.stash[RECORD] = record
        if self.run.report is None and not (self.run.folder / RESULT).exists():
            self._tell_why_there_is_none(record)
        result = self.run.result()
        objectives = nearest_wins(self.run.objectives, bench_of(self.config).plan.option_objectives)
        confidence = self.run.confidence or CONFIDENCE
        verdict = judge(result, objectives, self.run.max_error_rate, self.run.warmup, confidence)
        record |= {"result": result_facts(result), "verdict": verdict.to_json()}
        bench = bench_of(self.config)
        worse = self._compared(bench, record, result, verdict.outcome) if bench.watches_runs else None
        if worse and verdict.outcome in ("PASS", "INCONCLUSIVE"):
            raise worse
        assert_verdict(verdict)

    def _tell_why_there_is_none(self, record: dict[str, Any]) -> None:
        """Raises ResultsError for a run that had an error; skips one that was interrupted, which proves nothing."""
        from pytest_llmdbench.results.case_folder import read_json
        from pytest_llmdbench.results.store import NO_RESULT, RUN

        session = self.run.folder.parent / RUN
        cases = read_json(session).below("cases").data if session.is_file() else {}
        said = cases.get(str(self.run.facts.get("nodeid")))
        if isinstance(said, Mapping) and said.get("error"):
            raise ResultsError(f"{self.run.folder}: has no result: {said['error']}")
        if not isinstance(said, Mapping) or said.get("interrupted"):
            record["interrupted"] = NO_RESULT
            pytest.skip(f"{NO_RESULT}; remove {self.run.folder} to hear no more of it")

    def _compared(self, bench: Bench, record: dict[str, Any], result: Result, outcome: str) -> Regressed | None:
        """All recorded runs of this case against the baseline. Raises ResultsError."""
        from pytest_llmdbench.baselines import LEFT_OUT, compared, kept
        from pytest_llmdbench.verdicts.measured import left_out, measured

        own = measured(self.run, result, outcome)
        if own is None:
            record[LEFT_OUT] = left_out(self.run, result, outcome)
            return compared(bench, [], record, None)
        kept(bench, [own], record, None)
        recorded: Any = self.parent
        alike = [one for one in recorded.measured.cases if (one.case, one.setting) == (own.case, own.setting)]
        return compared(bench, alike or [own], record, None)

    def reportinfo(self) -> tuple[Path, None, str]:
        """What pytest calls this test."""
        return self.path, None, self.name
