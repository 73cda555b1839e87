"""What the README promises, on a real cluster: real stacks of the simulator, real loads in pods."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.kept import still_there
from pytest_llmdbench.stacks.kubernetes.names import OURS
from tests.kubernetes.project import Project

pytestmark = pytest.mark.cluster


def left(cluster: Cluster, seconds: float = 30) -> list[str]:
    """What is left of any run of ours: what was deleted a moment ago gets that moment."""
    deadline = time.monotonic() + seconds
    while (found := still_there(cluster, OURS)) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def test_a_standalone_stack_is_stood_up_loaded_from_inside_judged_and_given_back(
    project: Project, cluster: Cluster
) -> None:
    project.write("sim", harness="inference-perf")
    status, output = project.run("-k", "chatbot", "--scenario=sim", "--html=report.html", "--self-contained-html")
    assert status == 0, output
    assert re.search(r"stack sim: up after", output)
    assert re.search(r"PASS", output)
    (case,) = project.results.glob("test_bench*")
    result = json.loads((case / "result.json").read_text())
    assert result["whole"]["requests"]["completed"] == 20
    assert result["whole"]["requests"]["failed"] == {}
    facts = json.loads((case / "case.json").read_text())["stack_facts"]
    assert facts["gpus"] == 2
    assert facts["pods"][0]["images"]["vllm"]
    assert left(cluster) == []


def test_an_slo_that_is_missed_fails_with_the_same_table_as_anywhere(project: Project, cluster: Cluster) -> None:
    status, output = project.run("--scenario=sim", "--llmd-slo=ttft.max<=1ms")
    assert status == 1
    assert "MISSED" in output
    assert left(cluster) == []


def test_two_stacks_run_side_by_side_and_two_sessions_share_a_namespace(project: Project, cluster: Cluster) -> None:
    project.write("other", simulator={"ttft": 0.06, "itl": 0.1})
    first = project.start("--scenario=sim,other", "-n", "2", "--llmd-results=one")
    second = project.start("--scenario=sim", "--llmd-results=two")
    outputs = [process.communicate(timeout=300)[0] for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], outputs
    assert "2 passed" in outputs[0]
    assert "1 passed" in outputs[1]
    assert left(cluster) == []


def test_an_existing_service_is_found_and_loaded_and_stays(project: Project, cluster: Cluster) -> None:
    status, output = project.run("--scenario=sim", "--llmd-standup-only", "--llmd-keep-for=5m")
    assert status == 0, output
    service = cluster.objects("v1", "Service", OURS)[0]["metadata"]["name"]
    before = sorted(one["metadata"]["uid"] for one in cluster.objects("v1", "Pod", {"llmdbench/role": "server"}))
    tokenizer = project.tokenizer()
    words = ["--llmd-model=llmdbench/simulated", f"--llmd-set=model.tokenizer={tokenizer}", "--llmd-slo=ttft.max<=60s"]
    for where in ("cluster", "here"):
        status, output = project.run(
            "--scenario=sim", f"--llmd-stack={service[:8]}", f"--llmd-set=load.where={where}", *words
        )
        assert status == 0, output
        assert "1 passed" in output
    after = sorted(one["metadata"]["uid"] for one in cluster.objects("v1", "Pod", {"llmdbench/role": "server"}))
    assert after == before
    assert project.run("--scenario=sim", "--llmd-teardown-only")[0] == 0
    assert left(cluster) == []


def test_a_kept_stack_is_used_again_without_a_second_standup_and_taken_down_when_told(
    project: Project, cluster: Cluster
) -> None:
    status, output = project.run("--scenario=sim", "--llmd-keep-stack", "--llmd-keep-for=5m")
    assert status == 0, output
    pods = {one["metadata"]["uid"] for one in cluster.objects("v1", "Pod", {"llmdbench/role": "server"})}
    assert len(pods) == 1
    status, output = project.run("--scenario=sim", "--llmd-reuse-stack")
    assert status == 0, output
    assert "which was kept" in output
    assert {one["metadata"]["uid"] for one in cluster.objects("v1", "Pod", {"llmdbench/role": "server"})} == pods
    status, output = project.run("--scenario=sim", "--llmd-cleanup")
    assert "is kept: sim" in output
    assert {one["metadata"]["uid"] for one in cluster.objects("v1", "Pod", {"llmdbench/role": "server"})} == pods
    status, output = project.run("--scenario=sim", "--llmd-teardown-only")
    assert status == 0, output
    assert left(cluster) == []


@pytest.mark.thorough
def test_another_scenario_than_the_kept_one_does_not_get_its_stack(project: Project, cluster: Cluster) -> None:
    assert project.run("--scenario=sim", "--llmd-standup-only", "--llmd-keep-for=5m")[0] == 0
    status, output = project.run("--scenario=sim", "--llmd-reuse-stack", "--llmd-set=simulator.ttft=0.07")
    assert status == 0, output
    assert "no kept one is deployed alike and free" in output
    assert project.run("--scenario=sim", "--llmd-teardown-only")[0] == 0
    assert left(cluster) == []


@pytest.mark.charts
def test_a_modelservice_stack_of_the_real_chart_is_installed_loaded_and_uninstalled(
    project: Project, cluster: Cluster, charts: Path
) -> None:
    pods = {"gpus": 1, "cpu": "300m", "memory": "256Mi", "shm": "0"}
    project.write(
        "ms",
        deploy="modelservice",
        harness="inference-perf",
        pods=pods,
        decode={"replicas": 1},
        router={"gateway": "none"},
        sidecar={"enabled": False},
        charts={"modelservice": {"chart": str(charts / "llm-d-modelservice"), "version": None}},
    )
    status, output = project.run("--scenario=ms")
    assert status == 0, output
    assert "1 passed" in output
    (case,) = project.results.glob("test_bench*")
    assert {pod["role"] for pod in json.loads((case / "case.json").read_text())["stack_facts"]["pods"]} == {"decode"}
    assert left(cluster) == []
    assert cluster.objects("v1", "Secret", {"owner": "helm"}) == []
