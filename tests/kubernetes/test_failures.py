"""What goes wrong on a cluster ends the run soon, with the cause in one sentence and all that was seen saved."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from tests.kubernetes.project import Project, Started
from tests.kubernetes.test_end_to_end import left

pytestmark = pytest.mark.cluster

PODS = {"gpus": 1, "cpu": "300m", "memory": "256Mi", "shm": "0"}


def diagnostics(output: str) -> Path:
    """The folder that the message names."""
    found = re.search(r"states, events and logs are in (\S+)", output)
    assert found, output
    return Path(found[1])


def test_an_engine_that_crashes_is_shown_with_its_last_words_and_its_logs_are_kept(
    project: Project, cluster: Cluster
) -> None:
    project.write("sim", pods=PODS | {"command": ["sh", "-c", "echo no such kernel; exit 3", "engine"]})
    status, output = project.run("--scenario=sim", "--html=report.html")
    assert status == 1
    assert "no such kernel" in output
    assert "exit code 3" in output
    assert "Traceback" not in output
    folder = diagnostics(output)
    assert any("no such kernel" in path.read_text() for path in folder.rglob("*") if path.is_file())
    assert str(folder.relative_to(project.folder)) in (project.folder / "report.html").read_text()
    assert left(cluster) == []


def test_an_engine_that_serves_another_model_is_found_out_before_any_load(project: Project, cluster: Cluster) -> None:
    other = ["python3", "-m", "pytest_llmdbench.simulator", "--model=other", "--host=0.0.0.0", "--port=8000"]
    # What follows the command are the scenario's own arguments, and the last one would win: they end up in "$@" unused.
    project.write("sim", pods=PODS | {"command": ["sh", "-c", f"exec {' '.join(other)}", "engine"]})
    status, output = project.run("--scenario=sim")
    assert status == 1
    assert "it serves other, not llmdbench/simulated (model.name)" in output
    assert "priority-mix: " not in output
    assert left(cluster) == []


def test_a_serving_pod_that_is_deleted_during_the_load_ends_it_with_that_reason(
    project: Project, cluster: Cluster
) -> None:
    workload = project.folder / "workloads" / "priority-mix" / "short.yaml"
    workload.write_text(workload.read_text().replace("duration_seconds: 5", "duration_seconds: 90"))
    session = Started(project.start("--scenario=sim"), "priority-mix: starting")
    assert session.saw_it()
    (pod,) = cluster.objects("v1", "Pod", {"llmdbench/role": "server"})
    began = time.monotonic()
    cluster.delete("v1", "Pod", pod["metadata"]["name"])
    status, output = session.ended()
    print(f"over {time.monotonic() - began:.1f} s after the deletion, teardown included\n{output}")
    assert status == 1
    assert f"pod {pod['metadata']['name']} was deleted" in output
    assert diagnostics(output).is_dir()
    assert left(cluster) == []


def test_ctrl_c_during_the_standup_takes_everything_down_without_waiting_for_it(
    project: Project, cluster: Cluster
) -> None:
    project.write("sim", pods=PODS, simulator={"faults": {"startup_s": 60}})
    process = project.start("--scenario=sim")
    assert process.stdout is not None
    for line in process.stdout:
        if "not ready" in line:
            break
    process.send_signal(2)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, output
    assert left(cluster, 5) == []
