"""Prefill and decode on engines of their own: what a pair of pools carries, how fast, and what limits it."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.expected import met
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.lengths import Spread
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.roofline import Roofline
from pytest_llmdbench.capacity.speed import AHEAD, FRONT_S, speed
from pytest_llmdbench.capacity.split import HANDING_S, DecodeEngine, PrefillEngine, Split, hands_on
from pytest_llmdbench.declared.objective import parse_objective

LOAD = Load(4000, 200, rate=1.0)
#: The same in a closed loop.
LOOP = Load(4000, 200, concurrency=1)


def engine(tensor_parallel_size: int, model: str = "Qwen/Qwen3-32B", **changes: Any) -> Configuration:
    return Configuration(find_model(model), find_gpu("H100"), tensor_parallel_size, max_model_len=5120, **changes)


def pair(prefill: int = 2, decode: int = 2, load: Load = LOAD) -> Split:
    return Split(PrefillEngine(engine(prefill), load), DecodeEngine(engine(decode), load))


def test_answers_are_written_as_fast_as_steps_without_prompts_are() -> None:
    step = Roofline(engine(2)).decode_s(16, LOAD.resident)
    assert pair().speed(4, 2, 16).tpot == step
    together = speed(engine(2), replace(LOOP, concurrency=16))
    assert together.tpot > 1.3 * step, "where an engine does both, prompts hold the answers up"


def test_the_first_token_waits_for_the_queue_the_prompt_the_transfer_and_a_step() -> None:
    split = pair()
    found = split.speed(4, 2, 16)
    step = split.decode.step_s(16)
    parts = found.wait.mean + split.prefill.prompt_s + split.transfer_s
    assert parts + step < found.ttft < parts + 2 * step + FRONT_S + HANDING_S + 0.04
    assert found.wait.mean > 0
    assert split.speed(math.inf, 2, 16).wait.mean == 0


def test_more_prefill_engines_shorten_the_wait_alone() -> None:
    split = pair()
    few, many = split.speed(3, 2, 16), split.speed(6, 2, 16)
    assert many.wait.mean < few.wait.mean
    assert many.ttft < few.ttft
    assert many.tpot == few.tpot


def test_what_prefill_engines_cannot_carry_waits_without_end() -> None:
    split = pair()
    rate = 1.05 / split.busy_s
    assert split.wait(1, rate).mean == math.inf
    assert split.prefills(rate, 1.0) == 2
    assert split.busy(2, rate) == pytest.approx(1.05 / 2)


def test_the_kv_cache_of_a_prompt_takes_its_bytes_over_the_network() -> None:
    # 64 layers, 8 heads of 128 for keys and for values, 2 bytes; two GPUs, each at half of 25 GB/s.
    size = 64 * 2 * 8 * 128 * 2 * LOAD.prompt_tokens
    assert pair(2, 2).transfer_s == pytest.approx(size / 2 / 12.5e9, rel=0.01)
    assert pair(2, 4).transfer_s == pytest.approx(size / 2 / 12.5e9, rel=0.01), "two GPUs send what four take"
    assert pair(4, 4).transfer_s == pytest.approx(size / 4 / 12.5e9, rel=0.01)


def test_what_the_prefix_cache_holds_is_not_read_again_but_is_sent() -> None:
    shared = pair(load=replace(LOAD, shared=0.9))
    assert shared.prefill.prompt_s < 0.3 * pair().prefill.prompt_s
    assert shared.transfer_s == pair().transfer_s


def test_the_network_bounds_the_rate_where_prompts_are_hardly_computed() -> None:
    cached = pair(load=replace(LOAD, shared=0.999, output_tokens=10))
    assert cached.busy_s == pytest.approx(cached.transfer_s, rel=0.01)
    assert cached.carries(cached.decode.most) == pytest.approx(1 / cached.transfer_s, rel=0.5)
    assert cached.carries(cached.decode.most) < 1 / cached.transfer_s
    assert cached.decode.most < pair().decode.most


def test_a_large_engine_sends_to_small_ones_over_all_its_gpus() -> None:
    cached = replace(LOAD, shared=0.999)
    assert pair(4, 1, cached).busy_s == pytest.approx(pair(4, 1, cached).transfer_s / 4, rel=0.01)


def test_in_a_closed_loop_prompts_come_in_bunches_that_more_prefill_engines_share() -> None:
    split = pair(load=LOOP)
    extra = [split.speed(many, 2, 16).ttft - pair().speed(many, 2, 16).ttft for many in (4, 8)]
    assert extra[0] == pytest.approx(2 * extra[1], rel=0.1)
    in_flight = 2 * split.speed(4, 2, 16).concurrency
    assert extra[0] == pytest.approx(AHEAD * (in_flight - 1) * split.busy_s / 4, rel=0.01)


def test_requests_in_flight_are_those_of_littles_law() -> None:
    split = pair(load=LOOP)
    running = split.running_of(100, 4, 2)
    found = split.speed(4, 2, running)
    assert 2 * found.concurrency == pytest.approx(100, rel=0.01)
    assert found.running < found.concurrency
    assert split.carries(split.running_at(3.0)) == pytest.approx(3.0, rel=0.01)


def test_a_high_percentile_of_the_first_token_waits_for_longer() -> None:
    split = pair()
    rate = 0.85 * 1 / split.busy_s
    found = split.speed(1, 1, split.running_at(rate))
    assert found.wait.at(90) > 2 * found.wait.mean
    far = (1 + found.ttft_error) * (found.ttft - found.wait.mean + found.wait.at(90))
    assert met(parse_objective(f"ttft.p90 <= {far * 1.001}s", "test"), found, LOAD)
    assert not met(parse_objective(f"ttft.p90 <= {far * 0.999}s", "test"), found, LOAD)
    assert met(parse_objective(f"ttft.mean <= {found.ttft * 1.001}s", "test"), found, LOAD)


def test_prompts_of_differing_lengths_wait_for_longer() -> None:
    differing = pair(load=replace(LOAD, prompt=Spread(2000, 4500)))
    rate = 0.8 / differing.busy_s
    assert differing.wait(1, rate).mean > pair().wait(1, rate).mean


def test_the_range_is_wider_than_that_of_an_engine_that_does_both() -> None:
    split, both = pair().speed(4, 2, 16), speed(engine(2), replace(LOOP, concurrency=16))
    assert split.tpot_error == pytest.approx(1.5 * both.tpot_error)
    assert split.ttft_error == pytest.approx(1.5 * both.ttft_error)
    assert "prefill and decode apart" in split.source


def test_experts_over_copies_read_as_many_prompts_at_once_as_there_are_copies() -> None:
    spread = engine(1, "Qwen/Qwen3-30B-A3B", data_parallel_size=8, enable_expert_parallel=True)
    split = Split(PrefillEngine(spread, LOAD), DecodeEngine(spread, LOAD))
    assert split.busy(1, 1 / split.busy_s) == pytest.approx(1 / 8)


@pytest.mark.parametrize(
    ("model", "prefill", "decode", "possible"),
    [
        ("Qwen/Qwen3-32B", {"tensor_parallel_size": 1}, {"tensor_parallel_size": 8}, True),
        ("Qwen/Qwen3-32B", {"tensor_parallel_size": 8}, {"tensor_parallel_size": 2}, True),
        # 4 KV heads: 8 ranks have copies of them, which fewer ranks cannot put together.
        ("Qwen/Qwen3-30B-A3B", {"tensor_parallel_size": 8}, {"tensor_parallel_size": 2}, False),
        ("Qwen/Qwen3-30B-A3B", {"tensor_parallel_size": 8}, {"tensor_parallel_size": 8}, True),
        ("deepseek-ai/DeepSeek-V3", {"tensor_parallel_size": 8}, {"tensor_parallel_size": 1}, True),
        ("Qwen/Qwen3-32B", {"pipeline_parallel_size": 2}, {}, False),
        ("Qwen/Qwen3-32B", {"tensor_parallel_size": 8, "version": "0.12.0"}, {"version": "0.12.0"}, False),
        ("Qwen/Qwen3-32B", {"version": "0.12.0"}, {"tensor_parallel_size": 8, "version": "0.12.0"}, True),
        ("Qwen/Qwen3-32B", {"version": "0.8.5"}, {"version": "0.8.5"}, False),
        ("Qwen/Qwen3.5-35B-A3B", {}, {}, False),
    ],
)
def test_only_engines_between_which_the_connector_moves_kv_caches_are_paired(
    model: str, prefill: dict[str, Any], decode: dict[str, Any], *, possible: bool
) -> None:
    config = Configuration(find_model(model), find_gpu("H100"))
    assert hands_on(replace(config, **prefill), replace(config, **decode)) is possible
