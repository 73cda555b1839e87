"""A token never leaves its Secret: one is planted, a run is made, and everything that the run wrote is searched."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.kept import KINDS
from tests.kubernetes.project import Project

pytestmark = pytest.mark.cluster

TOKEN = "hf_thisMustNeverBeSeenAnywhere42"


def command_lines() -> Iterator[str]:
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            yield process.read_bytes().replace(b"\0", b" ").decode(errors="replace")


def objects(cluster: Cluster) -> Iterator[str]:
    for version, kind in [*KINDS, ("v1", "Event")]:
        if kind != "Secret" and cluster.knows(version, kind):
            yield json.dumps(cluster.objects(version, kind))


@pytest.mark.parametrize(
    ("name", "more", "status"),
    [
        ("runs", {}, 0),
        # What a crashing stack leaves for diagnosis is searched, too.
        ("crashes", {"command": ["sh", "-c", "echo starting; sleep 1; exit 3", "engine"]}, 1),
    ],
)
def test_a_token_is_in_no_file_no_object_no_argument_and_no_output(
    project: Project, cluster: Cluster, name: str, more: dict[str, object], status: int
) -> None:
    metadata = {"name": "llm-d-hf-token", "namespace": cluster.namespace}
    cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"HF_TOKEN": TOKEN}})
    project.write(
        name,
        harness="inference-perf",
        huggingface={"required": True},
        pods={
            "gpus": 1,
            "cpu": "300m",
            "memory": "256Mi",
            "shm": "0",
            "env_from_secrets": {"HF_TOKEN": {"secret": "llm-d-hf-token", "key": "HF_TOKEN"}},
            **more,
        },
    )
    process = project.start(f"--scenario={name}", "--html=report.html", "--junit-xml=junit.xml", "-v")
    while process.poll() is None:
        assert not [line for line in command_lines() if TOKEN in line]
        assert not [text for text in objects(cluster) if TOKEN in text]
        time.sleep(1)
    output, _ = process.communicate()
    assert process.returncode == status, output
    assert TOKEN not in output
    files = [path for path in project.folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []
