"""Splits into prefill and decode in the recommendation: where they are tried, how many engines, and as a scenario."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.candidate import HEADROOM, Candidate, Prefill
from pytest_llmdbench.capacity.engines import read_scenario
from pytest_llmdbench.capacity.explore import Exploration, explore
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.main import main
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.preflight import check_scenario
from pytest_llmdbench.capacity.ranking import by_cost, order_of
from pytest_llmdbench.capacity.scenario_file import scenario_of
from pytest_llmdbench.capacity.speed import Speed
from pytest_llmdbench.capacity.speed import speed as roofline
from pytest_llmdbench.capacity.validation import validate
from pytest_llmdbench.declared.objective import parse_objectives

ROOT = Path(__file__).parents[2]
#: Long prompts, short answers, and a tight TPOT: what such deployments are made for.
LOAD = Load(4000, 200, concurrency=1)
SLO = parse_objectives(["ttft.p90 <= 2s", "tpot.p90 <= 30ms"], "test")
WORDS = ("recommend", "Qwen/Qwen3-32B", "--input-tokens", "4000", "--output-tokens", "200", "--gpu", "H100")
TIGHT = ("--rate", "40", "--slo", "ttft.p90 <= 2s", "--slo", "tpot.p90 <= 30ms")


def asked(model: str = "Qwen/Qwen3-32B", gpu: str = "H100", **changes: Any) -> Asked:
    return replace(Asked(find_model(model), LOAD, SLO, gpus=[find_gpu(gpu)], rate=40.0), **changes)


def splits_of(found: Exploration) -> list[tuple[Candidate, Prefill]]:
    return [(one, one.prefill) for one in found.best if one.prefill]


@pytest.fixture(scope="module")
def found() -> Exploration:
    return explore(asked())


def test_long_prompts_with_a_tight_tpot_are_cheaper_on_engines_of_their_own(found: Exploration) -> None:
    best, *others = found.best
    assert best.prefill
    assert by_cost(best) < 0.7 * min(by_cost(one) for one in others if not one.prefill)


def test_a_load_that_one_engine_carries_is_not_split() -> None:
    best = explore(asked("Qwen/Qwen3-8B", rate=1.0)).best[0]
    assert (best.prefill, best.replicas) == (None, 1)


def test_both_kinds_of_engines_start_and_together_meet_the_slo(found: Exploration) -> None:
    assert len(splits_of(found)) > 1
    for one, prefill in splits_of(found):
        assert not one.missed
        assert {validate(config).verdict for config in (one.config, prefill.config)} == {"will start"}
        assert one.speed.tpot_range[1] <= 0.03
        assert one.speed.ttft_range[1] <= 2
        assert one.replicas * one.speed.requests_per_second == pytest.approx(40, rel=0.01)


def test_both_pools_carry_the_rate_with_something_to_spare_and_not_much(found: Exploration) -> None:
    for _, prefill in splits_of(found):
        assert prefill.busy <= HEADROOM * 1.001
        # One engine fewer would be too busy.
        assert prefill.busy * prefill.replicas / max(1, prefill.replicas - 1) > HEADROOM or prefill.replicas == 1


def test_cost_is_that_of_the_gpus_of_both_kinds() -> None:
    found = explore(asked(price_per_hour=3.0))
    for one, prefill in splits_of(found):
        gpus = one.replicas * one.config.gpus + prefill.replicas * prefill.config.gpus
        assert one.gpus == gpus
        assert one.cost
        assert one.cost.per_hour == gpus * 3.0
        assert one.cost.whole_per_million_output == pytest.approx(gpus * 3.0 / (40 * 200 * 3600) * 1e6, rel=0.01)
        reading = one.cost.per_million_input * LOAD.prompt_tokens / (one.cost.whole_per_million_output * 200)
        assert reading == pytest.approx(prefill.replicas * prefill.config.gpus / gpus)
        assert one.per_gpu == pytest.approx(40 * 200 / gpus, rel=0.01)


def test_what_costs_the_same_and_is_one_kind_of_engine_comes_first(found: Exploration) -> None:
    split, _ = splits_of(found)[0]
    alone = replace(split, prefill=None, replicas=2 * split.gpus)
    assert (by_cost(alone), alone.gpus > split.gpus) == (by_cost(split), True)
    assert sorted([split, alone], key=order_of("cost")) == [alone, split]


def test_a_tight_ttft_takes_more_prefill_engines_or_larger_ones() -> None:
    slo = parse_objectives(["ttft.p90 <= 800ms", "tpot.p90 <= 30ms"], "test")
    for one, prefill in splits_of(explore(asked(objectives=slo))):
        waits = one.speed.wait.at(90) + one.speed.ttft - one.speed.wait.mean
        assert waits * (1 + one.speed.ttft_error) <= 0.8
        assert prefill.prompt_s < 0.4


def test_a_ttft_that_no_prompt_is_read_in_has_no_split() -> None:
    assert not splits_of(explore(asked(objectives=parse_objectives(["ttft.mean <= 50ms"], "test"))))


def test_a_concurrency_is_in_flight_on_both_kinds_of_engines_together() -> None:
    for one, prefill in splits_of(explore(asked(rate=None, concurrency=300))):
        assert one.replicas * one.speed.concurrency == pytest.approx(300, rel=0.02)
        assert one.replicas * one.speed.running < 300
        assert prefill.busy < 1


def test_where_nothing_bounds_the_load_neither_pool_idles_much() -> None:
    for one, prefill in splits_of(explore(asked(rate=None))):
        assert 0.6 < prefill.busy <= HEADROOM
        assert one.replicas <= 8
        assert one.config.max_num_seqs is None or one.config.max_num_seqs >= one.speed.running


@pytest.mark.parametrize("gpu", ["L40S", "H100-PCIE-80GB", "RTX-4090", "GAUDI3"])
def test_gpus_of_whose_network_nothing_is_assumed_are_not_split(gpu: str) -> None:
    assert not splits_of(explore(asked("Qwen/Qwen3-8B", gpu, objectives=())))


def test_states_of_linear_attention_are_not_handed_on() -> None:
    assert not splits_of(explore(asked("Qwen/Qwen3.5-35B-A3B", objectives=())))


def test_another_estimate_of_speed_has_no_splits() -> None:
    def made_up(config: Any, load: Load) -> Speed:
        return roofline(config, load)

    assert not splits_of(explore(asked(estimate=made_up)))


def test_both_kinds_of_engines_have_the_same_types() -> None:
    found = splits_of(explore(asked(small_types=True)))
    assert {one.config.kv_type for one, _ in found} == {"auto", "fp8"}
    for one, prefill in found:
        assert one.config.kv_type == prefill.config.kv_type
        assert one.config.model == prefill.config.model


@pytest.mark.parametrize(
    ("model", "gpu"),
    [
        ("Qwen/Qwen3-32B", "H100"),
        ("Qwen/Qwen3-32B", "MI300X"),
        # Layers with a window, which keep all tokens with a connector.
        ("google/gemma-3-27b-it", "H100"),
        ("Qwen/Qwen3-235B-A22B-FP8", "H200"),
        # Two nodes for each engine.
        ("deepseek-ai/DeepSeek-V3", "H100"),
    ],
)
def test_a_split_is_a_scenario_whose_roles_both_start(model: str, gpu: str, tmp_path: Path) -> None:
    want = asked(model, gpu, objectives=parse_objectives(["tpot.p90 <= 80ms"], "test"), small_types=True)
    found = splits_of(explore(want))
    assert found
    for one, prefill in found:
        file = tmp_path / "split.yaml"
        file.write_text(scenario_of(one, want), encoding="utf-8")
        scenario = read_scenario(file)
        assert scenario.deploy == "modelservice"
        decode, reading = scenario.role("decode"), scenario.role("prefill")
        assert (decode.replicas, reading.replicas) == (one.replicas, prefill.replicas)
        assert decode.vllm.kv_transfer_config
        assert reading.vllm.kv_transfer_config == decode.vllm.kv_transfer_config
        roles = {finding.role: finding.validation for finding in check_scenario(scenario)}
        assert {role: each.verdict for role, each in roles.items()} == {"decode": "will start", "prefill": "will start"}
        assert roles["decode"].memory.kv == pytest.approx(validate(one.config).memory.kv)
        assert roles["prefill"].memory.kv == pytest.approx(validate(prefill.config).memory.kv)
        assert (decode.workers, reading.workers) == (one.config.nodes, prefill.config.nodes)


def test_the_scenario_of_a_split_is_planned_and_rendered(found: Exploration, tmp_path: Path) -> None:
    one, prefill = splits_of(found)[0]
    file = tmp_path / "split.yaml"
    file.write_text(scenario_of(one, found.asked), encoding="utf-8")
    options = [f"--scenario={file}", "--llmd-dry-run", "-p", "no:cacheprovider", f"--llmd-results={tmp_path}"]
    command = [sys.executable, "-m", "pytest", str(ROOT / "benchmarks"), "-k", "chatbot", *options]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert (prefill.config.gpus, one.config.gpus) == (1, 8)
    for shown in ("NixlConnector", "prefill-filter", "--tensor-parallel-size=8", "nvidia.com/gpu: '1'"):
        assert shown in run.stdout


def test_the_file_says_what_is_estimated_and_assumed(found: Exploration) -> None:
    one, prefill = splits_of(found)[0]
    text = scenario_of(one, found.asked)
    engines = f"{prefill.replicas} prefill engines"
    for said in ("compared with one measured model alone", "25 GB/s a GPU", engines, "rdma/ib"):
        assert said in text


def run(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main([*WORDS, *words]) == 0
    return capsys.readouterr().out


def test_the_terminal_tells_a_split_as_such_and_how_unsure_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, *TIGHT)
    assert "3 of 4 engines can do what is asked for, and 3 splits into prefill and decode" in said
    assert "P/D: 19 x (1 x H100-SXM-80GB) prefill + 1 x (8 x H100-SXM-80GB, tp8) decode *" in said
    assert "compared with one measured model alone" in said
    assert "TPOT and throughput to about 30%" in said


def test_nothing_is_said_of_splits_where_they_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, *TIGHT, "--no-split")
    assert "P/D" not in said
    assert "split" not in said
    assert "14 x (4 x H100-SXM-80GB, tp4)" in said


def test_json_has_both_kinds_of_engines_and_what_the_first_token_waits_for(capsys: pytest.CaptureFixture[str]) -> None:
    data = json.loads(run(capsys, *TIGHT, "--json"))
    best = data["best"][0]
    assert best["configuration"]["tensor_parallel_size"] == 8
    assert best["prefill"]["configuration"]["tensor_parallel_size"] == 1
    assert (best["replicas"], best["prefill"]["replicas"]) == (1, 19)
    assert best["gpus"] == 8 + 19
    parts = best["speed"]["wait"]["mean"] + best["prefill"]["prompt_s"] + best["prefill"]["transfer_s"]
    assert 0 < parts < best["speed"]["ttft"]
    assert data["splits_meeting"] == 3
    assert any(one["prefill"] for one in data["pareto"])
    assert {one["prefill"] is None for one in data["best"]} == {True, False}


def test_the_page_draws_splits_and_the_memory_of_both_kinds(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    page = tmp_path / "space.html"
    run(capsys, *TIGHT, "--html", str(page))
    text = page.read_text(encoding="utf-8").rpartition("const charts=")[2]
    memory, *rest = json.JSONDecoder().raw_decode(text)[0]
    assert {"1 x H100-SXM-80GB", "8 x H100-SXM-80GB, tp8"} <= set(memory["data"][0]["x"])
    names = [trace["name"] for trace in rest[-1]["data"]]
    assert "P/D: 1 x H100-SXM-80GB prefill,<br>8 x H100-SXM-80GB, tp8 decode" in names


def test_the_order_that_is_asked_for_holds_for_splits_too() -> None:
    latency = [one.speed.e2e for one in explore(asked(), "latency").best]
    throughput = [-one.per_gpu for one in explore(asked(), "throughput").best]
    assert latency == sorted(latency)
    assert throughput == sorted(throughput)


def test_the_lines_that_the_page_shows_are_those_of_the_program(capsys: pytest.CaptureFixture[str]) -> None:
    said = run(capsys, *TIGHT)
    page = (ROOT / "docs" / "capacity.md").read_text(encoding="utf-8")
    shown = re.findall(r"^  (?:P/D: )?\d+ x \(.+$", page, re.MULTILINE)
    assert len(shown) == 2
    for line in shown:
        assert line in said
