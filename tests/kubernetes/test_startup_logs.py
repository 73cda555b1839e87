"""What engines in a cluster said while they started is kept, for ``nop``, and set beside what was estimated."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.declared.cluster import Accelerator
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.harnesses.startup_log import parse
from pytest_llmdbench.stacks.kubernetes import startup_logs
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered
from tests.capacity.made_up_log import made_up_log
from tests.kubernetes.images import SIMULATOR_IMAGE
from tests.kubernetes.pods_made import EXPECTED, deployment, wait
from tests.kubernetes.project import Project

SAID = "INFO 06-21 07:20:11 [default_loader.py:1] Loading weights took 12.5 seconds"
#: Nothing serves a model here: what it says is made up.
HAS = "INFO 06-21 07:20:30 [gpu_worker.py:1] Available KV cache memory: 57.00 GiB"
ENGINE = f"echo '{SAID}'; echo '{HAS}'; echo token=$MY_TOKEN; exec python3 -m http.server 8000"
H100 = Scenario.model_validate(
    {
        "deploy": "modelservice",
        "model": {"name": "meta-llama/Llama-3.1-8B-Instruct"},
        "accelerator": {"product": "NVIDIA-H100-80GB-HBM3"},
        "vllm": {"max_model_len": 8192, "gpu_memory_utilization": 0.95},
    }
)
#: Says what an engine on an H100 would, and is the simulator then.
STAND_IN = f"""
import json, os, sys
print({made_up_log()!r}, flush=True)
option = lambda name: next(one.partition("=")[2] for one in sys.argv if one.startswith(name + "="))
open("/tmp/simulator.json", "w").write(json.dumps({{"max_model_len": int(option("--max-model-len"))}}))
words = ["--config=/tmp/simulator.json", "--model=" + option("--served-model-name"), "--host=0.0.0.0"]
os.execvp("python3", ["python3", "-m", "pytest_llmdbench.simulator", *words, "--port=" + option("--port")])
"""
UNNAMED = H100.model_copy(update={"accelerator": Accelerator()})


def rendered(**engine_ports: int) -> Rendered:
    nothing: dict[str, Any] = dict.fromkeys(("first", "kept", "manifests", "optional", "releases"), ())
    return Rendered(**nothing, expected=(EXPECTED,), service="s", port=80, needs=None, engine_ports=engine_ports)  # type: ignore[arg-type]


@pytest.mark.cluster
def test_the_log_of_one_engine_of_each_role_is_kept_without_a_secret(cluster: Cluster, tmp_path: Path) -> None:
    env = [{"name": "MY_TOKEN", "value": "planted-1"}]
    cluster.apply(deployment(("sh", "-c", ENGINE), env=env, replicas=1))
    wait(cluster)
    lines: list[str] = []
    kept = startup_logs.save(cluster, rendered(decode=8000), tmp_path / "startup", lines.append)
    assert (list(kept), lines) == (["decode"], [])
    text = Path(kept["decode"].file).read_text()
    assert parse(text).values == {"load_weights_s": 12.5, "kv_cache_bytes": 57 * 2**30}
    logs = {"decode": kept["decode"].file}
    (engine,) = startup_logs.compared("h100", H100, logs, lines.append)["capacity"]
    assert [(one["name"], one["measured"]) for one in engine["compared"]] == [("KV cache", 57.0)]
    assert "planted-1" not in text
    assert startup_logs.save(cluster, rendered(), tmp_path / "none", lines.append) == {}


@pytest.mark.cluster
def test_the_gpu_that_no_scenario_names_is_read_from_the_node_of_the_engine(cluster: Cluster, tmp_path: Path) -> None:
    cluster.apply(deployment(("sh", "-c", ENGINE)))
    wait(cluster)
    kept = startup_logs.save(cluster, rendered(decode=8000), tmp_path / "startup", print)
    node = cluster.get("v1", "Node", kept["decode"].node)
    assert node is not None
    labelled = node["metadata"]["labels"].get("nvidia.com/gpu.product")
    found = startup_logs.products(cluster, UNNAMED, kept)
    assert [one.name for one in found.values()] == [labelled] * (labelled is not None)
    assert startup_logs.products(cluster, H100, kept) == {}


@pytest.mark.cluster
def test_a_whole_run_compares_an_engine_on_the_gpu_of_its_node_with_a_made_up_log(
    project: Project, cluster: Cluster
) -> None:
    labels = {one["metadata"]["labels"].get("nvidia.com/gpu.product") for one in cluster.objects("v1", "Node")}
    if labels != {"NVIDIA-H100-80GB-HBM3"}:
        pytest.skip(f"the nodes of this cluster are labelled {labels}")
    project.write(
        "h100",
        model=H100.model.model_dump(exclude_unset=True) | {"tokenizer": "none"},
        engine={"kind": "vllm", "image": SIMULATOR_IMAGE},
        vllm={"max_model_len": 8192},
        pods={"gpus": 1, "cpu": "300m", "memory": "256Mi", "shm": "0", "command": ["python3", "-c", STAND_IN]},
    )
    status, output = project.run("--scenario=h100", "--llmd-allow=invalid")
    assert status == 0, output
    assert "stack h100, server: KV cache 58.11 GiB, estimated " in output
    (case,) = project.results.glob("test_bench*")
    (engine,) = json.loads((case / "case.json").read_text())["stack_facts"]["capacity"]
    assert engine["gpu"] == "H100-SXM-80GB"
    assert engine["gpu_known"] == "by the label nvidia.com/gpu.product of its node"


def test_without_the_right_to_read_nodes_a_line_says_what_would_tell_the_gpu_by_a_made_up_log(tmp_path: Path) -> None:
    class Forbidden(Cluster):
        def __init__(self) -> None:
            self.patience_s, self._say = 60.0, None

        def get(self, *_: Any, **__: Any) -> dict[str, Any] | None:
            raise ClusterError('nodes "a" is forbidden', 403)

    log = tmp_path / "decode.log"
    log.write_text(made_up_log(), encoding="utf-8")
    assert startup_logs.products(Forbidden(), UNNAMED, {"decode": startup_logs.Kept(str(log), "a")}) == {}
    lines: list[str] = []
    assert startup_logs.compared("h100", UNNAMED, {"decode": str(log)}, lines.append) == {}
    assert lines == [
        "stack h100: the memory of decode is not compared with the estimate, as the GPU is not known: set "
        "accelerator.product, or let this run read nodes with the label nvidia.com/gpu.product"
    ]
    log.write_text(made_up_log(device="NVIDIA_H100_80GB_HBM3"), encoding="utf-8")
    (engine,) = startup_logs.compared("h100", UNNAMED, {"decode": str(log)}, lines.append)["capacity"]
    assert (engine["gpu"], engine["gpu_known"]) == ("H100-SXM-80GB", "by its own log")
    assert lines[1:] == [line for line in lines if line.startswith("stack h100, decode: KV cache 58.11 GiB")]


def test_a_log_that_cannot_be_read_is_said_and_left_out(tmp_path: Path) -> None:
    class Silent(Cluster):
        def __init__(self) -> None:
            pass

        def objects(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
            return [{"metadata": {"name": "a-pod"}, "spec": {}}]

        def logs(self, *_: Any, **__: Any) -> str:
            raise OSError("no room")

    lines: list[str] = []
    assert startup_logs.save(Silent(), rendered(decode=8000), tmp_path, lines.append) == {}
    assert lines == ["how the engine of role decode started could not be kept: no room"]


def test_an_engine_is_told_with_its_stack_and_role_by_a_made_up_log(tmp_path: Path) -> None:
    (tmp_path / "decode.log").write_text(f"{HAS}\n", encoding="utf-8")
    lines: list[str] = []
    assert startup_logs.compared("h100", H100, {"decode": str(tmp_path / "decode.log")}, lines.append)
    (line,) = lines
    assert line.startswith("stack h100, decode: KV cache 57.00 GiB, estimated ")


def test_a_stack_stays_up_whatever_is_wrong_with_an_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(*_: Any) -> dict[str, Any]:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(startup_logs, "facts_of_start", wrong)
    lines: list[str] = []
    assert startup_logs.compared("h100", H100, {"decode": "decode.log"}, lines.append) == {}
    assert lines == [
        "stack h100: its memory could not be compared with the estimate: ZeroDivisionError('division by zero')"
    ]
