"""One run of one case: send the load, read what it measured, keep everything."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from pytest_llmdbench.declared.overrides import apply_overrides
from pytest_llmdbench.declared.source import dotted
from pytest_llmdbench.declared.tokens import fill_tokens
from pytest_llmdbench.declared.workload import HEADER
from pytest_llmdbench.results.provenance import provenance
from pytest_llmdbench.results.store import case_folder, write_json, write_result
from pytest_llmdbench.send import Load, hold, send
from pytest_llmdbench.stacks.ownership import stacks_of

if TYPE_CHECKING:
    import pytest

    from pytest_llmdbench.bench import Bench
    from pytest_llmdbench.fixtures import Slo
    from pytest_llmdbench.plan import Case
    from pytest_llmdbench.results.result import Result
    from pytest_llmdbench.stacks.spec import Endpoint


class Runner:
    """The ``run`` fixture. Each call is one run of the case's load and gives one result."""

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
        """Run the load once, with ``overrides`` on top of the case's own (``rate=5`` sets every leaf named ``rate``).

        Raises:
            HarnessError: the load program could not be started, finished in time or read.
            DeclarationError: an override that matches nothing.
        """
        load, harness = self._case.load, self._case.load.harness
        profile = load.profile
        if overrides:
            given = ", ".join(f"{key}={value!r}" for key, value in overrides.items())
            profile = apply_overrides(profile, overrides, harness.known_keys, f"run({given})")
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
        source.reset(key)
        limit = scenario.timeouts.load_s or _timeout(harness.expected_seconds(filled))
        measured = send(one, timeout_s=limit, say=source.say, trouble=trouble)
        result = replace(measured, server=source.observe(key))
        write_result(folder, result)
        self._slo.expect(result, folder)
        return result

    def _token_values(self) -> dict[str, Any]:
        return {
            "LLMDBENCH_DEPLOY_CURRENT_MODEL": self._endpoint.model,
            "LLMDBENCH_DEPLOY_CURRENT_TOKENIZER": self._endpoint.tokenizer,
            "LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN": self._endpoint.facts.get("max_model_len"),
            "LLMDBENCH_HARNESS_STACK_ENDPOINT_URL": self._endpoint.url,
        }

    def _write_case(self, folder: Path, profile: Any) -> None:
        """Everything that says what was run, before it runs: a crash leaves it behind.

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
                "provenance": provenance(self._bench.command_line, self._bench.config.rootpath),
            },
        )
        objectives = [one.text for one in self._slo.objectives]
        scenario = {**case.stack.spec.config, "harness": case.load.harness.name}
        workload = {HEADER: {"slo": objectives}, **profile}
        for name, tree in (("scenario.yaml", scenario), ("workload.yaml", workload)):
            (folder / name).write_text(yaml.safe_dump(dict(tree), sort_keys=False), encoding="utf-8")


def _timeout(expected_s: float | None) -> float:
    """When a load is given up, in seconds, where nobody said: generous, for a slow server is what it may measure."""
    return 3 * expected_s + 120 if expected_s is not None else 3600.0
