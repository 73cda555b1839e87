"""How fast: against what others timed, and the laws that any engine keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import find_gpu, known_gpus
from pytest_llmdbench.capacity.kv_cache import states_bytes
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.roofline import BANDWIDTH, Roofline
from pytest_llmdbench.capacity.speed import FRONT_S, TOKENIZE_S, saturated, speed
from pytest_llmdbench.errors import DeclarationError
from tests.capacity.measured import Errors, timed

#: An engine that cannot hold the model was not the one that was timed.
ROWS = [row for row in timed() if not row.suspect and memory(row.config).kv > 0]


def engine(model: str = "Qwen/Qwen3-32B", gpu: str = "h100", **flags: Any) -> Configuration:
    return Configuration(find_model(model), find_gpu(gpu), **{"max_model_len": 8192, **flags})


def test_tpot_is_within_its_goals_of_what_was_timed() -> None:
    found = Errors.of((speed(row.config, row.load).tpot, row.tpot) for row in ROWS)
    assert len(found.values) >= 50
    assert found.mean <= 0.20
    assert found.median <= 0.15


def test_ttft_is_within_its_goal_of_what_was_timed() -> None:
    found = Errors.of((speed(row.config, row.load).ttft, row.ttft) for row in ROWS)
    assert found.median <= 0.39


def test_the_ranges_that_are_shown_hold_most_of_what_was_timed() -> None:
    tpot = ttft = 0
    for row in ROWS:
        found = speed(row.config, row.load)
        tpot += found.tpot_range[0] <= row.tpot <= found.tpot_range[1]
        ttft += found.ttft_range[0] <= row.ttft <= found.ttft_range[1]
    assert tpot >= 0.75 * len(ROWS)
    assert ttft >= 0.75 * len(ROWS)


@pytest.mark.parametrize("model", ["Qwen/Qwen3-32B", "openai/gpt-oss-120b", "google/gemma-3-27b-it"])
def test_more_requests_at_once_make_more_throughput_and_slower_tokens(model: str) -> None:
    config = engine(model, tensor_parallel_size=2)
    found = [speed(config, Load(1000, 500, concurrency=number)) for number in (1, 4, 16, 64)]
    assert [one.output_tokens_per_second for one in found] == sorted(one.output_tokens_per_second for one in found)
    assert [one.tpot for one in found] == sorted(one.tpot for one in found)


def test_one_stream_is_never_faster_than_reading_the_weights() -> None:
    config = engine("meta-llama/Llama-3.1-8B-Instruct")
    found = speed(config, Load(128, 512, concurrency=1))
    assert found.tpot > 15e9 / config.gpu.bandwidth


def test_throughput_concurrency_and_latency_keep_littles_law() -> None:
    found = speed(engine(), Load(1000, 500, concurrency=8))
    assert found.requests_per_second * (found.ttft + 499 * found.tpot) == pytest.approx(8, rel=0.01)


def test_a_rate_is_carried_by_as_many_requests_as_it_keeps_in_flight() -> None:
    load = Load(1000, 500, rate=0.5)
    found = speed(engine(), load)
    assert found.requests_per_second == 0.5
    same = speed(engine(), Load(1000, 500, concurrency=round(found.concurrency)))
    assert same.requests_per_second == pytest.approx(0.5, rel=0.15)


def test_a_rate_that_is_too_high_is_answered_with_the_replicas_it_takes() -> None:
    with pytest.raises(DeclarationError, match="it takes 3 replicas"):
        speed(engine(), Load(1000, 500, rate=5 * saturated(engine(), Load(1000, 500, rate=1)).requests_per_second / 2))


def test_what_has_no_place_in_the_batch_waits() -> None:
    config = engine(max_num_seqs=4)
    few, many = (speed(config, Load(1000, 500, concurrency=number)) for number in (4, 16))
    assert many.ttft > few.ttft + 400 * few.tpot
    assert many.running == 4


def test_a_shared_prefix_costs_no_prefill() -> None:
    cold, warm = (speed(engine(), Load(4000, 100, concurrency=4, shared=share)) for share in (0, 0.9))
    assert warm.ttft < cold.ttft / 2


def test_a_cached_prompt_still_has_to_be_turned_into_tokens() -> None:
    short, long = (speed(engine(), Load(tokens, 100, concurrency=1, shared=1 - 100 / tokens)) for tokens in (200, 6000))
    assert long.ttft > short.ttft + 0.01


def test_alone_a_first_token_waits_for_nobody_and_beside_others_it_shares_their_step() -> None:
    config = engine("meta-llama/Llama-3.1-8B-Instruct")
    line = Roofline(config)
    alone, beside = (speed(config, Load(500, 500, concurrency=number)) for number in (1, 32))
    assert alone.ttft == pytest.approx(FRONT_S + 500 * TOKENIZE_S + line.prefill_s(500))
    assert beside.ttft > alone.ttft + line.decode_s(32, 750)


def test_weights_that_are_unpacked_make_slower_prompts_and_faster_tokens() -> None:
    load = Load(4000, 500, concurrency=1)
    plain, packed = (speed(engine(quantization), load) for quantization in ("Qwen/Qwen3-32B", "Qwen/Qwen3-32B-AWQ"))
    assert packed.ttft > plain.ttft
    assert packed.tpot < plain.tpot / 2


def test_a_step_reads_all_weights_but_the_embedding() -> None:
    config = engine("meta-llama/Llama-3.1-8B-Instruct")
    embedding = config.model.vocabulary * config.model.hidden * 2
    held = memory(config).weights * 2**30
    assert held - Roofline(config).weights_read(1) == pytest.approx(embedding, rel=0.1)


def test_every_gpu_of_the_table_has_a_speed() -> None:
    config = engine("Qwen/Qwen3-0.6B", dtype="half")
    for gpu in known_gpus():
        assert speed(replace(config, gpu=gpu), Load(500, 100, concurrency=4)).tpot > 0


@pytest.mark.parametrize(
    "load",
    [
        {"prompt_tokens": -1, "output_tokens": 5, "concurrency": 1},
        {"prompt_tokens": 5, "output_tokens": 0, "concurrency": 1},
        {"prompt_tokens": float("nan"), "output_tokens": 5, "concurrency": 1},
        {"prompt_tokens": 5, "output_tokens": 10**12, "concurrency": 1},
        {"prompt_tokens": 5, "output_tokens": 5},
        {"prompt_tokens": 5, "output_tokens": 5, "concurrency": 1, "rate": 1},
        {"prompt_tokens": 5, "output_tokens": 5, "rate": float("inf")},
        {"prompt_tokens": 5, "output_tokens": 5, "concurrency": 0},
        {"prompt_tokens": 5, "output_tokens": 5, "concurrency": 1, "shared": 1.0},
    ],
)
def test_a_load_that_nobody_can_mean_is_refused_in_a_sentence(load: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError):
        Load(**load)


def test_a_load_longer_than_the_engine_takes_is_refused() -> None:
    with pytest.raises(DeclarationError, match="max_model_len"):
        speed(engine(), Load(8000, 1000, concurrency=1))


def test_a_step_reads_and_writes_the_state_of_each_sequence() -> None:
    line = Roofline(engine("ibm-granite/granite-4.0-h-tiny"))
    # 36 layers of 48 heads, 64 x 128 numbers each, and three columns of the convolution, 2 bytes a number.
    state = 36 * 2 * (48 * 64 * 128 + 3 * (48 * 64 + 2 * 128))
    assert states_bytes(line.config) == state
    bandwidth = line.config.gpu.bandwidth * BANDWIDTH
    read = line.weights_read(8), line.weights_read(64)
    slower = line.decode_s(64, 1) - line.decode_s(8, 1) - (read[1] - read[0]) / bandwidth
    assert slower == pytest.approx(56 * (2 * state + line.kv_token_bytes) / bandwidth)
