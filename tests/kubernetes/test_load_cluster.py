"""Loads in pods of a real cluster: the real inference-perf against a simulator in a pod of the test."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.guidellm import Guidellm
from pytest_llmdbench.harnesses.harness import Command, Progress
from pytest_llmdbench.harnesses.inference_perf import InferencePerf
from pytest_llmdbench.harnesses.progress_line import Outline
from pytest_llmdbench.harnesses.tokenizer import simulator_tokenizer
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.send import Load, hold, send
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.load import launch_in_cluster
from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.streams import run_in
from pytest_llmdbench.stacks.spec import Endpoint
from tests.kubernetes.conftest import HARNESS_IMAGE, SIMULATOR_IMAGE

pytestmark = pytest.mark.cluster

PROFILE = {
    "api": {"type": "completion", "streaming": True},
    "load": {"type": "constant", "interval": 0, "stages": [{"rate": 10, "duration": 4}, {"rate": 20, "duration": 3}]},
    "data": {
        "type": "random",
        "input_distribution": {"min": 10, "max": 40, "mean": 20, "std_dev": 5},
        "output_distribution": {"min": 8, "max": 8, "mean": 8, "std_dev": 0},
    },
}


def site(cluster: Cluster, **load: Any) -> LoadSite:
    small = {"image": HARNESS_IMAGE, "cpu": "500m", "memory": "2Gi", **load}
    return LoadSite.of(
        Scenario.model_validate({"deploy": "standalone", "load": small}),
        cluster,
        Names("x7k2m9", "sim", cluster.namespace),
    )


@pytest.fixture
def simulator(cluster: Cluster) -> str:
    """The URL, inside the cluster, of a simulator of the model ``sim``."""
    command = ["python3", "-m", "pytest_llmdbench.simulator", "--model", "sim", "--host", "0.0.0.0", "--port", "8000"]
    container = {
        "name": "sim",
        "image": SIMULATOR_IMAGE,
        "imagePullPolicy": "IfNotPresent",
        "command": command,
        "readinessProbe": {"httpGet": {"path": "/health", "port": 8000}, "periodSeconds": 1},
    }
    metadata = {"name": "sim", "labels": {"app": "sim"}}
    spec = {"containers": [container], "terminationGracePeriodSeconds": 1}
    cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    ports = {"selector": {"app": "sim"}, "ports": [{"port": 80, "targetPort": 8000}]}
    cluster.create({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "sim"}, "spec": ports})
    for pods in cluster.watch("v1", "Pod", {"app": "sim"}, 60):
        ready = [one["status"] for pod in pods for one in pod["status"].get("conditions", ()) if one["type"] == "Ready"]
        if ready == ["True"]:
            break
    return f"http://sim.{cluster.namespace}.svc:80"


def offered(cluster: Cluster) -> int:
    """Requests that the simulator has answered."""
    script = "import urllib.request as u; print(u.urlopen('http://localhost:8000/sim/stats').read().decode())"
    done = run_in(cluster, "sim", "sim", ["python3", "-c", script])
    return int(json.loads(done.out)["requests"]["finished"])


def load(url: str, where: LoadSite, folder: Path) -> Load:
    return Load(InferencePerf(), PROFILE, endpoint(url, where), folder, "the load")


def endpoint(url: str, where: LoadSite) -> Endpoint:
    return Endpoint(url, "sim", str(simulator_tokenizer()), {}, json.loads(json.dumps(where.to_json())))


def run(url: str, where: LoadSite, folder: Path) -> tuple[Result, list[str]]:
    lines: list[str] = []
    result = send(load(url, where, folder), timeout_s=90, say=lines.append, trouble=lambda: None)
    return result, lines


def launch(
    cluster: Cluster, where: LoadSite, folder: Path, argv: list[str], *, timeout_s: float = 30, **more: Any
) -> tuple[int, list[str]]:
    """Run any program as a load."""
    lines: list[str] = []
    told = {"watch": lambda: Progress(0), "trouble": lambda: None, "say": lines.append, **more}
    command = Command(argv, folder)
    return launch_in_cluster(cluster, where, [command], Outline("it", ""), timeout_s=timeout_s, **told).exit_code, lines


def test_another_harness_s_program_runs_in_a_pod_as_well(cluster: Cluster, simulator: str, tmp_path: Path) -> None:
    profile = {
        "spec": {
            "backend": {"kind": "openai_http", "request_format": "/v1/completions"},
            "profile": {"kind": "constant", "rate": 5},
            "constraints": [{"kind": "max_requests", "count": 30}],
            "data": [{"kind": "synthetic_text", "prompt_tokens": 20, "output_tokens": 8}],
        }
    }
    sent = Load(Guidellm(), profile, endpoint(simulator, site(cluster)), tmp_path, "the load")
    result = send(sent, timeout_s=120, say=lambda line: None, trouble=lambda: None)
    assert result.whole.requests.completed == 30 == offered(cluster)
    assert result.whole.output_tokens == 240
    assert nothing_left(cluster)


def nothing_left(cluster: Cluster) -> bool:
    """Whether a load's objects are gone, or on their way."""
    left = [*cluster.objects("batch/v1", "Job"), *cluster.objects("v1", "ConfigMap", {"llmdbench/run": "x7k2m9"})]
    return not [one for one in left if not one["metadata"].get("deletionTimestamp")]


def test_a_load_in_one_pod_gives_the_result_that_it_gives_here(
    cluster: Cluster, simulator: str, tmp_path: Path
) -> None:
    began = time.monotonic()
    result, lines = run(simulator, site(cluster), tmp_path)
    print(f"overhead outside the program: {time.monotonic() - began - (result.elapsed_s or 0):.2f} s")
    assert result.whole.requests.completed == result.whole.requests.offered == 100 == offered(cluster)
    assert [stage.requests.completed for stage in result.stages] == [40, 60]
    assert result.whole.output_tokens == 800
    assert result.exit_code == 0
    assert any("the load: stage 1/2" in line for line in lines)
    assert any("the load: stage 2/2" in line for line in lines)
    assert {"stdout.log", "stderr.log", "config.yaml"} <= {one.name for one in tmp_path.iterdir()}
    assert nothing_left(cluster)


def test_two_pods_send_twice_the_load_and_give_one_result(cluster: Cluster, simulator: str, tmp_path: Path) -> None:
    result, _ = run(simulator, site(cluster, parallelism=2), tmp_path)
    assert result.whole.requests.completed == result.whole.requests.offered == 200 == offered(cluster)
    assert [stage.requests.completed for stage in result.stages] == [80, 120]
    assert [stage.asked_rate for stage in result.stages] == [20, 40]
    prompts = {(tmp_path / pod / "per_request_lifecycle_metrics.json").read_bytes() for pod in ("pod-0", "pod-1")}
    assert len(prompts) == 2
    seeds = {
        (tmp_path / pod / "inference-perf.yaml").read_text().partition("base_seed:")[2] for pod in ("pod-0", "pod-1")
    }
    assert len(seeds) == 2


def test_what_a_program_wrote_comes_back_byte_for_byte(cluster: Cluster, tmp_path: Path) -> None:
    script = (
        "import os, hashlib; data = os.urandom(100_000_000); os.mkdir('d'); open('d/x', 'wb').write(data);"
        "print(hashlib.sha256(data).hexdigest())"
    )
    code, lines = launch(cluster, site(cluster), tmp_path, ["python3", "-c", script])
    assert code == 0
    came = hashlib.sha256((tmp_path / "d" / "x").read_bytes()).hexdigest()
    assert (tmp_path / "stdout.log").read_text().strip() == came
    print([line for line in lines if "MB/s" in line])
    assert any("MB/s" in line for line in lines)


def test_the_exit_code_and_the_words_of_a_program_come_back(cluster: Cluster, tmp_path: Path) -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr); sys.exit(7)"
    code, _ = launch(cluster, site(cluster), tmp_path, ["python3", "-c", script])
    assert code == 7
    assert (tmp_path / "stdout.log").read_text() == "out\n"
    assert (tmp_path / "stderr.log").read_text() == "err\n"


def test_a_program_that_needs_more_memory_than_it_has_says_what_to_raise(cluster: Cluster, tmp_path: Path) -> None:
    script = "print('eating', flush=True); data = bytearray(300_000_000); data[::4096] = b'x' * len(data[::4096])"
    with pytest.raises(HarnessError, match=r"OOMKilled.*128Mi.*raise load\.memory(.|\n)*eating"):
        launch(cluster, site(cluster, memory="128Mi"), tmp_path, ["python3", "-c", script])
    assert nothing_left(cluster)


@pytest.mark.parametrize(
    ("load", "reason"),
    [
        (
            {"image": "llmdbench.local/nowhere:1", "pull_policy": "Never"},
            r"ErrImageNeverPull.*load\.(image|pull_policy)",
        ),
        ({"cpu": "4000"}, r"unschedulable.*Insufficient cpu.*load\.cpu"),
    ],
)
def test_pods_that_cannot_start_end_the_load_with_the_reason(
    cluster: Cluster, tmp_path: Path, load: dict[str, Any], reason: str
) -> None:
    with pytest.raises(HarnessError, match=reason):
        launch(cluster, site(cluster, **load), tmp_path, ["true"])
    assert nothing_left(cluster)


def test_trouble_of_the_stack_ends_the_load_at_once(cluster: Cluster, tmp_path: Path) -> None:
    began = time.monotonic()

    def trouble() -> str | None:
        running = (tmp_path / "stdout.log").exists() and b"begun" in (tmp_path / "stdout.log").read_bytes()
        return "pod decode-1 was deleted" if running else None

    with pytest.raises(HarnessError, match=r"pod decode-1 was deleted(.|\n)*begun"):
        launch(cluster, site(cluster), tmp_path, ["sh", "-c", "echo begun; sleep 60"], timeout_s=90, trouble=trouble)
    assert time.monotonic() - began < 50
    assert nothing_left(cluster)


def test_a_load_that_takes_too_long_is_ended_and_its_words_are_kept(cluster: Cluster, tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match=r"took longer than its 3 s(.|\n)*still here"):
        launch(cluster, site(cluster), tmp_path, ["sh", "-c", "echo still here >&2; sleep 60"], timeout_s=3)
    assert nothing_left(cluster)


def test_a_load_pod_that_is_deleted_ends_the_load(cluster: Cluster, tmp_path: Path) -> None:
    def delete() -> Progress:
        for pod in cluster.objects("v1", "Pod", {"llmdbench/role": "load"}):
            cluster.delete("v1", "Pod", pod["metadata"]["name"])
        return Progress()

    with pytest.raises(HarnessError, match=r"load pod \S+ (was deleted|is being deleted)"):
        launch(cluster, site(cluster), tmp_path, ["sleep", "60"], timeout_s=90, watch=delete)
    assert nothing_left(cluster)


def test_an_interrupt_leaves_nothing_of_the_load(cluster: Cluster, tmp_path: Path) -> None:
    def interrupt() -> Progress:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launch(cluster, site(cluster), tmp_path, ["sleep", "60"], watch=interrupt)
    assert nothing_left(cluster)


def test_a_pod_that_is_held_has_everything_and_says_how_to_get_in(cluster: Cluster, tmp_path: Path) -> None:
    lines: list[str] = []
    found: list[str] = []

    def look_and_interrupt() -> None:
        enter = next((line.split() for line in lines if "kubectl" in line), None)
        if enter is None:
            return
        pod = enter[enter.index("-it") + 1]
        done = run_in(cluster, pod, "load", ["sh", "-c", "cd /workspace && ls -R . && command -v inference-perf"])
        found.append(done.out.decode())
        raise KeyboardInterrupt

    told = hold(load("http://nowhere", site(cluster), tmp_path), say=lines.append, trouble=look_and_interrupt)
    assert "no load was sent" in told
    assert "inference-perf.yaml" in found[0]
    assert "tokenizer.json" in found[0]
    assert "/inference-perf\n" in found[0]
    assert any("--config_file /workspace/inference-perf.yaml" in line for line in lines)
    assert nothing_left(cluster)


def test_a_load_that_is_given_up_is_told_to_end_and_what_it_left_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    program = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        "    open('left.txt', 'w').write('half')\n"
        "    sys.exit(5)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "time.sleep(60)"
    )
    launched = launch_in_cluster(
        cluster, site(cluster), [Command(["python3", "-c", program], tmp_path)], Outline("it", ""), timeout_s=60,
        watch=lambda: Progress(0), say=lambda line: None, trouble=lambda: None,
        give_up=lambda elapsed: "hopeless" if elapsed > 3 else None,
    )  # fmt: skip
    assert (launched.abandoned, launched.exit_code) == ("hopeless", 5)
    assert launched.elapsed_s < 30
    assert (tmp_path / "left.txt").read_text(encoding="utf-8") == "half"
    assert nothing_left(cluster)
