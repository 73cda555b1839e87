"""Nothing outlives its run: the cluster itself deletes everything once nobody says that the run lives."""

from __future__ import annotations

import threading
import time
from typing import Any

import pytest

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.anchor import Anchor
from pytest_llmdbench.stacks.kubernetes.anchor_job import Bounds, Image, anchor_name, job
from pytest_llmdbench.stacks.kubernetes.cluster import Cluster
from pytest_llmdbench.stacks.kubernetes.kept import StackRecord, leftovers, runs, sweep
from pytest_llmdbench.stacks.kubernetes.names import OURS, RUN, Names
from pytest_llmdbench.stacks.kubernetes.steps import teardown
from tests.kubernetes.images import HARNESS_IMAGE

SHORT = Bounds(lease_s=6, hard_s=300)


def test_the_anchor_has_no_token_and_no_rights() -> None:
    spec = job("abcdef", "team", Image("image"), SHORT)["spec"]["template"]["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in spec


def test_the_anchor_is_valid_for_a_current_kubernetes() -> None:
    import kubernetes_validate

    kubernetes_validate.validate(job("abcdef", "team", Image("image"), SHORT), "1.33", strict=True)


@pytest.fixture
def anchor(cluster: Cluster) -> Anchor:
    made = Anchor(cluster, "abcdef", Image(HARNESS_IMAGE), SHORT)
    made.start()
    made.pod(time.monotonic() + 60, print, threading.Event())
    return made


def owned(anchor: Anchor, name: str) -> dict[str, Any]:
    metadata = {
        "name": name,
        "namespace": anchor.cluster.namespace,
        "labels": {**OURS, RUN: anchor.run},
        "ownerReferences": [anchor.owner],
    }
    return anchor.cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {}})


def gone(cluster: Cluster, kind: str, name: str, seconds: float) -> bool:
    version = {"Job": "batch/v1", "ConfigMap": "v1"}[kind]
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if cluster.get(version, kind, name) is None:
            return True
        time.sleep(0.3)
    return False


@pytest.mark.cluster
def test_what_a_run_owns_stays_while_it_says_that_it_lives_and_goes_when_it_does_not(anchor: Anchor) -> None:
    owned(anchor, "thing")
    time.sleep(3 * SHORT.lease_s)
    assert anchor.cluster.get("v1", "ConfigMap", "thing") is not None
    anchor._ended.set()  # as if the process were gone
    assert gone(anchor.cluster, "ConfigMap", "thing", 60)
    assert gone(anchor.cluster, "Job", anchor_name(anchor.run), 5)


@pytest.mark.cluster
def test_an_anchor_that_is_ended_takes_everything_with_it(anchor: Anchor) -> None:
    owned(anchor, "thing")
    anchor.end()
    assert gone(anchor.cluster, "ConfigMap", "thing", 60)


@pytest.mark.cluster
def test_a_kept_run_stays_for_as_long_as_it_was_told_and_no_longer(anchor: Anchor) -> None:
    owned(anchor, "thing")
    anchor.keep(15)
    time.sleep(2 * SHORT.lease_s)
    assert anchor.cluster.get("v1", "ConfigMap", "thing") is not None
    assert gone(anchor.cluster, "ConfigMap", "thing", 60)


@pytest.mark.cluster
def test_a_run_that_lives_is_shown_with_who_holds_it_and_is_not_swept(anchor: Anchor) -> None:
    (live,) = runs(anchor.cluster)
    assert live.id == "abcdef"
    assert "@" in live.holder
    assert live.good_until is not None
    assert list(leftovers(anchor.cluster)) == []
    anchor.end()


@pytest.mark.cluster
def test_what_nothing_owns_is_swept_once_its_run_is_over(cluster: Cluster) -> None:
    labels = {**OURS, RUN: "xfirst"}
    for name, more in (("theirs", {}), ("left", labels)):
        metadata = {"name": name, "namespace": cluster.namespace, "labels": more}
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": {"x": "y"}})
    assert sweep(cluster) == ["secret/left of run xfirst"]
    assert cluster.exists("v1", "Secret", "theirs")
    assert not cluster.exists("v1", "Secret", "left")


@pytest.mark.cluster
def test_a_kept_stack_is_used_by_one_run_at_a_time_and_is_free_again_when_that_run_is_over(anchor: Anchor) -> None:
    cluster = anchor.cluster
    record = StackRecord("sim", anchor.run, "sim", "0123")
    names = Names(anchor.run, "sim", cluster.namespace, anchor.owner)
    cluster.apply(record.manifest(names))
    other = Anchor(cluster, "bbbbbb", Image(HARNESS_IMAGE), SHORT)
    other.start()
    assert record.claim(cluster, other.run)
    assert record.claim(cluster, other.run), "its own claim, once more"
    assert not record.claim(cluster, "cccccc"), "another run has it"
    other.end()
    assert gone(cluster, "Job", anchor_name(other.run), 60)
    assert record.claim(cluster, "cccccc"), "who had it is gone"
    record.give_back(cluster)
    anchor.end()


@pytest.mark.cluster
def test_a_kept_stack_that_a_run_uses_is_not_taken_down_before_that_run_is_over(anchor: Anchor) -> None:
    cluster = anchor.cluster
    record = StackRecord("sim", anchor.run, "sim", "0123")
    cluster.apply(record.manifest(Names(anchor.run, "sim", cluster.namespace, anchor.owner)))
    anchor.keep(120)
    other = Anchor(cluster, "bbbbbb", Image(HARNESS_IMAGE), SHORT)
    other.start()
    assert record.claim(cluster, other.run)
    with pytest.raises(StandupError, match="in use by run bbbbbb"):
        list(teardown(cluster, [("sim", Scenario())]))
    assert cluster.get("batch/v1", "Job", anchor_name(anchor.run)) is not None
    other.end()
    assert gone(cluster, "Job", anchor_name(other.run), 60)
    assert list(teardown(cluster, [("sim", Scenario())])) == [f"stack sim: run {anchor.run} is taken down"]
    assert cluster.get("batch/v1", "Job", anchor_name(anchor.run)) is None
