"""Faults of a cluster's own parts, where LLMDBENCH_TEST_CONTROL_PLANE names a folder with their NAME.pid files."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from tests.kubernetes.pods_made import deployment


def control_plane() -> Path:
    """The folder; the test is skipped where there is none."""
    folder = os.environ.get("LLMDBENCH_TEST_CONTROL_PLANE")
    if not folder:
        pytest.skip("stops parts of the cluster: only where LLMDBENCH_TEST_CONTROL_PLANE names their NAME.pid files")
    return Path(folder)


def stop_for(name: str, seconds: float) -> None:
    """Have a part of the control plane not answer for so many seconds; returns after that."""
    pid = _pid(control_plane(), name)
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


def restart(name: str) -> None:
    """Kill a part of the control plane and start it again as it was, in its network and its folder."""
    folder = control_plane()
    pid = _pid(folder, name)
    about = Path("/proc") / str(pid)
    command = [word.decode() for word in (about / "cmdline").read_bytes().split(b"\0")[:-1]]
    place, network = (about / "cwd").readlink(), os.open(about / "ns" / "net", os.O_RDONLY)
    try:
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while _alive(about):
            assert time.monotonic() < deadline, f"{name} does not end"
            time.sleep(0.05)
        with (folder / "log" / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                ["nsenter", f"--net=/proc/self/fd/{network}", *command], cwd=place, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, pass_fds=[network],
            )  # fmt: skip
        (folder / f"{name}.pid").write_text(f"{process.pid}\n", encoding="utf-8")
        process.returncode = 0  # it stays when we go, so nobody need be told that it was left
    finally:
        os.close(network)


def _pid(folder: Path, name: str) -> int:
    return int((folder / f"{name}.pid").read_text(encoding="utf-8"))


def _alive(about: Path) -> bool:
    """Whether anything of a process lives: its last thread closes its sockets, which the first may not live to see."""
    try:
        ended = "\nState:\tZ" in (about / "status").read_text(encoding="utf-8")
        return not ended or len(list((about / "task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False


@contextlib.contextmanager
def pod_on_a_silent_node(cluster: Cluster) -> Iterator[None]:
    """A pod that is Ready on a node whose kubelet never speaks again; about 40 s later the cluster calls it not ready.

    The node is one that does not exist, so that nobody else's pods are touched.
    """
    control_plane()
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = f"silent-{cluster.namespace}"
    room = {"cpu": "1", "memory": "1Gi", "pods": "5"}
    well = {"type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now}
    cluster.create(
        {
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "spec": {"unschedulable": True},
            "status": {"capacity": room, "allocatable": room, "conditions": [well]},
        }
    )  # fmt: skip
    template = deployment()["spec"]["template"]
    spec = template["spec"] | {"nodeName": name, "tolerations": [{"operator": "Exists"}]}
    metadata = template["metadata"] | {"name": "lost"}
    pods = f"/api/v1/namespaces/{cluster.namespace}/pods/lost"
    try:
        made = cluster.create({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
        conditions = [
            {"type": kind, "status": "True", "lastTransitionTime": now}
            for kind in ("Initialized", "ContainersReady", "PodScheduled", "Ready")
        ]
        status: dict[str, Any] = {
            "name": "engine", "image": "x", "imageID": "", "ready": True, "started": True, "restartCount": 0,
            "state": {"running": {"startedAt": now}}, "lastState": {},
        }  # fmt: skip
        made["status"] = {"phase": "Running", "conditions": conditions, "containerStatuses": [status], "startTime": now}
        made["metadata"].pop("resourceVersion")
        cluster.raw("PUT", f"{pods}/status", made)
        yield
    finally:
        with contextlib.suppress(Exception):  # nobody answers for it, so it must be told twice
            cluster.raw("DELETE", pods, {"gracePeriodSeconds": 0})
        cluster.raw("DELETE", f"/api/v1/nodes/{name}")
