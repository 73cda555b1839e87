"""What happens to a serving pod while the load is on it is noticed, and trouble of the API server is none of it."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import pytest

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.streams import run_in
from pytest_llmdbench.stacks.kubernetes.watchman import Watchman
from tests.kubernetes.control_plane import control_plane, pod_on_a_silent_node, restart, stop_for
from tests.kubernetes.pods_made import EXPECTED, SERVE, deployment, one_pod, probe, wait

pytestmark = pytest.mark.cluster

#: A server that can be made to end itself.
_FRAGILE = ("sh", "-c", f"{' '.join(SERVE)} & while [ ! -e /tmp/end ]; do sleep 0.1; done; exit 5")


@pytest.fixture
def watchman(cluster: Cluster) -> Iterator[Watchman]:
    """One that looks after a pod that is up."""
    cluster.apply(deployment(_FRAGILE, readinessProbe=probe("/"), resources={"limits": {"memory": "64Mi"}}))
    wait(cluster)
    made = Watchman(cluster, [EXPECTED])
    yield made
    made.stop()


def _trouble(watchman: Watchman, seconds: float = 30.0) -> str:
    began = time.monotonic()
    while (trouble := watchman.trouble()) is None:
        assert time.monotonic() < began + seconds, "nothing was noticed"
        time.sleep(0.05)
    print(f"{time.monotonic() - began:.1f} s: {trouble}")
    return trouble


def test_a_pod_that_is_deleted_during_the_load_is_noticed(cluster: Cluster, watchman: Watchman) -> None:
    assert watchman.trouble() is None
    pod = one_pod(cluster)
    cluster.delete("v1", "Pod", pod)
    assert _trouble(watchman).startswith(f"pod {pod} was deleted")


def test_a_container_that_is_restarted_during_the_load_is_noticed_with_its_exit_code(
    cluster: Cluster, watchman: Watchman
) -> None:
    run_in(cluster, one_pod(cluster), "engine", ["touch", "/tmp/end"])  # noqa: S108 - in the pod
    assert re.search(r"lost its container engine.*exit code 5", _trouble(watchman))


def test_a_container_that_runs_out_of_memory_during_the_load_is_noticed_with_its_limit(cluster: Cluster) -> None:
    greedy = (
        "import pathlib, time\nwhile not pathlib.Path('/tmp/end').exists(): time.sleep(0.1)\nx = bytearray(300 << 20)"
    )
    cluster.apply(deployment(("python3", "-c", greedy), resources={"limits": {"memory": "64Mi"}}))
    wait(cluster)
    watchman = Watchman(cluster, [EXPECTED])
    run_in(cluster, one_pod(cluster), "engine", ["touch", "/tmp/end"])  # noqa: S108 - in the pod
    assert "OOMKilled: it needs more than its memory limit of 64Mi" in _trouble(watchman)
    watchman.stop()


def test_a_node_that_does_not_answer_ends_a_wait_and_is_noticed_during_a_load(cluster: Cluster) -> None:
    with pod_on_a_silent_node(cluster):
        wait(cluster)
        watchman = Watchman(cluster, [EXPECTED])
        assert re.search(r"was cut off: its node .* \(NodeNotReady\)", _trouble(watchman, 90))
        with pytest.raises(StandupError, match="does not answer any more"):
            wait(cluster)


def test_a_wait_goes_on_when_the_api_server_does_not_answer_for_a_while(cluster: Cluster) -> None:
    control_plane()
    lines: list[str] = []
    patient = Cluster(namespace=cluster.namespace, say=lines.append)
    patient.apply(deployment(("sh", "-c", f"sleep 4; exec {' '.join(SERVE)}"), readinessProbe=probe("/")))
    stop = threading.Thread(target=stop_for, args=("kube-apiserver", 5.0))
    stop.start()
    wait(patient, lines=lines)
    stop.join()
    print(lines)


# Connections that the server broke off are collected whenever that suits the interpreter.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_neither_a_wait_nor_the_watchman_minds_a_restart_of_the_api_server(
    cluster: Cluster, watchman: Watchman
) -> None:
    slow = deployment(("sh", "-c", f"sleep 5; exec {' '.join(SERVE)}"), readinessProbe=probe("/"))
    slow["metadata"]["name"] = "slow"
    role = {**EXPECTED.selector, "llmdbench/role": "prefill"}
    slow["spec"]["selector"]["matchLabels"] = slow["spec"]["template"]["metadata"]["labels"] = role
    cluster.apply(slow)
    control_plane()
    again = threading.Timer(2, restart, ["kube-apiserver"])
    again.start()
    began, lines = time.monotonic(), list[str]()
    wait(cluster, 90, lines=lines, role=role)
    again.join()
    print(f"{time.monotonic() - began:.1f} s with a restart: {lines}")
    assert watchman.trouble() is None
    cluster.delete("v1", "Pod", one_pod(cluster))
    assert "was deleted" in _trouble(watchman)
