"""What one pytest process knows of the benchmarks: the plan, the harnesses, and where results go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from pytest_llmdbench.errors import DeclarationError, LlmdError, nearest
from pytest_llmdbench.options import Settings

if TYPE_CHECKING:
    from pytest_llmdbench.case import Case
    from pytest_llmdbench.declared.objective import Objective
    from pytest_llmdbench.harnesses.harness import Harness
    from pytest_llmdbench.harnesses.registry import Harnesses
    from pytest_llmdbench.plan import Plan
    from pytest_llmdbench.refused import Refused
    from pytest_llmdbench.results.baseline import Baseline
    from pytest_llmdbench.stacks.deployment import DeploymentFactory
    from pytest_llmdbench.stacks.kubernetes.session import KubernetesSession

#: How long kept stacks stay where nobody said, in seconds.
KEEP_S: Final = 4 * 3600.0

BENCH: pytest.StashKey[Bench] = pytest.StashKey()


class Bench:
    """One per process, kept in ``config.stash[BENCH]``; imports what is heavy only when it is asked for a plan."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.settings = Settings(config)
        worker: Mapping[str, Any] | None = getattr(config, "workerinput", None)
        self.is_worker = worker is not None
        self._run_id: str | None = worker.get("llmd_run") if worker else None
        #: The command as it was given to the controller.
        self.command_line: list[str] = (
            worker.get("llmd_command", []) if worker else ["pytest", *map(str, config.invocation_params.args)]
        )

    @property
    def asked_for(self) -> bool:
        """Whether any option of ours is set: a project that merely has the plugin installed sets none."""
        return self.settings.any

    @property
    def without_load(self) -> bool:
        """Whether the tests are only looked at: planned, rendered, or their stacks stood up."""
        return any(self.settings.get(word) for word in ("dry_run", "render_to", "standup_only"))

    @cached_property
    def plan(self) -> Plan:
        """What was declared and asked for. Raises DeclarationError for what is wrong in the environment."""
        if self.settings.problems:
            raise DeclarationError("\n".join(self.settings.problems))
        from pytest_llmdbench.declared.places import Places, shipped_root
        from pytest_llmdbench.plan import Plan

        roots = dict.fromkeys([Path.cwd(), self.config.rootpath, shipped_root()])
        return Plan(Places(tuple(roots)), self.settings, self.harnesses, tuple(self.deployments()))

    @property
    def run_id(self) -> str:
        """The name of this session's results, the same in all its processes."""
        if self._run_id is None:
            from pytest_llmdbench.results.store import new_run_id

            self._run_id = new_run_id()
        return self._run_id

    @property
    def folder(self) -> Path:
        """Where this session's results go; made when the first one is written."""
        return self._results / self.run_id

    def diagnostics(self, stack: str) -> Path:
        """Where states, events and logs of a stack are, if something happened to it."""
        from pytest_llmdbench.stacks.kubernetes.names import slug

        return self.folder / "diagnostics" / slug(stack)

    @property
    def _results(self) -> Path:
        return Path(self.settings.get("results", "llmdbench-results")).expanduser().absolute()

    def check(self) -> None:
        """Find what cannot be meant before anything starts. Raises DeclarationError."""
        self.plan.check()
        _ = self.keep_s, self.allowed, self.margin, self.baseline, self.baseline_to_save
        there = next(place for place in (self._results, *self._results.parents) if place.exists())
        if not there.is_dir() or not os.access(there, os.W_OK):
            given = self.settings.given("results")
            origin = given[-1].origin if given else "results"
            raise DeclarationError(f"{origin}: cannot write to {self._results}: {there} is not a writable folder")

    @cached_property
    def refusal(self) -> str | None:
        """What :meth:`check` finds, looked for once; None where there is nothing to find."""
        try:
            self.check()
        except LlmdError as error:
            return str(error)
        return None

    def deployments(self) -> Mapping[str, DeploymentFactory]:
        """Every way to deploy: our own and those that other plugins add."""
        from pytest_llmdbench.stacks.own_ways import OwnWays

        added = self.config.pluginmanager.hook.pytest_llmdbench_deployments()
        own = OwnWays(self.diagnostics, lambda: self._session).by_name()
        return own | {name: made for offered in added for name, made in offered.items()}

    def cases(self, node: pytest.Item) -> list[Case | Refused]:
        """The cases of one benchmark. Raises DeclarationError for a marker that cannot be meant."""
        names: list[str] = []
        harness: str | None = None
        for mark in node.iter_markers("workload"):
            # The nearest marker decides: a function's own over its class's and module's.
            names = names or [str(name) for name in mark.args]
            harness = harness or mark.kwargs.get("harness")
            unknown = set(mark.kwargs) - {"harness"}
            if unknown:
                raise DeclarationError(
                    f"{node.nodeid}: @pytest.mark.workload takes names and harness=, not {unknown.pop()}="
                )
        return self.plan.cases(names, harness, asked_by=node.nodeid)

    def marked(self, node: pytest.Item) -> list[Objective]:
        """The objectives of the markers around a test, the nearest last. Raises DeclarationError."""
        from pytest_llmdbench.declared.objective import parse_objectives

        marks = reversed(list(node.iter_markers("slo")))
        test, _, _ = node.nodeid.partition("[")
        return [one for mark in marks for one in parse_objectives(map(str, mark.args), f"@slo of {test}")]

    def objectives(self, case: Case, node: pytest.Item) -> tuple[Objective, ...]:
        """The SLO of a case in one test. Raises DeclarationError for one that cannot be meant of the case."""
        return self.plan.objectives(case, self.marked(node))

    @cached_property
    def allowed(self) -> frozenset[str]:
        """Verdicts besides PASS that do not fail a test. Raises DeclarationError for one that cannot be allowed."""
        known = {"inconclusive": "INCONCLUSIVE", "invalid": "INVALID"}
        given = self.settings.get("allow", ())
        for name in given:
            if name not in known:
                raise DeclarationError(
                    f"{self.settings.given('allow')[-1].origin}: no verdict '{name}' can be allowed; "
                    f"{nearest(name, known)}"
                )
        return frozenset(known[name] for name in given)

    @property
    def margin(self) -> float:
        """How much worse than the baseline a metric may be, as a share of 1. Raises DeclarationError."""
        from pytest_llmdbench.baselines import MARGIN, share

        given = self.settings.given("margin")
        return share(given[-1].value, given[-1].origin) if given else MARGIN

    @cached_property
    def baseline(self) -> Baseline | None:
        """What the cases are compared with, if anything. Raises DeclarationError, ResultsError."""
        given = self.settings.given("baseline")
        if not given:
            return None
        from pytest_llmdbench.baselines import where
        from pytest_llmdbench.verdicts.measured import read_any

        name = given[-1].value
        return read_any(where(name, self._roots, given[-1].origin), name)

    @cached_property
    def baseline_to_save(self) -> Path | None:
        """The file that a baseline is saved to, if one is; what is there can be added to.

        Raises DeclarationError, ResultsError.
        """
        given = self.settings.given("save_baseline")
        if not given:
            return None
        from pytest_llmdbench.baselines import where_to_save
        from pytest_llmdbench.results.baseline import read_baseline

        path = where_to_save(given[-1].value, self.config.rootpath, given[-1].origin)
        if path.is_file():
            read_baseline(path)
        return path

    @property
    def watches_runs(self) -> bool:
        """Whether runs are compared with others, or kept to be."""
        return any(self.settings.get(word) for word in ("baseline", "save_baseline", "aa"))

    @property
    def compared(self) -> list[Baseline]:
        """What ``--llmd-compare`` names, the reference first. Raises DeclarationError, ResultsError."""
        from pytest_llmdbench.baselines import where
        from pytest_llmdbench.verdicts.measured import read_any

        names, origin = self.settings.get("compare"), self.settings.given("compare")[-1].origin
        if len(names) < 2:
            raise DeclarationError(f"{origin}: name what to compare and what with: {names[0]},OTHER")
        return [read_any(where(name, self._roots, origin), name) for name in names]

    @property
    def _roots(self) -> list[Path]:
        return list(dict.fromkeys([Path.cwd(), self.config.rootpath]))

    @property
    def keep_s(self) -> float | None:
        """For how many seconds stacks are kept; None where they are not. Raises DeclarationError."""
        from pytest_llmdbench.declared.duration import seconds

        if not (self.settings.get("keep_stack") or self.settings.get("standup_only")):
            return None
        given = self.settings.given("keep_for")
        return seconds(given[-1].value, given[-1].origin) if given else KEEP_S

    @cached_property
    def _session(self) -> KubernetesSession:
        """What the stacks of this process on Kubernetes share."""
        from pytest_llmdbench.stacks.kubernetes.session import KubernetesSession, Wishes

        asked = self.settings.get
        wishes = Wishes(self.folder, self.keep_s, bool(asked("reuse_stack")), bool(asked("wait_for_gpus")))
        return KubernetesSession(wishes)

    @cached_property
    def harnesses(self) -> Harnesses:
        """Every harness: our own and those that other plugins add."""
        from pytest_llmdbench.harnesses.registry import Harnesses

        added: Iterable[Sequence[Harness]] = self.config.pluginmanager.hook.pytest_llmdbench_harnesses()
        return Harnesses(one for offered in added for one in offered)


def bench_of(config: pytest.Config) -> Bench:
    """This process's Bench, made on first use."""
    if BENCH not in config.stash:
        config.stash[BENCH] = Bench(config)
    return config.stash[BENCH]
