"""Load programs against the real engine: what they measured is what it counted itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_llmdbench.declared.overrides import apply_overrides
from pytest_llmdbench.declared.places import Places, shipped_root
from pytest_llmdbench.declared.tokens import FILLED, fill_tokens
from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.harnesses.harness import Harness
from pytest_llmdbench.harnesses.nop import Nop
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.send import Load, send
from pytest_llmdbench.stacks.local_vllm import LocalVllm
from pytest_llmdbench.stacks.spec import Endpoint
from tests.engine.asking import ask, total

PROMPT, OUTPUT = "vllm:prompt_tokens_total", "vllm:generation_tokens_total"
WORKLOAD = "sanity_random"
PLACES = Places((shipped_root(),))
LOADS = [
    name for name in Harnesses().names if Harnesses()(name).purpose == "load" and PLACES.has_workload(WORKLOAD, name)
]
#: Load programs that cut off what is under way when their time is up: the engine has counted tokens of that as well.
ENDED_BY_TIME = {"guidellm"}


def sent(harness: Harness, workload: str, endpoint: Endpoint, folder: Path) -> Result:
    """The result of a shipped workload, scaled down as ``load.size: quick`` does."""
    file = load_workload(PLACES.workload(workload, harness.name), harness.name)
    profile = apply_overrides(file.profile, file.header.quick, harness.known_keys, "quick")
    values = (endpoint.model, endpoint.tokenizer, endpoint.facts["max_model_len"], endpoint.url)
    filled = fill_tokens(profile, dict(zip(FILLED, values, strict=True)))
    return send(Load(harness, filled, endpoint, folder, "engine"), timeout_s=200, say=print, trouble=lambda: None)


@pytest.mark.parametrize(
    "name", [one if one == "inference-perf" else pytest.param(one, marks=pytest.mark.thorough) for one in LOADS]
)
def test_tokens_are_those_that_the_engine_counted(name: str, engine: Endpoint, tmp_path: Path) -> None:
    harness = Harnesses()(name)
    environment = getattr(harness, "environment", None)
    if environment is not None and name != "inference-perf" and not environment.ready():
        pytest.skip(f"{name} is not installed here")
    harness.prepare(print)
    before = total(engine.url, PROMPT), total(engine.url, OUTPUT)
    whole = sent(harness, WORKLOAD, engine, tmp_path).whole
    prompt, output = total(engine.url, PROMPT) - before[0], total(engine.url, OUTPUT) - before[1]
    assert whole.requests.completed > 0
    assert whole.requests.failures == 0
    assert whole.prompt_tokens is not None
    assert whole.output_tokens is not None
    print(f"{name}: {whole.requests.completed} requests; prompt {whole.prompt_tokens} of {prompt:.0f}, "
          f"output {whole.output_tokens} of {output:.0f} tokens")  # fmt: skip
    if name in ENDED_BY_TIME:
        assert whole.prompt_tokens <= prompt
        assert whole.output_tokens <= output
    else:
        assert whole.requests.unfinished == 0
        assert (whole.prompt_tokens, whole.output_tokens) == (prompt, output)
    assert all(whole.latencies[latency].mean for latency in ("ttft", "tpot", "e2e"))


def test_how_it_started_agrees_with_what_it_says_of_itself(engine: Endpoint, tmp_path: Path) -> None:
    startup = sent(Nop(), "nop", engine, tmp_path).startup
    config = next(line for line in ask(engine.url, "/metrics").text.splitlines() if "cache_config_info{" in line)
    assert f'kv_cache_size_tokens="{startup["kv_cache_tokens"]:.0f}"' in config
    assert f'kv_cache_memory_bytes="{startup["kv_cache_bytes"]:.0f}"' in config
    assert startup["max_model_len"] == engine.facts["max_model_len"]
    assert startup["max_concurrency"] == startup["kv_cache_tokens"] / startup["max_model_len"]
    assert startup["ready_s"] >= startup["engine_init_s"] > 0
    assert startup["ready_s"] > startup["api_ready_s"] > startup["phase_workers_s"]


def test_it_forgets_its_prefix_cache_when_it_is_told_to(deployment: tuple[LocalVllm, Endpoint]) -> None:
    one, endpoint = deployment
    hits = "vllm:prefix_cache_hits_total"
    question = {"model": endpoint.model, "prompt": [7] * 200, "max_tokens": 1}
    for _ in range(2):
        ask(endpoint.url, "/v1/completions", question)
    warm = total(endpoint.url, hits)
    one.reset()
    ask(endpoint.url, "/v1/completions", question)
    assert total(endpoint.url, hits) == warm > 0
