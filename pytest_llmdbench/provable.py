"""Whether a planned load can prove what is asked of it: found before anything is deployed. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pytest_llmdbench.declared.objective import Objective
from pytest_llmdbench.declared.warmup import Warmup
from pytest_llmdbench.harnesses.harness import PlannedStage
from pytest_llmdbench.repeats import ONCE, Repeats
from pytest_llmdbench.verdicts.share import requests_to_prove

#: The percentiles that people ask for, the highest first.
_USUAL: Final = (99.9, 99.0, 98.0, 95.0, 90.0, 80.0, 75.0, 50.0)


def planned_requests(stages: Sequence[PlannedStage], stage: int | None, warmup: Warmup) -> int | None:
    """How many requests a verdict on a stage (None: on the whole load) would rest on; None where nobody can say."""
    counted = [
        one
        for number, one in enumerate(stages)
        if number >= warmup.stages and (stage is None or number == stage)
    ]  # fmt: skip
    numbers = [one.requests for one in counted if one.requests is not None]
    return sum(numbers) if counted and len(numbers) == len(counted) else None


def cannot_prove(
    objective: Objective, stages: Sequence[PlannedStage], warmup: Warmup, repeats: Repeats = ONCE
) -> str | None:
    """Why a load of these stages cannot prove an objective, even if not one request is bad; None if it can.

    All runs that there may be count together.
    """
    return hardest_to_prove([objective], stages, warmup, repeats)


def hardest_to_prove(
    objectives: Sequence[Objective], stages: Sequence[PlannedStage], warmup: Warmup, repeats: Repeats = ONCE
) -> str | None:
    """The same for several: why it cannot prove the one that takes the longest load, and which others it cannot."""
    short = [one for objective in objectives if (one := _short(objective, stages, warmup, repeats))]
    if not short:
        return None
    hardest = max(short, key=lambda one: one.times)
    objective, runs, confidence = hardest.objective, repeats.most, repeats.confidence
    where = f" of stage {objective.stage}" if objective.stage is not None else ""
    where += f" in {runs} runs" if runs > 1 else ""
    others = ", ".join(f"'{one.objective.text}' ({one.objective.origin})" for one in short if one is not hardest)
    return (
        f"objective '{objective.text}' ({objective.origin}) takes {hardest.needed} requests to prove, all of them good "
        f"({100 * confidence:.3g}% sure); this load has {hardest.planned}{where}: "
        f"make it {math.ceil(hardest.times * 10) / 10:g} times as long{_durations(stages, hardest.times)}"
        f"{_or_ask_for(objective, hardest.planned, confidence)}"
        f"{f'; it is too short for {others} as well' if others else ''}"
    )


@dataclass(frozen=True, slots=True)
class _Short:
    """An objective that takes more requests than are ``planned`` in all runs."""

    objective: Objective
    planned: int
    needed: int

    @property
    def times(self) -> float:
        return self.needed / max(1, self.planned)


def _short(objective: Objective, stages: Sequence[PlannedStage], warmup: Warmup, repeats: Repeats) -> _Short | None:
    if objective.allowed is None:
        return None
    needed = requests_to_prove(objective.allowed, confidence=repeats.confidence)
    planned = planned_requests(stages, objective.stage, warmup)
    if planned is None or planned * repeats.most >= needed:
        return None
    return _Short(objective, planned * repeats.most, needed)


def _durations(stages: Sequence[PlannedStage], times: float) -> str:
    durations = {one.duration_s for one in stages}
    if len(durations) == 1 and None not in durations:
        (duration,) = durations
        return f" (--llmd-overrides duration={math.ceil((duration or 0.0) * times)})"
    return ""


def _or_ask_for(objective: Objective, requests: int, confidence: float) -> str:
    if objective.percentile is None:
        return ""
    able = next((one for one in _USUAL if requests_to_prove(1 - one / 100, confidence=confidence) <= requests), None)
    if not able or able >= objective.percentile:
        return ""
    # Beside it, as a further objective, it would change nothing.
    return f", or ask for {objective.metric}.p{able:g} in its place, in {objective.origin}"
