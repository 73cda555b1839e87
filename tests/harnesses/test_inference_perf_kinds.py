"""Each kind of load and data that the shipped workloads use, small, through the real inference-perf."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_llmdbench.declared.places import shipped_root
from pytest_llmdbench.declared.tokens import fill_tokens
from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.harness import Place
from pytest_llmdbench.harnesses.inference_perf import InferencePerf
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.table import RequestTable
from pytest_llmdbench.stacks.spec import Endpoint
from tests.harnesses.inference_perf_runs import MODEL, Counted, profile, run, simulator

pytestmark = pytest.mark.harness


def prompts(result: Result, stage: int | None = None) -> list[int]:
    """The lengths of the completed prompts, sorted."""
    assert result.table is not None
    return sorted(map(int, RequestTable(result.table).values("prompt_tokens", stage)))


@pytest.fixture(scope="module")
def program() -> InferencePerf:
    """inference-perf, installed."""
    one = InferencePerf()
    one.prepare(print)
    return one


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A simulator for all of them, one after the other."""
    with simulator(tmp_path_factory.mktemp("simulator")) as one:
        yield one


def measured(program: InferencePerf, told: dict[str, Any], url: str, folder: Path) -> Result:
    """The result of a run in which nothing failed, and the server counted the same."""
    before = Counted.at(url)
    launched, result, _ = run(program, told, url, folder)
    whole = result.whole
    assert launched.exit_code == 0
    assert whole.requests.failures == whole.requests.unfinished == 0
    counted = Counted(whole.requests.completed, whole.prompt_tokens or 0, whole.output_tokens or 0)
    assert counted == Counted.at(url) - before
    assert sum(stage.requests.completed for stage in result.stages) == whole.requests.completed
    return result


def fixed(tokens: int) -> dict[str, Any]:
    return {"type": "fixed", "min": tokens, "max": tokens, "mean": tokens}


def test_poisson_arrivals(program: InferencePerf, url: str, tmp_path: Path) -> None:
    data = {"type": "random", "input_distribution": fixed(40), "output_distribution": fixed(12)}
    told = profile("poisson", [{"rate": 4, "duration": 3}, {"rate": 12, "duration": 3}], data)
    result = measured(program, told, url, tmp_path / "case")
    assert [stage.requests.completed for stage in result.stages] == [12, 36]
    assert [stage.asked_rate for stage in result.stages] == [4, 12]
    assert result.whole.lengths["prompt"].minimum == result.whole.lengths["prompt"].maximum == 40


def test_turns_behind_a_shared_prefix_carry_the_conversation(program: InferencePerf, url: str, tmp_path: Path) -> None:
    shared = {
        "num_groups": 1, "num_prompts_per_group": 4, "system_prompt_len": 50, "question_len": 10, "output_len": 8,
        "enable_multi_turn_chat": True,
    }  # fmt: skip
    told = profile("constant", [{"rate": 4, "duration": 3}], {"type": "shared_prefix", "shared_prefix": shared})
    result = measured(program, told, url, tmp_path / "case")
    # Every turn is longer by the answer before it and by a prompt; the program says the shared part in each turn.
    lengths = prompts(result)
    assert len(lengths) == 12
    assert lengths[:4] == [60] * 4
    assert set(lengths[4:]) <= {60 + 68 * turn for turn in range(1, 12)}


def conversations(*requests: int) -> dict[str, Any]:
    """Four conversations of three turns each, four at once; one stage for each number of requests."""
    made = {
        "num_conversations": 4,
        "shared_system_prompt_len": 20,
        "dynamic_system_prompt_len": fixed(30),
        "turns_per_conversation": fixed(3),
        "input_tokens_per_turn": fixed(10),
        "output_tokens_per_turn": fixed(12),
    }
    stages = [{"concurrency_level": 4, "num_requests": number} for number in requests]
    return profile("concurrent", stages, {"type": "conversation_replay", "conversation_replay": made})


def test_conversations_of_a_closed_loop_grow_turn_by_turn(program: InferencePerf, url: str, tmp_path: Path) -> None:
    result = measured(program, conversations(12), url, tmp_path / "case")
    assert prompts(result) == [60] * 4 + [82] * 4 + [104] * 4
    assert result.stages[0].concurrency == 4


@pytest.mark.thorough
def test_conversations_under_way_at_the_end_of_a_stage_lose_what_was_said(
    program: InferencePerf, url: str, tmp_path: Path
) -> None:
    # A defect of the program that the documentation tells of: when this fails, it is mended.
    result = measured(program, conversations(4, 8), url, tmp_path / "case")
    assert prompts(result, 0) == [60] * 4
    assert prompts(result, 1) == [10] * 8


@pytest.mark.thorough
def test_images_are_sent_along(program: InferencePerf, url: str, tmp_path: Path) -> None:
    image = {"count": fixed(2), "insertion_point": 0.0, "resolutions": [{"resolution": "360p", "weight": 1}]}
    shared = {
        "num_groups": 1, "num_prompts_per_group": 4, "system_prompt_len": 50, "question_len": 10, "output_len": 8,
        "multimodal": {"image": image},
    }  # fmt: skip
    told = profile("constant", [{"rate": 4, "duration": 2}], {"type": "shared_prefix", "shared_prefix": shared}, "chat")
    result = measured(program, told, url, tmp_path / "case")
    assert result.whole.requests.completed == 8
    # The simulator counts 256 tokens an image.
    assert set(prompts(result)) == {60 + 2 * 256}


@pytest.mark.thorough
def test_a_local_file_of_conversations(program: InferencePerf, url: str, tmp_path: Path) -> None:
    conversations = [
        {
            "id": str(number),
            "conversations": [
                {"from": "human", "value": " ".join(["ask"] * (10 + number))},
                {"from": "gpt", "value": " ".join(["tell"] * 12)},
            ],
        }
        for number in range(8)
    ]
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps(conversations), encoding="utf-8")
    lengths = {"min": 10, "max": 1024}
    data = {"type": "shareGPT", "path": str(file), "input_distribution": lengths, "output_distribution": lengths}
    result = measured(program, profile("constant", [{"rate": 4, "duration": 2}], data), url, tmp_path / "case")
    assert result.whole.requests.completed == 8
    assert set(prompts(result)) <= set(range(10, 18))
    assert result.whole.lengths["output"].mean == 12


def otel_session(number: int, turns: int) -> dict[str, Any]:
    """A recorded session: each turn holds all messages before it."""
    spans: list[dict[str, Any]] = []
    messages = [{"role": "system", "content": " ".join(f"s{number}x{word}" for word in range(20))}]
    for turn in range(turns):
        question = " ".join(f"q{number}x{turn}x{word}" for word in range(10))
        answer = " ".join(f"a{number}x{turn}x{word}" for word in range(6))
        messages = [*messages, {"role": "user", "content": question}]
        spans.append(
            {
                "trace_id": f"trace{number}",
                "span_id": f"span{number}-{turn}",
                "name": "chat",
                "start_time": f"2026-01-01T00:00:{2 * turn:02d}.000000Z",
                "end_time": f"2026-01-01T00:00:{2 * turn + 1:02d}.000000Z",
                "status": {"code": 1},
                "attributes": {
                    "gen_ai.operation.name": "chat",
                    "gen_ai.request.model": "recorded",
                    "gen_ai.input.messages": json.dumps(messages),
                    "gen_ai.output.text": answer,
                    "gen_ai.usage.input_tokens": 30 + 16 * turn,
                    "gen_ai.usage.output_tokens": 6,
                },
            }
        )
        messages = [*messages, {"role": "assistant", "content": answer}]
    return {"trace_id": f"trace{number}", "span_count": len(spans), "spans": spans}


@pytest.fixture
def otel(tmp_path: Path) -> Path:
    """A folder of three recorded sessions of three turns."""
    folder = tmp_path / "otel"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.json").write_text(json.dumps(otel_session(number, 3)), encoding="utf-8")
    return folder


def replay(kind: str, traces: Path, stages: list[dict[str, Any]], **keys: Any) -> dict[str, Any]:
    source = {"trace_directory": str(traces), "use_static_model": True, "static_model_name": MODEL, **keys}
    return profile("trace_session_replay", stages, {"type": kind, kind: source}, "chat")


def test_recorded_sessions_are_replayed_with_the_answers_of_now(
    program: InferencePerf, url: str, otel: Path, tmp_path: Path
) -> None:
    told = replay("otel_trace_replay", otel, [{"concurrent_sessions": 2}], max_wait_ms=100)
    result = measured(program, told, url, tmp_path / "case")
    assert prompts(result) == [30] * 3 + [46] * 3 + [62] * 3
    assert result.stages[0].concurrency == 2
    assert result.whole.output_tokens == 9 * 6


@pytest.mark.thorough
def test_a_cut_stream_ends_its_session_and_is_one_failure(program: InferencePerf, otel: Path, tmp_path: Path) -> None:
    told = replay("otel_trace_replay", otel, [{"concurrent_sessions": 1}], max_wait_ms=100)
    with simulator(tmp_path, faults={"cut_rate": 1.0}) as one:
        _, result, _ = run(program, told, one, tmp_path / "case")
    # The turns that would have followed are never sent.
    assert result.whole.requests.completed == 0
    assert result.whole.requests.failed == {"clientpayloaderror": 3}


@pytest.mark.thorough
def test_sessions_are_made_again_from_recorded_cache_blocks(program: InferencePerf, url: str, tmp_path: Path) -> None:
    folder = tmp_path / "weka"
    folder.mkdir()
    for number in range(3):
        helper = {"t": 1.7, "type": "n", "model": "m", "in": 64, "out": 4, "hash_ids": [9], "api_time": 0.2}
        turns = [
            {"t": 0.0, "type": "n", "model": "m", "in": 128, "out": 8, "hash_ids": [1, 2], "api_time": 0.5},
            {"t": 1.0, "type": "n", "model": "m", "in": 192, "out": 8, "hash_ids": [1, 2, 3], "api_time": 0.5},
            {"t": 1.6, "type": "subagent", "agent_id": "a", "subagent_type": "x", "duration_ms": 600,
             "requests": [helper]},
        ]  # fmt: skip
        recorded = {"id": f"session{number}", "models": ["m"], "block_size": 64, "requests": turns}
        (folder / f"{number}.json").write_text(json.dumps(recorded), encoding="utf-8")
    stages = [{"concurrent_sessions": 2, "num_sessions": 1}, {"concurrent_sessions": 2, "num_sessions": 2}]
    told = replay("weka_trace_replay", folder, stages, trace_idle_gap_cap_seconds=1)
    result = measured(program, told, url, tmp_path / "case")
    # Two turns and the sub-agent's one; the first turn has as many tokens as were recorded.
    assert [stage.requests.completed for stage in result.stages] == [3, 6]
    assert {64, 128} <= set(prompts(result))
    assert result.whole.output_tokens == 3 * (8 + 8 + 4)


def test_tokens_that_come_several_in_one_event_are_counted_as_what_they_are(
    program: InferencePerf, tmp_path: Path
) -> None:
    data = {"type": "random", "input_distribution": fixed(30), "output_distribution": fixed(20)}
    with simulator(tmp_path, tokens_per_event=4) as one:
        result = measured(
            program, profile("concurrent", [{"concurrency_level": 2, "num_requests": 10}], data), one, tmp_path / "case"
        )
    assert result.whole.output_tokens == 200
    assert result.whole.tokens_per_event == 4
    assert result.whole.latencies["itl"].minimum > 0.02  # type: ignore[operator]


@pytest.mark.parametrize("version", ["0.7.0", pytest.param("0.6.1", marks=pytest.mark.thorough)])
def test_the_program_takes_every_shipped_workload_as_it_is_told(version: str, tmp_path: Path) -> None:
    program = InferencePerf(version)
    program.prepare(print)
    values = {
        "LLMDBENCH_DEPLOY_CURRENT_MODEL": "org/model",
        "LLMDBENCH_DEPLOY_CURRENT_MAX_MODEL_LEN": 32768,
        "LLMDBENCH_RUN_DATASET_DIR": str(tmp_path),
    }
    configs, refused = [], set()
    for path in sorted((shipped_root() / "workloads" / program.name).glob("*.yaml")):
        folder = tmp_path / path.stem
        folder.mkdir()
        told = fill_tokens(load_workload(path, program.name).profile, values)
        try:
            command = program.command(told, Endpoint("http://h", "org/model", "org/model"), Place.here(folder))
        except DeclarationError:
            refused.add(path.stem)
            continue
        configs.append(command.argv[-1])
        assert yaml.safe_load(Path(command.argv[-1]).read_text(encoding="utf-8"))["server"]["base_url"] == "http://h"
    check = "import sys; from inference_perf.config import read_config; [read_config(one) for one in sys.argv[1:]]"
    python = program.environment.program("python")
    done = subprocess.run(
        [python, "-c", check, *configs], env={"PYTHONPATH": ""}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert refused == ({"weka_traces"} if version == "0.6.1" else set())
    assert len(configs) + len(refused) == 27
