"""Runs of the real inference-perf against the simulator, and what the simulator counted of them."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from pytest_llmdbench.harnesses.harness import Place
from pytest_llmdbench.harnesses.inference_perf import InferencePerf
from pytest_llmdbench.harnesses.launcher import Launched, launch
from pytest_llmdbench.harnesses.progress_line import Outline
from pytest_llmdbench.harnesses.reading import read_run
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.stacks.spec import Endpoint

MODEL = "sim"


def profile(kind: str, stages: list[dict[str, Any]], data: dict[str, Any], api: str = "completion") -> dict[str, Any]:
    return {
        "api": {"type": api, "streaming": True},
        "server": {"ignore_eos": True},
        "load": {"type": kind, "interval": 0, "stages": stages, "request_timeout": 30},
        "data": data,
    }


@contextmanager
def simulator(folder: Path, **config: Any) -> Iterator[str]:
    """The URL of a simulator of the model ``sim`` on a port of its own."""
    told = folder / "simulator.json"
    told.write_text(json.dumps({"model": MODEL, **config}), encoding="utf-8")
    command = [sys.executable, "-m", "pytest_llmdbench.simulator", "--config", str(told)]
    # The port comes through a file: a pipe could fill up, and reading it here could wait for ever.
    said = folder / "simulator.log"
    with said.open("wb") as output:
        process = subprocess.Popen(command, stdout=output)
    try:
        deadline = time.monotonic() + 20
        while not said.read_bytes().endswith(b"\n"):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield json.loads(said.read_text(encoding="utf-8").splitlines()[0])["url"]
    finally:
        process.terminate()
        process.wait(10)


@dataclasses.dataclass(frozen=True)
class Counted:
    """What the simulator counted: answers that ended, tokens of prompts and of answers."""

    answers: int
    prompt: int
    output: int

    @classmethod
    def at(cls, url: str) -> Counted:
        """All since the simulator began."""
        names = ("vllm:request_success_total", "vllm:prompt_tokens_total", "vllm:generation_tokens_total")
        return cls(*(metric(url, name) for name in names))

    def __sub__(self, before: Counted) -> Counted:
        return Counted(self.answers - before.answers, self.prompt - before.prompt, self.output - before.output)


def metric(url: str, name: str) -> int:
    """The sum of a counter of the simulator."""
    with urlopen(f"{url}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name}{{", f"{name} "))))


def run(program: InferencePerf, told: dict[str, Any], url: str, folder: Path) -> tuple[Launched, Result, list[str]]:
    """Send a load from ``folder``, made here; what was launched, measured and said."""
    lines: list[str] = []
    folder.mkdir()
    endpoint = Endpoint(url, MODEL, str(simulator_tokenizer()))
    launched = launch(
        program.command(told, endpoint, Place.here(folder)),
        Outline(program.name, url, len(program.stages(told)), program.expected_seconds(told)),
        timeout_s=120,
        watch=program.watch(folder),
        say=lines.append,
    )
    return launched, read_run(program, [folder], folder), lines
