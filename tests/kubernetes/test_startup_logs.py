"""What engines in a cluster said while they started is kept, for ``nop``, and set beside what was estimated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.harnesses.startup_log import parse
from pytest_llmdbench.stacks.kubernetes import startup_logs
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered
from tests.kubernetes.pods_made import EXPECTED, deployment, wait

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
    text = Path(kept["decode"]).read_text()
    assert parse(text).values == {"load_weights_s": 12.5, "kv_cache_bytes": 57 * 2**30}
    (engine,) = startup_logs.compared("h100", H100, kept, lines.append)["capacity"]
    assert [(one["name"], one["measured"]) for one in engine["compared"]] == [("KV cache", 57.0)]
    assert "planted-1" not in text
    assert startup_logs.save(cluster, rendered(), tmp_path / "none", lines.append) == {}


def test_a_log_that_cannot_be_read_is_said_and_left_out(tmp_path: Path) -> None:
    class Silent(Cluster):
        def __init__(self) -> None:
            pass

        def objects(self, *_: Any, **__: Any) -> list[dict[str, Any]]:
            return [{"metadata": {"name": "a-pod"}}]

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
