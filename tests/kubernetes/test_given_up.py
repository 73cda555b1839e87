"""A load in the cluster is given up by what the stack's servers count, and what it left is brought back."""

from __future__ import annotations

import json

import pytest

from tests.kubernetes.project import Project

pytestmark = pytest.mark.cluster

#: Most answers wait for 3 s; a tenth may take more than 1 s.
SLOW = {"ttft": 2.0, "itl": 0.1, "ttft_spread": {"distribution": "table", "table": [1, 30, 30]}}


@pytest.mark.thorough
def test_a_doomed_load_ends_long_before_its_time(project: Project) -> None:
    project.write("slow", harness="inference-perf", simulator=SLOW, slo=["ttft.p90 <= 1s"])
    status, output = project.run(
        "--scenario=slow", "--llmd-overrides=duration=300", "--llmd-abort-doomed", "--llmd-allow=invalid", seconds=280
    )
    assert status == 1, output
    assert "FAIL: given up after " in output
    (verdict,) = project.folder.glob("llmdbench-results/*/*/verdict.json")
    assert json.loads(verdict.read_text(encoding="utf-8"))["reason"].startswith("given up after ")
    result = json.loads((verdict.parent / "result.json").read_text(encoding="utf-8"))
    assert result["elapsed_s"] < 150
    assert (verdict.parent / "stdout.log").is_file()
