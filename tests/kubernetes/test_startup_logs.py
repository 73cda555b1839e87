"""What engines in a cluster said while they started is kept, for ``nop``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.harnesses.startup_log import parse
from pytest_llmdbench.stacks.kubernetes import startup_logs
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.rendered import Rendered
from tests.kubernetes.pods_made import EXPECTED, deployment, wait

SAID = "INFO 06-21 07:20:11 [default_loader.py:1] Loading weights took 12.5 seconds"
ENGINE = f"echo '{SAID}'; echo token=$MY_TOKEN; exec python3 -m http.server 8000"


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
    assert parse(text).values == {"load_weights_s": 12.5}
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
