"""More start-up logs, from public repositories, threads and posts, each with its source.

No number was fitted to one of them; the rules on padding and on PyTorch's allocator were found in their view.
``tests/data/capacity/memory_more.csv`` has them in the columns of ``memory.csv``; what is empty was left to vLLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from pytest_llmdbench.capacity.configuration import V1, Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.memory import memory
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.validation import validate
from tests.capacity.measured import Errors, rows

COLUMNS = ("weights_gib", "kv_cache_gib", "kv_cache_tokens", "max_concurrency")
#: Nothing is known of the flags, or they cannot be all, of a row that says so.
SUSPECT = "suspect"


@dataclass(frozen=True)
class Row:
    config: Configuration
    truth: Mapping[str, float]
    notes: str

    def __str__(self) -> str:
        config = self.config
        model = config.model.name.rpartition("/")[2]
        ranks = f"tp{config.tensor_parallel_size}-pp{config.pipeline_parallel_size}"
        return f"{model}-{config.gpu.name}-{ranks}-{config.version}-{config.length}"

    def said(self) -> dict[str, float]:
        found = memory(self.config)
        return dict(zip(COLUMNS, (found.weights, found.kv, found.tokens, found.concurrency), strict=True))


def _row(row: Mapping[str, str]) -> Row:
    config = Configuration(
        find_model(row["model"], "fp8" if row["quant"] == "fp8 at start" else None),
        find_gpu(row["gpu"]),
        int(row["tp"]),
        int(row["pp"]),
        dtype="half" if row["dtype"] == "fp16" else "auto",
        kv_cache_dtype="fp8" if row["quant"] == "kv=fp8" else "auto",
        gpu_memory_utilization=float(row["gpu_memory_utilization"]) if row["gpu_memory_utilization"] else None,
        memory_gib=float(row["gpu_mem_gib"]) if row["gpu_mem_gib"] else None,
        enforce_eager="eager" in row["notes"],
        enable_expert_parallel="expert parallel" in row["notes"],
        offline="LLM class" in row["notes"],
        version=row["vllm_version"],
        max_model_len=_whole(row["max_model_len"]),
        max_num_seqs=_whole(row["max_num_seqs"]),
        max_num_batched_tokens=_whole(row["max_num_batched_tokens"]),
    )
    return Row(config, {name: float(row[name]) for name in COLUMNS if row[name]}, row["notes"])


def _whole(text: str) -> int | None:
    return int(text) if text else None


ALL = [_row(row) for row in rows("memory_more.csv")]
SOUND = [row for row in ALL if SUSPECT not in row.notes]


def errors(column: str, *, h100: bool | None = None, v1: bool = True) -> Errors:
    chosen = [
        row
        for row in SOUND
        if column in row.truth
        and h100 in (None, row.config.gpu.name.startswith("H100"))
        and v1 == (row.config.release >= V1)
    ]
    return Errors.of((row.said()[column], row.truth[column]) for row in chosen)


def test_every_row_names_its_source() -> None:
    assert all(row["source"] for row in rows("memory_more.csv"))


@pytest.mark.parametrize("row", SOUND, ids=str)
def test_memory_of_an_engine_is_what_its_log_says(row: Row) -> None:
    found = row.said()
    for column, truth in row.truth.items():
        assert found[column] == pytest.approx(truth, rel=0.1), column


@pytest.mark.parametrize("row", ALL, ids=str)
def test_an_engine_is_never_said_to_do_the_opposite_of_what_it_did(row: Row) -> None:
    assert validate(row.config).verdict != ("will start" if "FAILED" in row.notes else "will not start")


def test_weights_are_within_one_percent() -> None:
    assert errors("weights_gib").mean <= 0.01


def test_kv_cache_is_within_its_goals_on_h100() -> None:
    found = errors("kv_cache_gib", h100=True)
    assert len(found.values) >= 40
    assert found.mean <= 0.015
    assert found.p90 <= 0.03
    assert found.most <= 0.1


def test_kv_cache_is_within_three_percent_on_other_gpus() -> None:
    assert errors("kv_cache_gib", h100=False).mean <= 0.03


@pytest.mark.parametrize("column", ["kv_cache_tokens", "max_concurrency"])
def test_tokens_and_concurrency_are_within_two_percent(column: str) -> None:
    assert errors(column).mean <= 0.02


def test_kv_cache_of_the_engine_before_v1_is_near_as_well() -> None:
    assert errors("kv_cache_gib", v1=False).most <= 0.1
