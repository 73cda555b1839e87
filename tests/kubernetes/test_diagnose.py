"""What is saved of a stack before it is deleted, and what never is."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pytest_llmdbench.stacks.kubernetes import diagnose
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.hide import HIDDEN, hide, hide_text
from tests.kubernetes.pods_made import NAMES, deployment, failure


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("HF_TOKEN=planted-1", "HF_TOKEN=***"),
        ("{'api_key': 'planted-1', 'seed': 1}", "{'api_key': '***', 'seed': 1}"),
        ("Authorization: Bearer planted-1", "Authorization: Bearer ***"),
        ("login with hf_planted1planted1 failed", "login with *** failed"),
        ("proxy http://user:planted-1@proxy:80/", "proxy http://***@proxy:80/"),
        ("--max-num-batched-tokens=8192 tokenizer=opt prompt_tokens: 5", None),
        ('secret "llm-d-hf-token" not found', None),
        ("      secret:\n        secretName: certificates\n", None),
    ],
)
def test_values_that_look_secret_are_left_out_of_text_and_nothing_else_is(text: str, kept: str | None) -> None:
    assert hide_text(text) == (kept or text)


def test_secret_values_are_left_out_of_objects_and_references_to_them_stay() -> None:
    reference = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "llm-d-hf-token", "key": "HF_TOKEN"}}}
    pod = {
        "metadata": {"managedFields": ["planted-1"], "annotations": {"note": "password=planted-1"}},
        "spec": {
            "env": [{"name": "AWS_SECRET_ACCESS_KEY", "value": "planted-1"}, {"name": "SEED", "value": "1"}, reference],
            "args": ["--api-key", "planted-1", "--max-num-batched-tokens", "8192", "--api-key=planted-1"],
        },
    }
    safe = hide(pod)
    assert "planted-1" not in str(safe)
    assert safe["spec"]["env"] == [
        {"name": "AWS_SECRET_ACCESS_KEY", "value": HIDDEN}, {"name": "SEED", "value": "1"}, reference,
    ]  # fmt: skip
    assert safe["spec"]["args"] == ["--api-key", HIDDEN, "--max-num-batched-tokens", "8192", f"--api-key={HIDDEN}"]


@pytest.mark.cluster
def test_states_events_and_logs_of_both_incarnations_are_saved_without_a_secret(
    cluster: Cluster, tmp_path: Path
) -> None:
    crash = ("sh", "-c", "echo loading the model; echo token=$MY_TOKEN; exit 3")
    before = {"name": "before", "image": deployment()["spec"]["template"]["spec"]["containers"][0]["image"]}
    before |= {"imagePullPolicy": "IfNotPresent", "command": ["echo", "all is prepared"]}
    env = [{"name": "MY_TOKEN", "value": "planted-1"}]
    said = failure(cluster, deployment(crash, env=env, pod={"initContainers": [before]}))
    assert "loading the model" in said
    assert "planted-1" not in said
    lines: list[str] = []
    began = time.monotonic()
    folder = diagnose.save(cluster, NAMES.labels, tmp_path / "diagnostics", lines.append)
    print(f"{time.monotonic() - began:.1f} s")
    assert folder == tmp_path / "diagnostics"
    assert lines == []  # whoever asked for it says where it is
    files = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    print(files["index.txt"], files["events.txt"], sep="\n")
    assert "planted-1" not in str(files)
    one = {kind: text for name, text in files.items() for kind in _KINDS if name.startswith(kind)}
    assert set(one) == set(_KINDS)
    assert "BackOff" in files["events.txt"]
    assert next(text for name, text in files.items() if name.endswith("engine-previous.txt")).startswith("loading")
    assert next(text for name, text in files.items() if name.endswith("before.txt")) == "all is prepared\n"
    assert all(name in files["index.txt"] for name in files if name != "index.txt")
    assert "crashes again and again (exit code 3)" in files["index.txt"]


_KINDS = ("deployment-", "replicaset-", "pod-", "node-", "log-", "events.txt", "index.txt")


@pytest.mark.cluster
def test_a_cluster_that_does_not_answer_is_noted_and_not_an_error(cluster: Cluster, tmp_path: Path) -> None:
    cluster.knows("v1", "Pod")
    cluster.patience_s = 0
    cluster.configuration.host = "https://127.0.0.1:1"
    folder = diagnose.save(cluster, NAMES.labels, tmp_path, print)
    assert folder == tmp_path
    assert "Pods: not read: could not list Pods: no answer" in (tmp_path / "index.txt").read_text(encoding="utf-8")


def test_a_folder_that_cannot_be_written_is_said_and_not_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    lines: list[str] = []
    assert diagnose.save(None, {}, tmp_path / "file" / "in-it", lines.append) is None  # type: ignore[arg-type]
    assert "could not be saved" in lines[0]
