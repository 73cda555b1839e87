"""Each thing that goes wrong on a real cluster ends the wait for a stack, with its cause."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.wait import wait_job
from tests.kubernetes.faulty_proxy import FaultyProxy, faulty_proxy
from tests.kubernetes.pods_made import BASE_IMAGE, SERVE, deployment, failure, probe, wait

pytestmark = pytest.mark.cluster


def test_a_pod_that_comes_up_is_waited_for_with_a_line_that_says_how_far_it_is(cluster: Cluster) -> None:
    lines: list[str] = []
    began = time.monotonic()
    cluster.apply(deployment(readinessProbe=probe("/")))
    wait(cluster, lines=lines)
    print(f"{time.monotonic() - began:.1f} s from apply to Ready: {lines}")
    assert lines[0].startswith("stack s: decode 0/1 ready")


def test_an_image_that_is_not_there_ends_the_wait(cluster: Cluster) -> None:
    said = failure(cluster, deployment(image="llmdbench.local/absent:1"))
    assert 'Failed to pull image "llmdbench.local/absent:1"' in said
    assert "cluster.image_pull_secrets" in said


def test_a_crash_loop_ends_the_wait_with_the_last_that_the_container_wrote(cluster: Cluster) -> None:
    said = failure(cluster, deployment(("sh", "-c", "echo loading; echo 'no such model: opt' >&2; exit 3")))
    assert "exit code 3" in said
    assert "no such model: opt" in said


def test_a_container_that_needs_more_memory_than_it_has_ends_the_wait_with_its_limit(cluster: Cluster) -> None:
    greedy = ("python3", "-c", "import time; held = bytearray(300 << 20); time.sleep(60)")
    said = failure(cluster, deployment(greedy, resources={"limits": {"memory": "64Mi"}}))
    assert "OOMKilled" in said
    assert "memory limit of 64Mi; raise pods.memory" in said


def test_more_gpus_than_any_node_has_end_the_wait_with_the_scheduler_s_words(cluster: Cluster) -> None:
    said = failure(cluster, deployment(resources={"limits": {"nvidia.com/gpu": "999"}}))
    assert "Insufficient nvidia.com/gpu" in said


def test_who_waits_for_gpus_waits_until_the_deadline(cluster: Cluster) -> None:
    greedy = deployment(resources={"limits": {"nvidia.com/gpu": "999"}})
    said = failure(cluster, greedy, 12, wait_for_gpus=True)
    assert "was not ready in time" in said
    assert "Insufficient nvidia.com/gpu" in said


def test_a_claim_that_no_class_serves_ends_the_wait(cluster: Cluster) -> None:
    spec = {
        "accessModes": ["ReadWriteOnce"], "storageClassName": "absent", "resources": {"requests": {"storage": "1Gi"}},
    }  # fmt: skip
    cluster.create({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "models"}, "spec": spec})
    volumes = [{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]
    said = failure(cluster, deployment(pod={"volumes": volumes}))
    assert "claim models cannot be bound" in said
    assert 'storageclass.storage.k8s.io "absent" not found' in said


def test_a_secret_that_is_not_there_ends_the_wait_with_its_name(cluster: Cluster) -> None:
    token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "absent-token", "key": "HF_TOKEN"}}}
    assert 'secret "absent-token" not found' in failure(cluster, deployment(env=[token]))


def test_a_pod_that_is_never_ready_is_given_up_at_the_deadline_with_what_its_probe_said(cluster: Cluster) -> None:
    said = failure(cluster, deployment(readinessProbe=probe("/absent")), 12)
    assert "was not ready in time" in said
    assert "loading (not ready)" in said
    assert "Readiness probe failed: HTTP probe failed with statuscode: 404" in said


def test_a_quota_that_forbids_the_pods_ends_the_wait_with_the_quota(cluster: Cluster) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "small"},
        "spec": {"hard": {"pods": "0"}},
    }
    cluster.create(quota)
    deadline = time.monotonic() + 20
    while not (cluster.get("v1", "ResourceQuota", "small") or {}).get("status", {}).get("hard"):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    said = failure(cluster, deployment())
    assert "FailedCreate" in said
    assert "exceeded quota: small" in said


def test_an_interrupt_ends_the_wait_and_says_what_was_waited_for(cluster: Cluster) -> None:
    interrupted = threading.Event()
    threading.Timer(3, interrupted.set).start()
    began = time.monotonic()
    said = failure(cluster, deployment(readinessProbe=probe("/absent")), interrupted=interrupted)
    print(f"{time.monotonic() - began - 3:.2f} s after the interrupt")
    assert "decode 0/1 ready" in said


def _job(command: list[str], **spec: Any) -> dict[str, Any]:
    container = {"name": "download", "image": BASE_IMAGE, "imagePullPolicy": "IfNotPresent", "command": command}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    return {
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "download"},
        "spec": {"template": template, **spec},
    }  # fmt: skip


def test_a_job_is_waited_for_until_it_is_complete(cluster: Cluster) -> None:
    cluster.apply(_job(["true"]))
    wait_job(cluster, "download", deadline=time.monotonic() + 60, say=print, interrupted=threading.Event())


def test_a_job_that_fails_ends_the_wait_with_the_last_that_it_wrote(cluster: Cluster) -> None:
    cluster.apply(_job(["sh", "-c", "echo gated repo; exit 9"], backoffLimit=0))
    with pytest.raises(StandupError, match=r"(?s)exit code 9.*gated repo"):
        wait_job(cluster, "download", deadline=time.monotonic() + 60, say=print, interrupted=threading.Event())


@pytest.fixture
def between(cluster: Cluster) -> Iterator[tuple[Cluster, FaultyProxy]]:
    """A client whose requests go through a proxy that can be told to fail; and that proxy."""
    with faulty_proxy(cluster) as proxy:
        yield proxy.client(cluster), proxy


@pytest.mark.parametrize("fault", ["drop", "gone", "expired", "forbidden"])
def test_a_watch_that_fails_time_and_again_goes_on_without_a_storm_of_requests(
    between: tuple[Cluster, FaultyProxy], fault: str
) -> None:
    through, proxy = between
    for version, kind in (("v1", "Pod"), ("apps/v1", "ReplicaSet")):
        through.knows(version, kind)  # finding out what the cluster knows takes many requests, once
    proxy.fault, proxy.lists = fault, 0
    began = time.monotonic()
    starting = ("sh", "-c", f"sleep 3; exec {' '.join(SERVE)}")
    through.apply(deployment(starting, readinessProbe=probe("/")))
    wait(through)
    seconds = time.monotonic() - began
    print(f"{fault}: Ready after {seconds:.1f} s, {proxy.lists} other requests, {proxy.watches} watches")
    assert proxy.watches > 0
    assert proxy.lists < 4 * (seconds + 2), "four kinds, each listed about once a second"


def test_an_api_server_that_has_too_much_to_do_is_asked_again(between: tuple[Cluster, FaultyProxy]) -> None:
    through, proxy = between
    through.apply(deployment(("sh", "-c", f"sleep 3; exec {' '.join(SERVE)}"), readinessProbe=probe("/")))
    proxy.fault = "busy"
    threading.Timer(4, setattr, (proxy, "fault", None)).start()
    wait(through)
    assert proxy.fault is None


def test_an_api_server_that_stays_too_busy_is_an_error_and_never_taken_for_ready(
    between: tuple[Cluster, FaultyProxy],
) -> None:
    through, proxy = between
    through.apply(deployment())
    through.patience_s = 3
    proxy.fault = "busy"
    with pytest.raises(StandupError, match="too many requests"):
        wait(through)
