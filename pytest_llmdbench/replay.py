"""``--llmd-from-results DIR``: recorded runs as tests, judged anew; no cluster, no load program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_llmdbench.bench import bench_of
from pytest_llmdbench.errors import DeclarationError, ResultsError
from pytest_llmdbench.fixtures import RECORD

if TYPE_CHECKING:
    from pytest_llmdbench.bench import Bench
    from pytest_llmdbench.results.recorded import Recorded


def start_replay(config: pytest.Config, bench: Bench) -> None:
    """Have the recorded runs collected in place of tests.

    Raises:
        DeclarationError: tests were named as well; they would not run.
    """
    if config.args_source is pytest.Config.ArgsSource.ARGS:
        raise DeclarationError(
            "--llmd-from-results judges recorded runs in place of running tests: leave out "
            f"{', '.join(config.args)} (-k selects among the runs)"
        )
    folder = Path(bench.settings.get("from_results")).expanduser().absolute()
    if not folder.is_dir():
        raise DeclarationError(f"--llmd-from-results {folder}: there is no such folder of results")
    config.args = [str(folder)]
    config.pluginmanager.register(Replay(folder), "llmdbench-replay")


#: What reports show of a case, and others' runs do not say.
_OF_NO_CASE: Final = {"scenario": None, "workload": None, "treatment": None, "factors": {}, "model": None}


class Replay:
    """Makes the folder of results a collector of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """The folder of results holds runs; those above it are pytest's matter."""
        return RecordedRuns.from_parent(parent, path=path) if path == self._folder else None

    def pytest_ignore_collect(self, collection_path: Path) -> bool | None:
        """Nothing in the folder is a test file, and its place may be one that pytest passes over."""
        return False if collection_path == self._folder else None


class RecordedRuns(pytest.Directory):
    """A folder of results."""

    def collect(self) -> Iterator[pytest.Item]:
        """One test for each recorded run. Raises CollectError for what cannot be read."""
        from pytest_llmdbench.results.recorded import find_recorded

        try:
            runs = find_recorded(self.path)
        except ResultsError as error:
            raise self.CollectError(str(error)) from error
        for run in runs:
            where = run.folder.parent.relative_to(self.path).as_posix() if run.folder != self.path else "."
            name = run.name if where == "." else f"{where}/{run.name}"
            yield RecordedCase.from_parent(self, name=name, run=run)


class RecordedCase(pytest.Item):
    """One recorded run: its test passes as the live one would, by the objectives of then and the options of now."""

    def __init__(self, *, run: Recorded, **more: Any) -> None:
        super().__init__(**more)
        self.run = run

    def runtest(self) -> None:
        """Judge what was recorded. Raises SLOMissed, RunInvalid, Inconclusive, ResultsError."""
        from pytest_llmdbench.declared.objective import nearest_wins
        from pytest_llmdbench.results.record import result_facts
        from pytest_llmdbench.verdicts.verdict import assert_verdict, judge

        record = {**_OF_NO_CASE, **self.run.facts, "folder": str(self.run.folder)}
        self.stash[RECORD] = record
        result = self.run.result()
        objectives = nearest_wins(self.run.objectives, bench_of(self.config).plan.option_objectives)
        verdict = judge(result, objectives, self.run.max_error_rate, self.run.warmup)
        record |= {"result": result_facts(result), "verdict": verdict.to_json()}
        assert_verdict(verdict)

    def reportinfo(self) -> tuple[Path, None, str]:
        """What pytest calls this test."""
        return self.path, None, self.name
