"""Metrics of pods on a real cluster: the simulator's, read from inside; an exporter of GPUs is a stand-in."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.results.server_metrics.scraped import Scrape
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from pytest_llmdbench.stacks.kubernetes.rendered import Expected, Rendered
from pytest_llmdbench.stacks.kubernetes.scrape import InsideLook
from pytest_llmdbench.stacks.kubernetes.scrape_targets import ScrapeTarget, nodes_of, targets_of
from pytest_llmdbench.stacks.kubernetes.wait import wait_ready
from pytest_llmdbench.stacks.scrape import Scraping
from tests.kubernetes.images import SIMULATOR_IMAGE
from tests.kubernetes.pods_made import BASE_IMAGE, EXPECTED, deployment, probe
from tests.kubernetes.project import Project
from tests.kubernetes.test_rights import least

pytestmark = pytest.mark.cluster

SIMULATOR = ("python3", "-m", "pytest_llmdbench.simulator", "--host", "0.0.0.0", "--port", "8000")
#: An objective that any run of a few requests meets.
SLO = ["ttft.mean <= 60s"]
#: A busy machine makes the simulator late, which counts nothing otherwise.
LATE = "--llmd-allow=invalid"
PODS = 10
#: What an exporter says of two GPUs, one of them ours; ``POD`` stands for the pod that uses it.
_DCGM = """
import http.server, sys
text = ''.join('DCGM_FI_DEV_GPU_UTIL{gpu="%s",Hostname="n",pod="%s",namespace="x"} %s\\n' % one
    for one in (("0", sys.argv[1], 40), ("1", "somebodys", 90))).encode()
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.end_headers(); self.wfile.write(text)
http.server.HTTPServer(("", 9400), Handler).serve_forever()
"""


def bare(name: str, container: str, command: list[str], labels: dict[str, str], **more: Any) -> dict[str, Any]:
    """A pod of the base image."""
    box = {"name": container, "image": BASE_IMAGE, "imagePullPolicy": "IfNotPresent", "command": command, **more}
    spec = {"terminationGracePeriodSeconds": 0, "restartPolicy": "Never", "containers": [box]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": labels}, "spec": spec}


def up(cluster: Cluster, *expected: Expected) -> None:
    wait_ready(
        cluster, expected, deadline=time.monotonic() + 180, say=lambda line: None, interrupted=threading.Event(),
        name="stack s",
    )  # fmt: skip


def finder(cluster: Cluster) -> Any:
    """What a stack of these Deployments looks for."""
    rendered = Rendered((), (), (), (), (), (EXPECTED,), "s", 80, engine_ports={"decode": 8000})

    def find(asked: Cluster) -> tuple[list[ScrapeTarget], frozenset[str]]:
        pods = asked.objects("v1", "Pod", EXPECTED.selector)
        return targets_of(rendered, pods), nodes_of(pods)

    return find


@pytest.fixture
def look(cluster: Cluster) -> InsideLook:
    """A look at ten simulators, from a pod like the anchor."""
    resources = {"requests": {"cpu": "5m", "memory": "32Mi"}}
    cluster.apply(
        deployment(
            SIMULATOR, replicas=PODS, image=SIMULATOR_IMAGE, readinessProbe=probe("/health"), resources=resources
        )
    )
    cluster.apply(bare("vantage", "anchor", ["sleep", "3600"], {"role": "vantage"}))
    up(cluster, Expected("decode", EXPECTED.selector, PODS, "engine"), Expected("v", {"role": "vantage"}, 1, "anchor"))
    return InsideLook(cluster, "vantage", finder(cluster))


def test_a_run_holds_what_each_of_its_pods_counted(project: Project, cluster: Cluster) -> None:
    project.write("pair", pods={"replicas": 2, "gpus": 1, "cpu": "100m", "memory": "256Mi", "shm": "0"}, slo=SLO)
    status, output = project.run("--scenario=pair", "--llmd-set=load.scrape_s=1", LATE)
    assert status == 0, output
    (case,) = project.results.glob("test_bench*")
    result = json.loads((case / "result.json").read_text())
    metrics = result["server"]["metrics"]
    assert "error" not in metrics, metrics["error"]
    names = [one["name"] for one in json.loads((case / "case.json").read_text())["stack_facts"]["pods"]]
    assert sorted(one["pod"] for one in metrics["targets"]) == sorted(names)
    for one in metrics["targets"]:
        assert (one["scrapes"], one["restarts"]) == (metrics["rounds"], 0)
        assert "error" not in one
    totals, whole = metrics["totals"], result["whole"]
    assert totals["requests_finished"] == whole["requests"]["completed"] == 20
    assert totals["prompt_tokens"] == whole["prompt_tokens"]
    assert totals["generation_tokens"] == whole["output_tokens"]
    each = [one["aggregate"]["requests_finished"]["increase"] for one in metrics["components"]]
    assert len(each) == 2
    assert sum(each) == 20
    assert totals["running.max"] >= 1
    raw = {f"{name}.{when}.prom.gz" for name in names for when in ("first", "last")}
    assert {path.name for path in (case / "server").iterdir()} == raw
    print({name: value for name, value in totals.items() if "." not in name}, metrics["cpu_s"], metrics["rounds"])


@pytest.mark.thorough
def test_reading_metrics_needs_no_more_than_the_documented_rights(
    project: Project, cluster: Cluster, tmp_path: Path
) -> None:
    project.write("few", slo=SLO)
    kubeconfig = least(cluster, tmp_path)
    status, output = project.run("--scenario=few", LATE, env={"KUBECONFIG": str(kubeconfig)})
    assert status == 0, output
    (case,) = project.results.glob("test_bench*")
    metrics = json.loads((case / "result.json").read_text())["server"]["metrics"]
    assert "error" not in metrics, metrics["error"]
    assert metrics["totals"]["requests_finished"] == 20


@pytest.mark.thorough
def test_the_pods_of_a_service_that_is_there_are_read(project: Project, cluster: Cluster) -> None:
    cluster.apply(
        deployment(
            (*SIMULATOR, "--model", "some/model"), replicas=2, image=SIMULATOR_IMAGE, readinessProbe=probe("/health"),
            ports=[{"name": "web", "containerPort": 8000}],
        )
    )  # fmt: skip
    ports = [{"port": 80, "targetPort": "web", "protocol": "TCP"}]
    spec = {"selector": EXPECTED.selector, "ports": ports}
    cluster.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "theirs"}, "spec": spec})
    up(cluster, Expected("decode", EXPECTED.selector, 2, "engine"))
    project.write(
        "there",
        deploy="endpoint",
        endpoint={"stack": "theirs"},
        model={"name": "some/model", "tokenizer": project.tokenizer()},
        slo=SLO,
    )
    for where in ("cluster", "here"):
        words = (f"--llmd-set=load.where={where}", f"--llmd-results={where}")
        status, output = project.run("--scenario=there", *words, LATE)
        assert status == 0, output
        (path,) = (project.folder / where).rglob("result.json")
        metrics = json.loads(path.read_text())["server"]["metrics"]
        assert "error" not in metrics, metrics["error"]
        assert metrics["totals"]["requests_finished"] == 20
        # From here the load goes to one pod, through its port.
        assert len(metrics["targets"]) == (2 if where == "cluster" else 1)


def test_a_round_of_ten_pods_takes_far_less_than_its_interval(look: InsideLook, tmp_path: Path) -> None:
    look()
    began, rounds = time.monotonic(), 5
    said = [look() for _ in range(rounds)]
    took = (time.monotonic() - began) / rounds
    assert all(len(one) == PODS and all(scrape.text for scrape in one) for one in said)
    data = Scraping(look, 5.0, tmp_path).end()
    cpu = data["cpu_s"] / data["rounds"]
    print(f"\nten pods: {took:.2f} s a round, {cpu * 1000:.0f} ms of processor time here")
    assert [one["scrapes"] for one in data["targets"]] == [2] * PODS


def test_a_pod_that_goes_and_one_that_comes_within_a_load_are_both_there(look: InsideLook, cluster: Cluster) -> None:
    before = {one.target.label for one in look()}
    gone = sorted(before)[0]
    cluster.delete("v1", "Pod", gone, at_once=True)
    deadline = time.monotonic() + 120
    after: set[str] = set()
    while not after - before or gone in after:
        assert time.monotonic() < deadline
        after = {one.target.label for one in look()}
    assert len(after - before) == 1


def test_a_stand_in_for_an_exporter_tells_of_the_gpus_of_our_pods_alone(
    look: InsideLook, cluster: Cluster, tmp_path: Path
) -> None:
    ours = look()[0].target.label
    ready = {"tcpSocket": {"port": 9400}, "periodSeconds": 1}
    command = ["python3", "-c", _DCGM, ours]
    cluster.apply(bare("dcgm", "exporter", command, {"app": "nvidia-dcgm-exporter"}, readinessProbe=ready))
    up(cluster, Expected("dcgm", {"app": "nvidia-dcgm-exporter"}, 1, "exporter"))
    # The exporters are looked for once a load.
    data = Scraping(InsideLook(cluster, "vantage", finder(cluster)), 3600.0, tmp_path).end()
    told = {one["pod"]: one["series"].get("gpu_utilization") for one in data["components"]}
    assert len(told) == PODS
    assert {pod: [value for _, value in one["points"]] for pod, one in told.items() if one} == {ours: [0.4, 0.4]}


def test_a_vantage_that_is_gone_is_told_and_ends_nothing(look: InsideLook, cluster: Cluster, tmp_path: Path) -> None:
    seen: list[Scrape] = look()
    assert len(seen) == PODS
    cluster.delete("v1", "Pod", "vantage", at_once=True)
    while cluster.get("v1", "Pod", "vantage") is not None:
        time.sleep(0.1)
    with pytest.raises(ClusterError):
        look()
    data = Scraping(look, 3600.0, tmp_path).end()
    assert "vantage" in data["error"]
    assert data["targets"] == []
