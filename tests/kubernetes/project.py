"""A small project of benchmarks on a cluster: the simulator on two GPUs, and a load of a few seconds in a pod.

The load is that of priority-mix, which begins at once; ``harness="inference-perf"`` in a scenario takes that one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes.images import HARNESS_IMAGE, SIMULATOR_IMAGE

#: The same few seconds of load, for each of two programs.
SHORT = {
    "priority-mix": """
api: {type: completion}
load: {rate_per_second: 4, duration_seconds: 5, max_in_flight: 20}
trafficClasses:
- {name: all, weight: 1, request: {promptTemplate: "Question {variation}, and a few words more. ", max_tokens: 8}}
""",
    "inference-perf": """
load: {type: constant, interval: 0, stages: [{rate: 4, duration: 5}]}
api: {type: completion, streaming: true}
server: {type: vllm, ignore_eos: true}
data:
  type: random
  input_distribution: {min: 10, max: 60, mean: 30, std_dev: 10, total_count: 50}
  output_distribution: {min: 4, max: 16, mean: 8, std_dev: 4, total_count: 50}
""",
}
TEST = """
import pytest

@pytest.mark.workload("short")
def test_chatbot(result, slo):
    slo.verify(result)
"""


def scenario(namespace: str, **more: Any) -> dict[str, Any]:
    """A standalone stack of the simulator that asks for two GPUs; ``more`` replaces whole sections."""
    return {
        "deploy": "standalone",
        "harness": "priority-mix",
        "cluster": {"namespace": namespace},
        "engine": {"kind": "simulator", "image": SIMULATOR_IMAGE},
        "pods": {"gpus": 2, "cpu": "300m", "memory": "256Mi", "shm": "0"},
        "simulator": {"ttft": 0.05, "itl": 0.1},
        "load": {"image": HARNESS_IMAGE, "cpu": "200m", "memory": "1Gi"},
        "timeouts": {"standup_s": 120, "lease_s": 8},
        "slo": ["ttft.max <= 60s"],
        **more,
    }


class Started:
    """A session under way: what it says is read as it comes, and looked through for one line."""

    def __init__(self, process: subprocess.Popen[str], line: str | None = None) -> None:
        self.process = process
        self._line = line
        self._said: list[str] = []
        self._seen = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def saw_it(self, seconds: float = 120) -> bool:
        """Wait for the line; whether it came before the session ended."""
        return self._seen.wait(seconds)

    def ended(self, seconds: float = 120) -> tuple[int, str]:
        """Wait for the end: exit status, output."""
        status = self.process.wait(seconds)
        self._reader.join(10)
        return status, "".join(self._said)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as output:
            for line in output:
                self._said.append(line)
                if self._line and self._line in line:
                    self._seen.set()


@dataclass(frozen=True)
class Project:
    """A folder with scenarios, a workload and a benchmark, in which pytest is run as users run it."""

    folder: Path
    namespace: str

    def write(self, name: str, **more: Any) -> None:
        """Write ``scenarios/<name>.yaml``."""
        path = self.folder / "scenarios" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump(scenario(self.namespace, **more)))

    def start(self, *words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Start pytest in this project; its output in one pipe."""
        return subprocess.Popen(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *words],
            cwd=self.folder,
            env=self._environment() | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, env: dict[str, str] | None = None, seconds: float = 300) -> tuple[int, str]:
        """Run pytest to its end: exit status, output."""
        process = self.start(*words, env=env)
        try:
            output, _ = process.communicate(timeout=seconds)
        except BaseException:
            process.terminate()
            process.communicate(timeout=60)
            raise
        print(output)
        return process.returncode, output

    def tokenizer(self) -> str:
        """The folder of the simulator's tokenizer."""
        from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer

        return str(simulator_tokenizer())

    @property
    def results(self) -> Path:
        """The folder of the last run."""
        return max((self.folder / "llmdbench-results").iterdir())

    def _environment(self) -> dict[str, str]:
        return {key: value for key, value in os.environ.items() if not key.startswith(("LLMDBENCH_", "PYTEST_"))}


def make_project(folder: Path, namespace: str) -> Project:
    """A project with the scenario ``sim``."""
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "test_bench.py").write_text(TEST)
    for harness, text in SHORT.items():
        workload = folder / "workloads" / harness / "short.yaml"
        workload.parent.mkdir(parents=True)
        workload.write_text(text)
    project = Project(folder, namespace)
    project.write("sim")
    return project
