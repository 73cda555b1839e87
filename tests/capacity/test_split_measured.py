"""Prefill and decode apart, against what others timed: one model on one GPU, from 4 to 1024 requests at once."""

from __future__ import annotations

import pytest

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.speed import Speed
from pytest_llmdbench.capacity.split import DecodeEngine, PrefillEngine, Split
from tests.capacity.measured import Errors, rows

#: Estimate, TTFT and TPOT of each row, seconds.
Timed = tuple[Speed, float, float]


def estimated(row: dict[str, str]) -> Speed:
    prompt, output = int(row["isl"]), int(row["osl"])

    def engine(role: str) -> Configuration:
        return Configuration(
            find_model(row["model"]),
            find_gpu(row["gpu"]),
            int(row[f"{role}_tp"]),
            enable_expert_parallel=int(row[f"{role}_ep"]) > 1,
            max_model_len=prompt + output + 200,
            gpu_memory_utilization=0.95,
            hybrid_kv=False,
            version=row["engine_version"],
        )

    load = Load(prompt, output, concurrency=1)
    split = Split(PrefillEngine(engine("prefill"), load), DecodeEngine(engine("decode"), load))
    prefills, decodes = int(row["prefills"]), int(row["decodes"])
    return split.speed(prefills, decodes, split.running_of(int(row["concurrency"]), prefills, decodes))


@pytest.fixture(scope="module")
def timed() -> list[Timed]:
    return [(estimated(row), float(row["ttft_ms"]) / 1e3, float(row["tpot_ms"]) / 1e3) for row in rows("split.csv")]


def test_tpot_is_as_near_as_that_of_engines_that_do_both(timed: list[Timed]) -> None:
    errors = Errors.of((found.tpot, tpot) for found, _, tpot in timed)
    assert errors.median <= 0.10, errors
    assert errors.mean <= 0.20, errors


def test_the_first_token_is_as_near_as_that_of_engines_that_do_both(timed: list[Timed]) -> None:
    errors = Errors.of((found.ttft, ttft) for found, ttft, _ in timed)
    assert errors.median <= 0.20, errors


def test_the_stated_ranges_hold_for_four_rows_of_five(timed: list[Timed]) -> None:
    first = [found.ttft_range[0] <= ttft <= found.ttft_range[1] for found, ttft, _ in timed]
    later = [found.tpot_range[0] <= tpot <= found.tpot_range[1] for found, _, tpot in timed]
    assert sum(first) / len(first) >= 0.8
    assert sum(later) / len(later) >= 0.8
