"""priority-mix: what its profiles mean, what its files come to, and its real program against the simulator."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from pytest_llmdbench.errors import DeclarationError, HarnessError
from pytest_llmdbench.harnesses.harness import Place
from pytest_llmdbench.harnesses.priority_mix import PriorityMix
from pytest_llmdbench.harnesses.priority_mix_client import REQUESTS, SUMMARY, turns
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.stacks.spec import Endpoint
from tests.harnesses.inference_perf_runs import MODEL, Counted, simulator

CLASSES: list[dict[str, Any]] = [
    {"name": "critical", "weight": 1, "objective": "app-critical", "fairnessID": "tenant-a",
     "request": {"promptTemplate": "one two three four {variation} ", "promptRepeat": 3, "max_tokens": 8}},
    {"name": "batch", "weight": 3, "objective": "app-batch", "request": {"prompt": "one two", "max_tokens": 4}},
]  # fmt: skip


def profile(**load: Any) -> dict[str, Any]:
    return {
        "load": {"rate_per_second": 40, "total_requests": 20, "max_in_flight": 16, **load},
        "trafficClasses": CLASSES,
    }


def started(told: dict[str, Any], folder: Path, url: str, index: int = 0) -> int:
    """Run the program to its end; its exit code."""
    place = Place(folder, PurePosixPath(folder), index=index)
    command = PriorityMix().command(told, Endpoint(url, MODEL, MODEL), place)
    return subprocess.run(command.argv, cwd=command.cwd, check=False, timeout=60).returncode


def measured(told: dict[str, Any], folder: Path, url: str) -> Result:
    folder.mkdir()
    assert started(told, folder, url) == 0
    return read_run(PriorityMix(), [folder], folder)


def test_classes_take_turns_by_their_weights_and_interleave() -> None:
    sent = list(turns([0.2, 0.6, 0.2], 540))
    assert Counter(sent) == {0: 108, 1: 324, 2: 108}
    for begin in range(0, 540, 5):
        assert Counter(sent[begin : begin + 5]) == {0: 1, 1: 3, 2: 1}


def test_each_class_is_a_stage_with_its_share_of_the_rate() -> None:
    stages = PriorityMix().stages(profile())
    assert [stage.requests for stage in stages] == [5, 15]
    assert [stage.rate for stage in stages] == [10, 30]
    assert [stage.duration_s for stage in stages] == [0.5, 0.5]
    assert PriorityMix().expected_seconds(profile()) == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"trafficClasses": []}, "at least one class"),
        ({"trafficClasses": [5]}, r"'trafficClasses\.0' must be keys and values"),
        ({"trafficClass": CLASSES}, "did you mean 'trafficClasses'"),
        ({"trafficClasses": [{"wieght": 1}]}, r"no key 'trafficClasses\.0\.wieght'; did you mean 'weight'"),
        ({"trafficClasses": [{"weight": 0}]}, r"'trafficClasses\.0\.weight' must be a number above 0"),
        ({"trafficClasses": [{"weight": float("nan")}]}, r"weight' must be a number above 0"),
        ({"trafficClasses": [{"name": "a"}, {"name": "a"}]}, "two of them are called 'a'"),
        ({"trafficClasses": [{"request": {"stream": False}}]}, "always streams"),
        ({"trafficClasses": [{"request": {"promptRepeat": 1.5}}]}, "whole number"),
        ({"trafficClasses": [{"request": {"prompt": 5}}]}, r"request\.prompt' must be text"),
        ({"trafficClasses": [{"headers": {"Authorization": "Bearer x"}}]}, "holds no secrets"),
        ({"trafficClasses": [{"objective": "a\r\nb: c"}]}, "a header is one line"),
        ({"load": {"rate_per_second": "fast"}}, "rate_per_second' must be a number"),
        ({"api": {"type": "caht"}}, "did you mean 'chat'"),
        ({"api": {"type": ["chat"]}}, r"'api\.type' must be text"),
    ],
)
def test_a_wrong_profile_is_refused_with_its_key(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DeclarationError, match=message):
        PriorityMix().stages(profile() | wrong)


def test_the_result_is_what_the_server_counted_class_by_class(tmp_path: Path) -> None:
    with simulator(tmp_path) as url:
        result = measured(profile(), tmp_path / "case", url)
        counted = Counted.at(url)
    whole, (critical, batch) = result.whole, result.stages
    assert counted == Counted(whole.requests.completed, whole.prompt_tokens or 0, whole.output_tokens or 0)
    assert (critical.requests.completed, batch.requests.completed) == (5, 15)
    assert (critical.output_tokens, batch.output_tokens) == (5 * 8, 15 * 4)
    assert critical.lengths["prompt"].mean == 15
    assert (whole.asked_rate, critical.asked_rate, batch.asked_rate) == (40, 10, 30)
    assert set(whole.latencies) == {"ttft", "tpot", "itl", "e2e", "normalized_tpot"}
    assert whole.latencies["itl"].count == 5 * 7 + 15 * 3
    assert whole.schedule_lag is not None


def test_failures_and_streams_cut_midway_are_counted_by_kind(tmp_path: Path) -> None:
    with simulator(tmp_path, faults={"cut_rate": 0.3, "error_rate": 0.2}) as url:
        result = measured(profile(), tmp_path / "case", url)
        answered = Counted.at(url).answers
    requests = result.whole.requests
    assert requests.offered == 20
    assert set(requests.failed) == {"500 - Internal Server Error", "stream cut"}
    assert requests.completed == answered


def test_a_server_that_is_down_makes_all_requests_fail(tmp_path: Path) -> None:
    requests = measured(profile(), tmp_path / "case", "http://127.0.0.1:1").whole.requests
    assert (requests.completed, requests.failed) == (0, {"ConnectionRefusedError": 20})


def test_a_server_that_is_too_slow_for_the_time_limit_times_out(tmp_path: Path) -> None:
    told = profile(total_requests=2, request_timeout_seconds=0.3)
    with simulator(tmp_path, itl=0.2) as url:
        requests = measured(told, tmp_path / "case", url).whole.requests
    assert requests.failed == {"timeout": 2}


def test_a_request_that_waits_for_a_free_place_is_sent_when_there_is_one(tmp_path: Path) -> None:
    told = profile(total_requests=8, max_in_flight=1, rate_per_second=1000)
    with simulator(tmp_path, itl=0.03) as url:
        whole = measured(told, tmp_path / "case", url).whole
    records = [json.loads(line) for line in (tmp_path / "case" / REQUESTS).read_text(encoding="utf-8").splitlines()]
    assert all(after["sent"] >= before["ended"] for before, after in pairwise(records))
    # The last one waits for seven answers of 4 tokens or more, 0.03 s each; none of that is lag of the program.
    waited = records[-1]["sent"] - records[-1]["due"]
    assert waited > 7 * 4 * 0.03
    assert whole.schedule_lag is not None
    assert whole.schedule_lag.maximum is not None
    assert whole.schedule_lag.maximum < waited
    assert whole.achieved_rate is not None
    assert whole.achieved_rate < 10


def test_the_router_is_told_the_class_by_its_two_headers(tmp_path: Path) -> None:
    command = PriorityMix().command(profile(), Endpoint("http://h", MODEL, MODEL), Place.here(tmp_path))
    told = json.loads(Path(command.argv[-1]).read_text(encoding="utf-8"))
    assert [one["headers"] for one in told["classes"]] == [
        {"x-llm-d-inference-objective": "app-critical", "x-llm-d-inference-fairness-id": "tenant-a"},
        {"x-llm-d-inference-objective": "app-batch"},
    ]


def test_in_a_pod_the_program_is_brought_along(tmp_path: Path) -> None:
    place = Place(tmp_path, PurePosixPath("/workspace"), "path", processors=2, index=1)
    command = PriorityMix().command(profile(), Endpoint("http://h", "m", "m"), place)
    assert list(command.argv) == [
        "python3", "-I", "/workspace/priority_mix_client.py", "/workspace/priority-mix.json",
    ]  # fmt: skip
    assert set(command.reads) == {"priority_mix_client.py", "priority-mix.json"}
    assert json.loads((tmp_path / "priority-mix.json").read_text(encoding="utf-8"))["first"] == 1_000_000


def test_the_program_imports_nothing_but_python() -> None:
    program = Path(PriorityMix().command.__globals__["priority_mix_client"].__file__)
    imported = re.findall(r"^(?:import|from) (\w+)", program.read_text(encoding="utf-8"), re.MULTILINE)
    assert set(imported) <= sys.stdlib_module_names


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a good run."""
    folder = tmp_path_factory.mktemp("good")
    with simulator(tmp_path_factory.mktemp("simulator")) as url:
        measured(profile(total_requests=4), folder / "case", url)
    return folder / "case"


@pytest.mark.parametrize("name", [SUMMARY, REQUESTS, "priority-mix.json"])
@pytest.mark.parametrize("text", ["", "[]", "5", "{", '{"class": 1e99}', '{"classes": [{}]}', "[" * 5000, "\x00"])
def test_spoilt_files_name_themselves(name: str, text: str, good: Path, tmp_path: Path) -> None:
    for file in (SUMMARY, REQUESTS, "priority-mix.json"):
        (tmp_path / file).write_bytes((good / file).read_bytes())
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(HarnessError, match=re.escape(name)):
        read_run(PriorityMix(), [tmp_path], tmp_path)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sent", None), ("sent", "now"), ("free", []),
        ("ended", float("nan")), ("class", 1.5), ("class", True), ("class", -1),
        ("usage", {"completion_tokens": 10**400}), ("usage", 5), ("times", 5), ("times", ["x"]),
    ],
)  # fmt: skip
def test_a_spoilt_request_names_its_line(key: str, value: Any, good: Path, tmp_path: Path) -> None:
    for file in (SUMMARY, "priority-mix.json"):
        (tmp_path / file).write_bytes((good / file).read_bytes())
    lines = (good / REQUESTS).read_text(encoding="utf-8").splitlines()
    lines[2] = json.dumps(json.loads(lines[2]) | {key: value})
    (tmp_path / REQUESTS).write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(HarnessError, match=r"requests\.jsonl:3"):
        read_run(PriorityMix(), [tmp_path], tmp_path)


def test_a_kind_of_failure_may_hold_a_point_and_what_is_no_letter(good: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(good, tmp_path / "run"))
    summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
    summary["classes"][0]["failed"] = {"500 - Error in 1.2\udce9": 2}
    (folder / SUMMARY).write_text(json.dumps(summary), encoding="utf-8")
    assert PriorityMix().read(folder).whole.requests.failed == {"500 - Error in 1.2?": 2}


def test_tokens_that_came_in_one_event_have_no_time_between_them_and_not_0(good: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(good, tmp_path / "run"))
    lines = (folder / REQUESTS).read_text(encoding="utf-8").splitlines()
    first = json.loads(lines[0])
    assert first["usage"]["completion_tokens"] > 1
    first["times"] = first["times"][-1:]
    (folder / REQUESTS).write_text("\n".join([json.dumps(first), *lines[1:]]), encoding="utf-8")
    read = next(iter(PriorityMix().requests(folder, PriorityMix().read(folder)) or ()))
    assert (read.events, read.tpot, list(read.gaps)) == (1, None, [])


def test_a_run_that_was_ended_before_its_last_request_is_no_result(good: Path, tmp_path: Path) -> None:
    for file in (REQUESTS, "priority-mix.json"):
        (tmp_path / file).write_bytes((good / file).read_bytes())
    with pytest.raises(HarnessError, match="ended before its last request"):
        read_run(PriorityMix(), [tmp_path], tmp_path)
