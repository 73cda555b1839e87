"""What is said of an engine's memory before it starts is what the engine then has."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdbench.harnesses.startup_log import parse
from pytest_llmdbench.stacks.local_vllm import LocalVllm
from pytest_llmdbench.stacks.spec import Endpoint
from tests.engine.engine_processes import below

GIB = 2**30


def test_its_kv_cache_holds_what_was_estimated(deployment: tuple[LocalVllm, Endpoint]) -> None:
    one, endpoint = deployment
    found = one._start.fit()
    assert found is not None
    said = parse(Path(endpoint.facts["startup_logs"]["server"]).read_text()).values
    assert said["kv_cache_bytes"] == found.space * GIB
    assert said["kv_cache_tokens"] == found.tokens
    assert said["max_concurrency"] == found.concurrency


def test_its_processes_take_no_less_memory_than_was_estimated(deployment: tuple[LocalVllm, Endpoint]) -> None:
    one, _ = deployment
    found = one._start.fit()
    assert found is not None
    assert one._process is not None
    # What they share is counted once: a part of it in each. Loads before this test may have made them larger.
    taken = sum(each.memory_full_info().pss for each in below(one._process.pid)) / GIB
    assert found.needed <= 1.05 * taken
    assert taken < 1.5 * found.needed
