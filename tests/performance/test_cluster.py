"""What a run on a cluster costs besides its load: the time that GPUs are held and nothing is measured."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster, ClusterError
from tests.kubernetes.project import Project, make_project

pytestmark = [pytest.mark.performance, pytest.mark.cluster]

#: Seconds around one run of a load, and the share of a run of ten minutes in which held GPUs are measured.
GOAL_S, GOAL_SHARE = 3.0, 0.95
LOAD_S = 600.0

BENCHMARK = """
import time
import pytest

@pytest.mark.workload("short")
@pytest.mark.parametrize("number", range(4))
def test_chatbot(run, slo, number):
    began = time.monotonic()
    result = run()
    print(f"AROUND {time.monotonic() - began - result.elapsed_s:.3f} OF {result.elapsed_s:.3f}")
    slo.verify(result)
"""


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """A project in a namespace of its own."""
    name = f"llmdbench-test-{secrets.token_hex(3)}"
    cluster = Cluster(namespace=name)
    cluster.patience_s = 5
    try:
        cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    except ClusterError as error:
        pytest.skip(f"needs a Kubernetes cluster: {error}")
    time.sleep(2)
    yield make_project(tmp_path, name)
    cluster.delete("v1", "Namespace", name)


def test_time_around_a_load_while_gpus_are_held(project: Project) -> None:
    (project.folder / "test_bench.py").write_text(BENCHMARK)
    status, output = project.run("--scenario=sim", "-s")
    assert status == 0, output
    around = [float(one) for one in re.findall(r"AROUND ([\d.]+)", output)]
    up, down = (float(one) for one in re.findall(r"up in ([\d.]+) s, 4 loads, down in ([\d.]+) s", output)[0])
    share = LOAD_S / (LOAD_S + up + max(around) + down)
    print(f"\naround one load, pods and results included: {min(around):.2f}-{max(around):.2f} s (goal {GOAL_S:g} s)")
    print(f"stack up in {up:.1f} s, down in {down:.1f} s")
    print(f"share of a run of {LOAD_S:g} s that measures: {share:.3f} (goal {GOAL_SHARE})")
