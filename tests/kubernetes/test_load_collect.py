"""Results that come out of a pod: whole, or not at all."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.stacks.kubernetes import collect as module
from pytest_llmdbench.stacks.kubernetes.cluster import ClusterError
from pytest_llmdbench.stacks.kubernetes.collect import Collected, collect


def packed(name: str = "result.json", content: bytes = b"{}" * 1000) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        about = tarfile.TarInfo(name)
        about.size = len(content)
        tar.addfile(about, io.BytesIO(content))
    return out.getvalue()


def sends(monkeypatch: pytest.MonkeyPatch, *attempts: Callable[[list[str], list[int]], Iterator[bytes]]) -> list[Any]:
    """What the pod sends at each attempt; gives the commands that were run there."""
    commands: list[Any] = []

    def stream(
        cluster: Any, pod: str, container: str, argv: list[str], *, errors: list[str], ended: list[int]
    ) -> Iterator[bytes]:
        commands.append(argv)
        return attempts[min(len(commands), len(attempts)) - 1](errors, ended)

    monkeypatch.setattr(module, "stream_from", stream)
    monkeypatch.setattr(module, "_PAUSE_S", 0.0)
    return commands


def whole(data: bytes) -> Callable[[list[str], list[int]], Iterator[bytes]]:
    def send(errors: list[str], ended: list[int]) -> Iterator[bytes]:
        yield data[:100]
        yield data[100:]
        errors.append(f"sha256 {hashlib.sha256(data).hexdigest()}\n")
        ended.append(0)

    return send


def damaged(errors: list[str], ended: list[int]) -> Iterator[bytes]:
    yield packed().replace(b"{}", b"{]", 1)
    errors.append(f"sha256 {hashlib.sha256(packed()).hexdigest()}\n")
    ended.append(0)


def broken(errors: list[str], ended: list[int]) -> Iterator[bytes]:
    yield packed()[:700]
    raise ClusterError("the connection broke")


def take(folder: Path) -> Collected:
    return collect(None, "pod-1", "collector", "/workspace", folder, ["inputs"])  # type: ignore[arg-type]


def test_results_are_unpacked_and_what_was_brought_there_stays(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commands = sends(monkeypatch, whole(packed()))
    taken = take(tmp_path / "new")
    assert (tmp_path / "new" / "result.json").read_bytes() == b"{}" * 1000
    assert [one.name for one in (tmp_path / "new").iterdir()] == ["result.json"]
    assert taken.size == len(packed())
    assert commands[0][-2:] == ["/workspace", "inputs"]


@pytest.mark.parametrize("first", [damaged, broken])
def test_results_that_were_damaged_on_the_way_are_taken_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, first: Any
) -> None:
    commands = sends(monkeypatch, first, whole(packed()))
    take(tmp_path)
    assert len(commands) == 2
    assert (tmp_path / "result.json").read_bytes() == b"{}" * 1000


def test_results_that_never_come_whole_are_an_error_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands = sends(monkeypatch, damaged)
    with pytest.raises(HarnessError, match=r"pod-1 did not come through.*checksum.*load\.results_pvc"):
        take(tmp_path)
    assert len(commands) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_pod_cannot_write_outside_the_folder_of_its_results(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sends(monkeypatch, whole(packed("../outside")))
    with pytest.raises(HarnessError, match="did not come through"):
        take(tmp_path / "results")
    assert not (tmp_path / "outside").exists()
