"""Runs as a baseline holds them, with a known level and a known spread from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from pytest_llmdbench.results.baseline import Baseline, CaseRuns, Noise, Run

SETTING = {"model": "m", "harness": "inference-perf", "harness_version": "0.7.0", "workload": "chat", "load": "abc"}


def case(*runs: Run, name: str = "case", noise: Noise | None = None, **setting: str) -> CaseRuns:
    """A case with these runs."""
    return CaseRuns(name, {**SETTING, **setting}, runs, noise)


def ttft(values: Sequence[float], **more: Any) -> tuple[Run, ...]:
    """Runs that measured nothing but a median TTFT, each at another time."""
    return tuple(Run({"ttft.p50": value}, started=f"t{value!r}", **more) for value in values)


def drawn(number: int, seed: int, level: float = 1.0, variation: float = 0.02) -> list[float]:
    """Values of runs that vary by a share of their level."""
    random = np.random.default_rng(seed)
    return [float(value) for value in level * np.exp(random.normal(0, variation, number))]


def baseline(*cases: CaseRuns) -> Baseline:
    """A baseline of these cases."""
    return Baseline("yesterday", cases)
