"""The scenario that docs/scenarios.md shows, copied as it is, runs a benchmark in minutes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_scenario_of_the_page_copied_as_it_is_runs_chatbot_in_two_minutes(pytester: pytest.Pytester) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "docs/scenarios.md").read_text(), re.MULTILINE | re.DOTALL)
    (pytester.path / "copied.yaml").write_text(block)
    done = pytester.runpytest_subprocess(
        str(ROOT / "benchmarks/test_chatbot.py"), "--scenario=copied.yaml", "--llmd-dry-run", "-p", "no:cacheprovider"
    )
    assert done.ret == 0
    assert "copied-inference-perf-chatbot_synthetic" in {line.strip() for line in done.outlines}
    (expected,) = re.findall(r"expected duration of all load, one after the other: (\d+) s", done.stdout.str())
    assert int(expected) <= 120
