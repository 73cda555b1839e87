"""From a workload and what was asked for to the profile that a harness gets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pytest_llmdbench.declared.overrides import Overrides, apply_overrides
from pytest_llmdbench.declared.tokens import check_fillable
from pytest_llmdbench.declared.treatments import Treatment
from pytest_llmdbench.declared.workload import Workload
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.harness import Harness, InPods, PlannedStage


@dataclass(frozen=True, eq=False)
class PlannedLoad:
    """A workload with one run treatment: the profile that the harness gets, but for what only a running stack knows.

    ``program`` is what the harness is called in names: with its version where a version was asked for.
    """

    workload: Workload
    harness: Harness
    program: str
    treatment: Treatment | None
    profile: Mapping[str, Any]
    stages: Sequence[PlannedStage]
    expected_s: float | None

    @cached_property
    def id(self) -> str:
        """``inference-perf-chatbot_synthetic-rate5``."""
        return load_id(self.program, self.workload.name, self.treatment)

    @cached_property
    def in_pods(self) -> InPods | None:
        """The harness, where it has a say on the pods that its program runs in: asked once for thousands of cases."""
        return self.harness if isinstance(self.harness, InPods) else None


def load_id(program: str, workload: str, treatment: Treatment | None) -> str:
    """What a load is called, whether it can be sent or not."""
    return "-".join([program, workload, *([treatment.name] if treatment else [])])


def plan_load(
    workload: Workload,
    harness: Harness,
    run: Treatment | None,
    asked: Iterable[Overrides],
    *,
    quick: bool,
    program: str | None = None,
    dataset: Path | None = None,
) -> PlannedLoad:
    """Lay over a workload: its own ``quick`` part, then the run treatment, then what was ``asked`` for as options.

    ``dataset`` is a file or folder of data to send: the workload's ``dataset`` part says where it goes.

    Raises:
        DeclarationError: an override that matches nothing or is filled in by the run, a token that no run fills in, or
            a profile that the program would refuse.
    """
    profile: Mapping[str, Any] = workload.profile
    steps: list[Overrides] = [
        *(workload.said("quick") if quick else ()),
        *(workload.said("dataset") if dataset else ()),
    ]
    if run:
        steps.append((run.overrides, run.origin))
    steps += asked
    for overrides, origin in steps:
        changed = apply_overrides(profile, overrides, harness.known_keys, origin, f"{harness.name}/{workload.name}")
        for path in harness.filled:
            if _at(changed, path) != _at(profile, path):
                raise DeclarationError(f"{origin}: '{path}' is filled in by the run and cannot be set")
        profile = changed
    try:
        check_fillable(profile, dataset)
        stages, expected = tuple(harness.stages(profile)), harness.expected_seconds(profile)
    except DeclarationError as error:
        raise DeclarationError(f"{workload.where(str(error), steps)}: {error}") from error
    return PlannedLoad(workload, harness, program or harness.name, run, profile, stages, expected)


def _at(tree: Any, path: str) -> Any:
    for part in path.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else None
    return tree
