"""One run of one case: send the load, read what it measured, keep everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pytest_llmdbench.declared.overrides import apply_overrides
from pytest_llmdbench.declared.source import dotted
from pytest_llmdbench.declared.tokens import dataset_values, fill_tokens
from pytest_llmdbench.declared.workload import HEADER
from pytest_llmdbench.giving_up import SCRAPE_S, doom_of, give_up
from pytest_llmdbench.results.benchmark_report import write as write_reports
from pytest_llmdbench.results.economy import economy
from pytest_llmdbench.results.pooling import pool
from pytest_llmdbench.results.provenance import provenance
from pytest_llmdbench.results.recorded import RUNS, SURE
from pytest_llmdbench.results.store import case_folder, pooled_folder, write_json, write_result
from pytest_llmdbench.send import Load, hold, send
from pytest_llmdbench.stacks.ownership import stacks_of

if TYPE_CHECKING:
    import pytest

    from pytest_llmdbench.bench import Bench
    from pytest_llmdbench.case import Case
    from pytest_llmdbench.doom_watch import DoomWatch
    from pytest_llmdbench.fixtures import Slo
    from pytest_llmdbench.results.result import Result
    from pytest_llmdbench.stacks.spec import Endpoint


class Runner:
    """The ``run`` fixture. Each call runs the case's load, as often as was asked for, and gives one result."""

    def __init__(
        self, node: pytest.Item, bench: Bench, case: Case, slo: Slo, endpoint: Endpoint, record: dict[str, Any]
    ) -> None:
        self._node = node
        self._bench = bench
        self._case = case
        self._slo = slo
        self._endpoint = endpoint
        self._record = record

    def __call__(self, **overrides: Any) -> Result:
        """Run the load, with ``overrides`` on top of the case's own (``rate=5`` sets every leaf named ``rate``).

        Once, if nothing else was asked for; else the result is that of all runs together (see :mod:`.repeats`).

        Raises:
            HarnessError: the load program could not be started, finished in time or read.
            DeclarationError: an override that matches nothing.
        """
        profile = self._case.load.profile
        if overrides:
            given = ", ".join(f"{key}={value!r}" for key, value in overrides.items())
            known = self._case.load.harness.known_keys
            profile = apply_overrides(profile, overrides, known, f"run({given})")
        result, folder = self._repeated(profile)
        self._slo.expect(result, folder)
        return result

    def _repeated(self, profile: Mapping[str, Any]) -> tuple[Result, Path]:
        """All runs that were asked for, and then as many as it takes to tell; what they say together, and its folder.

        A load that was given up is not run again.
        """
        repeats, say = self._case.repeats, stacks_of(self._bench.config).say
        name = f"{self._case.id}: {self._case.load.harness.name}"
        asked = self._bench.settings.get("abort_doomed")
        doom = doom_of(self._case, self._slo.objectives, profile) if asked else None
        runs: list[tuple[Result, Path]] = []
        while True:
            if repeats.most > 1:
                say(f"{name}: run {len(runs) + 1} of {max(repeats.runs, len(runs) + 1)}")
            runs.append(self.measure(profile, doom=doom))
            result, folder = runs[-1]
            if result.abandoned is None and len(runs) < repeats.runs:
                continue
            if len(runs) > 1:
                result, folder = self._pooled(runs, profile)
            if result.abandoned is not None or len(runs) >= repeats.most:
                return result, folder
            verdict = self._slo.preview(result)
            if verdict.outcome != "INCONCLUSIVE":
                return result, folder
            say(f"{name}: {verdict.reason.partition(':')[0]}: one more, of at most {repeats.most - len(runs)}")

    def _pooled(self, runs: Sequence[tuple[Result, Path]], profile: Mapping[str, Any]) -> tuple[Result, Path]:
        """What several runs say together, in a folder of its own that can be read like that of a run."""
        folder = pooled_folder(runs[0][1])
        self._write_case(folder, profile, [one.name for _, one in runs])
        result = pool([one for one, _ in runs], folder)
        write_result(folder, result)
        for _, one in runs:
            write_reports(one)
        if "verdict" not in self._record:
            self._record["folder"] = str(folder)
        return result, folder

    def measure(
        self, profile: Mapping[str, Any], longest_s: float = 0.0, doom: DoomWatch | None = None
    ) -> tuple[Result, Path]:
        """Run the case's load as ``profile`` has it, once; gives the result, which nobody has judged, and its folder.

        ``longest_s`` is how many seconds a slow server may take for it, where that is more than the load is meant to.
        With ``doom`` it is given up once it can no longer pass.

        Raises:
            HarnessError: the load program could not be started, finished in time or read.
        """
        harness = self._case.load.harness
        source = stacks_of(self._bench.config)
        folder = case_folder(self._bench.folder, self._node.nodeid)
        if "verdict" not in self._record:  # else the record is about an earlier run, until this one is judged worse
            self._record["folder"] = str(folder)
        filled = fill_tokens(profile, self._token_values())
        self._write_case(folder, profile)
        scenario, endpoint = self._case.stack.scenario, self._endpoint
        one = Load(harness, filled, endpoint, folder, f"{self._case.id}: {harness.name}")
        key = self._case.stack.spec.key
        trouble = partial(source.trouble, key)
        if self._bench.settings.get("debug_pod"):
            import pytest

            pytest.skip(hold(one, say=source.say, trouble=trouble))
        kept = source.reset(key)
        ask = give_up(self._case, one, doom, source) if doom is not None else None
        if every := scenario.load.scrape_s:
            source.scrape(key, min(every, SCRAPE_S) if ask is not None else every, folder)
        expected = harness.expected_seconds(filled)
        limit = scenario.timeouts.load_s or _timeout(None if expected is None else max(expected, longest_s))
        measured = send(one, timeout_s=limit, say=source.say, trouble=trouble, give_up=ask)
        if measured.abandoned is not None:
            source.say(f"{one.name}: {measured.abandoned}")
        left = {"not_reset": kept} if kept is not None else {}
        seen = replace(measured, server={**source.observe(key), **left})
        result = replace(seen, economy=economy(seen, scenario.accelerator, endpoint.facts))
        write_result(folder, result)
        return result, folder

    def _token_values(self) -> dict[str, Any]:
        dataset = self._bench.plan.dataset
        return {
            **(dataset_values(dataset) if dataset else {}),
            "LLMDBENCH_DEPLOY_CURRENT_MODEL": self._endpoint.model,
            "LLMDBENCH_DEPLOY_CURRENT_TOKENIZER": self._endpoint.tokenizer,
            "LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN": self._endpoint.facts.get("max_model_len"),
            "LLMDBENCH_HARNESS_STACK_ENDPOINT_URL": self._endpoint.url,
        }

    def _write_case(self, folder: Path, profile: Any, runs: Sequence[str] = ()) -> None:
        """Everything that says what was run, before it runs: a crash leaves it behind.

        ``runs`` are the folders' names of what is pooled in this one.

        ``scenario.yaml`` and ``workload.yaml`` are complete, so that the run can be repeated from its folder alone.
        """
        case = self._case
        write_json(
            folder / "case.json",
            {
                **{key: value for key, value in self._record.items() if key not in ("result", "verdict", "folder")},
                "nodeid": self._node.nodeid,
                "run": self._bench.run_id,
                "scenario_origins": {dotted(path): origin for path, origin in case.stack.layers.origins.items()},
                "stack_facts": dict(self._endpoint.facts),
                "objectives": [{"objective": one.text, "origin": one.origin} for one in self._slo.objectives],
                **({RUNS: list(runs)} if runs else {}),
                SURE: case.repeats.confidence,
                "provenance": provenance(self._bench.command_line, self._bench.config.rootpath),
            },
        )
        objectives = [one.text for one in self._slo.objectives]
        scenario = {**case.stack.spec.config, "harness": case.load.harness.name}
        header = {"slo": objectives, "warmup": case.load.workload.header.warmup}
        workload = {HEADER: header, **profile}
        for name, tree in (("scenario.yaml", scenario), ("workload.yaml", workload)):
            (folder / name).write_text(yaml.safe_dump(dict(tree), sort_keys=False), encoding="utf-8")


def _timeout(expected_s: float | None) -> float:
    """When a load is given up, in seconds, where nobody said: generous, for a slow server is what it may measure."""
    return 3 * expected_s + 120 if expected_s is not None else 3600.0
