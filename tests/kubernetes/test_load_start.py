"""How a load's pods are made, told to begin and held, against a fake cluster that only notes what it is asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import Command
from pytest_llmdbench.stacks.kubernetes import load, load_pods
from pytest_llmdbench.stacks.kubernetes.load_pods import LoadPods
from pytest_llmdbench.stacks.kubernetes.load_site import LoadSite
from pytest_llmdbench.stacks.kubernetes.names import Names
from pytest_llmdbench.stacks.kubernetes.streams import Done


class FakeCluster:
    """A fake cluster: ``applied`` and ``deleted`` are what it was asked for."""

    context = None

    def __init__(self) -> None:
        self.applied: list[dict[str, Any]] = []
        self.deleted: list[str] = []

    def apply(self, manifest: dict[str, Any]) -> None:
        self.applied.append(manifest)

    def delete(self, _: str, kind: str, __: str) -> None:
        self.deleted.append(kind)


class FakeFollow:
    """Sees nothing."""

    def __init__(self, *_: object) -> None: ...
    def __enter__(self) -> None: ...
    def __exit__(self, *_: object) -> None: ...


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    monkeypatch.setattr(load_pods, "Follow", FakeFollow)
    return FakeCluster()


def site() -> LoadSite:
    scenario = Scenario.model_validate({"load": {"image": "load:1"}})
    return LoadSite.of(scenario, None, Names("x7k2m9", "h100", "bench"))


def pods_of(cluster: Any, folder: Path, count: int, **more: Any) -> LoadPods:
    commands = [Command(["program"], folder, {}, {})] * count
    made = LoadPods(cluster, site(), commands, 60.0, name="x", say=lambda _: None, trouble=lambda: None, **more)
    made._pods = tuple(f"p{index}" for index in range(count))
    return made


def told(answer: Callable[[str], Done], monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(pod, signal) of all that are told, filled meanwhile."""
    heard: list[tuple[str, str]] = []

    def run_in(_: object, pod: str, __: str, argv: list[str]) -> Done:
        heard.append((pod, argv[-1]))
        return answer(pod)

    monkeypatch.setattr(load_pods, "run_in", run_in)
    return heard


def test_objects_of_a_load_are_applied_so_that_a_lost_answer_is_no_error(cluster: FakeCluster, tmp_path: Path) -> None:
    with pods_of(cluster, tmp_path, 1):
        assert [one["kind"] for one in cluster.applied] == ["ConfigMap", "Job"]
    assert cluster.deleted == ["Job", "ConfigMap"]


def test_a_held_pod_outlives_the_time_for_which_people_wait_for_it(cluster: FakeCluster, tmp_path: Path) -> None:
    with pods_of(cluster, tmp_path, 1, hold=True):
        job = cluster.applied[1]["spec"]
    longest = job["activeDeadlineSeconds"]
    assert longest >= 60 + load_pods.START_S
    assert job["template"]["spec"]["containers"][0]["command"][-1] == str(longest)


def test_signals_to_several_pods_are_on_their_way_at_once(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(4, timeout=30)  # one after another would never pass it

    def answer(_: str) -> Done:
        together.wait()
        return Done(0, b"", "")

    heard = told(answer, monkeypatch)
    begin = pods_of(cluster, tmp_path, 4).go()
    assert sorted((pod, signal.split()[0]) for pod, signal in heard) == [(f"p{n}", str(n)) for n in range(4)]
    assert all(float(signal.split()[1]) > 0 for _, signal in heard)
    assert begin > 0


def test_a_signal_that_comes_through_after_the_common_start_fails_the_load(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_pods, "_LEAD_S", 0.0)
    monkeypatch.setattr(load_pods, "_LEAD_PER_POD_S", 0.0)

    def answer(pod: str) -> Done:
        time.sleep(0.05 if pod == "p1" else 0)
        return Done(0, b"", "")

    told(answer, monkeypatch)
    with pytest.raises(HarnessError, match=r"x: the 2 load pods could not begin at one moment.*load\.parallelism"):
        pods_of(cluster, tmp_path, 2).go()


def test_a_pod_alone_begins_at_once(cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heard = told(lambda _: Done(0, b"", ""), monkeypatch)
    pods_of(cluster, tmp_path, 1).go()
    assert heard == [("p0", "0 0.000")]


@pytest.mark.parametrize("count", [1, 3])
def test_a_pod_that_cannot_be_told_to_begin_is_named_without_secrets(
    cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    told(lambda _: Done(1, b"", "sh: HF_TOKEN=planted-7f3a"), monkeypatch)
    with pytest.raises(HarnessError, match=r"load pod p0 could not be told to begin: sh: HF_TOKEN=\*\*\*$"):
        pods_of(cluster, tmp_path, count).go()


@pytest.mark.parametrize(("interrupt", "passes"), [(KeyboardInterrupt(), False), (KeyboardInterrupt("SIGTERM"), True)])
def test_a_held_pod_ends_with_ctrl_c_and_a_run_that_is_told_to_end_does_not_go_on(
    cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupt: KeyboardInterrupt, passes: bool
) -> None:
    def wait(*_: object) -> None:
        raise interrupt

    monkeypatch.setattr(LoadPods, "up", lambda self: setattr(self, "_pods", ("p0",)))
    monkeypatch.setattr(LoadPods, "wait", wait)

    def hold() -> str:
        command = Command(["program"], tmp_path, {}, {})
        return load.hold_in_cluster(
            cluster, site(), command, name="x", seconds=60.0, say=lambda _: None, trouble=lambda: None
        )

    if passes:
        with pytest.raises(KeyboardInterrupt, match="SIGTERM"):
            hold()
    else:
        assert "until Ctrl-C" in hold()
    assert cluster.deleted == ["Job", "ConfigMap"]
