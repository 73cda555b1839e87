"""Requests that cannot have been are no statistics: each is one error that says which program and what of it."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.plausible import plausible
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.results.request import Request

DATA = Path(__file__).parents[1] / "data"
GOOD = Request(2, 1.79e9, 1.79e9 + 1, "completed", prompt_tokens=10, output_tokens=3, ttft=0.4, tpot=0.3, gaps=[0.6])


def test_requests_that_can_have_been_pass_as_they_are() -> None:
    early = replace(GOOD, lag=-0.01, sent=GOOD.sent - 60)
    unsent = Request(0, 0.5 + GOOD.sent, None, "unfinished")
    assert list(plausible(iter([GOOD, early, unsent]), Path("run"), "one")) == [GOOD, early, unsent]


def test_what_rounding_makes_of_an_answer_that_took_no_time_passes() -> None:
    at_once = replace(GOOD, ended=math.nextafter(GOOD.sent, 0), ttft=-1e-17, tpot=None, gaps=())
    assert list(plausible(iter([at_once]), Path("run"), "one")) == [at_once]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"ended": GOOD.sent - 5}, r"ended 5 s before it was sent: was the machine's clock set back"),
        ({"ttft": -0.004}, "has -0.004 s as its ttft"),
        ({"ttft": math.nan}, "has nan s as its ttft"),
        ({"tpot": -1.0}, "has -1 s as its tpot"),
        ({"gaps": [0.1, -0.2]}, "has -0.2 s as its gap"),
        ({"gaps": [0.1, 1e9]}, r"has 1e\+09 s as its gap"),
        ({"sent": 0.0}, r"has 1\.79e\+09 s as its e2e"),
        ({"sent": math.inf}, "was sent inf s from 1970"),
        ({"lag": math.inf}, "has inf s as its lag"),
        ({"prompt_tokens": -1}, "has -1 prompt tokens"),
        ({"output_tokens": 2**40}, r"has 1\.09951e\+12 output tokens"),
    ],
)
def test_a_request_that_cannot_have_been_is_one_error(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(HarnessError, match=rf"^run: a request that one recorded in stage 2 {said}"):
        list(plausible(iter([GOOD, replace(GOOD, **changed)]), Path("run"), "one"))


def test_a_request_that_was_sent_years_before_the_others_is_one_error() -> None:
    long_ago = replace(GOOD, sent=0.0, ended=1.0)
    with pytest.raises(HarnessError, match=r"was sent 1\.79e\+09 s after another"):
        list(plausible(iter([GOOD, long_ago]), Path("run"), "one"))


def before_it_was_sent(harness: str, folder: Path) -> None:
    """Of the first request in genuine files its end, or its first token, comes 5 s too early."""
    if harness == "aiperf":
        path = folder / "profile_export.jsonl"
        first, rest = path.read_text(encoding="utf-8").split("\n", 1)
        line = json.loads(first)
        line["metadata"]["request_end_ns"] -= 5_000_000_000
        path.write_text(f"{json.dumps(line)}\n{rest}", encoding="utf-8")
        return
    changes: dict[str, tuple[str, Callable[[Any], None]]] = {
        "inference-perf": ("per_request_lifecycle_metrics.json", lambda all_: all_[0].update(end_time=0)),
        "guidellm": (
            "results.json",
            lambda report: report["benchmarks"][0]["requests"]["successful"][0]["info"]["timings"].update(
                first_token_iteration=1.0
            ),
        ),
        "vllm-benchmark": ("vllm-bench.json", lambda all_: all_["latencies"].__setitem__(0, 0.001)),
    }
    name, change = changes[harness]
    data = json.loads((folder / name).read_text(encoding="utf-8"))
    change(data)
    (folder / name).write_text(json.dumps(data), encoding="utf-8")


@pytest.mark.parametrize("harness", ["inference-perf", "guidellm", "vllm-benchmark", "aiperf"])
def test_times_before_a_request_was_sent_are_no_result_of_any_program(harness: str, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DATA / harness / "constant", tmp_path / "run"))
    before_it_was_sent(harness, folder)
    with pytest.raises(HarnessError, match=rf"run: a request that {harness} recorded in stage 0 (ended|has -)"):
        read_run(Harnesses()(harness), [folder], tmp_path)


@pytest.mark.parametrize(
    ("harness", "name", "place"),
    [
        (
            "inference-perf",
            "stage_1_lifecycle_metrics.json",
            ("successes", "latency", "time_to_first_token", "mean"),
        ),
        ("inference-perf", "summary_lifecycle_metrics.json", ("benchmark_time_seconds",)),
        ("guidellm", "results.json", ("benchmarks", 0, "metrics", "request_latency", "successful", "min")),
        ("guidellm", "results.json", ("benchmarks", 0, "duration")),
        ("vllm-benchmark", "vllm-bench.json", ("mean_ttft_ms",)),
        ("aiperf", "profile_export_aiperf.json", ("inter_token_latency", "p99")),
    ],
)
def test_a_summary_below_0_is_named_with_file_and_field(
    harness: str, name: str, place: tuple[Any, ...], tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(DATA / harness / "constant", tmp_path / "run"))
    data = json.loads((folder / name).read_text(encoding="utf-8"))
    inner = data
    for step in place[:-1]:
        inner = inner[step]
    assert inner[place[-1]] > 0
    inner[place[-1]] = -3
    (folder / name).write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(HarnessError, match=rf"run/{name}: '.+' should be 0 or more, not '-3'"):
        Harnesses()(harness).read(folder)


def test_a_lag_below_0_is_one_that_was_sent_early(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(DATA / "inference-perf" / "constant", tmp_path / "run"))
    path = folder / "stage_0_lifecycle_metrics.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    data["load_summary"]["schedule_delay"]["min"] = -0.25
    path.write_text(json.dumps(data), encoding="utf-8")
    lag = Harnesses()("inference-perf").read(folder).stages[0].schedule_lag
    assert lag is not None
    assert lag.minimum == -0.25
