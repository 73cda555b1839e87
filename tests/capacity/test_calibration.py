"""What an engine's log says, beside what was said before."""

from __future__ import annotations

import pytest

from pytest_llmdbench.capacity.calibration import compare
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.harnesses.startup_log import parse

CONFIG = Configuration(
    find_model("meta-llama/Llama-3.1-8B-Instruct"),
    find_gpu("H100"),
    max_model_len=8192,
    gpu_memory_utilization=0.95,
    version="0.19.0",
)
#: The figures of a measured row, in the words that vLLM 0.19 has for them.
LOG = """
INFO 11-20 10:00:00 [gpu_model_runner.py:3] Model loading took 14.99 GiB memory and 3.2 seconds
INFO 11-20 10:00:40 [gpu_worker.py:2] Available KV cache memory: 58.11 GiB
INFO 11-20 10:00:41 [kv_cache_utils.py:1] GPU KV cache size: 476,016 tokens
INFO 11-20 10:00:41 [kv_cache_utils.py:2] Maximum concurrency for 8,192 tokens per request: 58.11x
"""


def test_a_log_is_compared_by_all_that_it_says() -> None:
    found = {one.name: one for one in compare(CONFIG, parse(LOG).values)}
    assert set(found) == {"weights", "KV cache", "KV cache tokens", "concurrency"}
    for one in found.values():
        assert one.error == pytest.approx(0, abs=0.01)


def test_an_engine_that_is_another_shows_in_the_difference() -> None:
    log = LOG.replace("58.11 GiB", "29.05 GiB")
    found = {one.name: one for one in compare(CONFIG, parse(log).values)}
    assert found["KV cache"].error == pytest.approx(1.0, abs=0.02)


def test_a_log_without_a_word_of_memory_compares_nothing() -> None:
    assert compare(CONFIG, parse("hello").values) == []
