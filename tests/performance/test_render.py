"""What it costs to render one stack, in CPU seconds: every scenario that comes with the plugin."""

from __future__ import annotations

import statistics
import time
from pathlib import Path
from typing import Final

import pytest

from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.places import shipped_root
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.declared.strict import read_model
from pytest_llmdbench.stacks.kubernetes.rendering import files
from pytest_llmdbench.stacks.kubernetes.ways import WAYS

pytestmark = pytest.mark.performance

ROUNDS: Final = 5
GOAL_S: Final = 0.1


def cpu_seconds(path: Path) -> float | None:
    """Median CPU seconds from the scenario's file to the text of all files of its stack; None for other ways."""
    taken = []
    for _ in range(ROUNDS):
        began = time.process_time()
        layers = Layers()
        layers.add_source(load_yaml(path))
        scenario = read_model(Scenario, layers)
        if scenario.deploy not in WAYS:
            return None
        assert list(files(path.stem, scenario))
        taken.append(time.process_time() - began)
    return statistics.median(taken)


def test_a_stack_renders_in_a_blink(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {path.stem: cpu_seconds(path) for path in sorted((shipped_root() / "scenarios").glob("*.yaml"))}
    taken = {name: seconds for name, seconds in measured.items() if seconds is not None}
    slowest = max(taken, key=lambda name: taken[name])
    with capsys.disabled():
        print(f"\nrendering one stack, median of {len(taken)} scenarios: {statistics.median(taken.values()):.3f} CPU-s")
        print(
            f"slowest ({slowest}): {taken[slowest]:.3f} CPU-s, x{taken[slowest] / GOAL_S:.2f} of the goal of {GOAL_S} s"
        )
