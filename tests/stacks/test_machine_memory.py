"""The memory that one more program may have is what is free, within the limits of the control groups that it is in."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from pytest_llmdbench.stacks.machine_memory import machine_memory

GIB = 2**30
WHOLE = psutil.virtual_memory().total / GIB


def group(folder: Path, **files: int | str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def proc(root: Path, *lines: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text("".join(f"{line}\n" for line in lines))


def test_without_control_groups_it_is_that_of_the_machine(tmp_path: Path) -> None:
    found = machine_memory(tmp_path)
    assert found.total == pytest.approx(WHOLE)
    assert 0 < found.available < found.total
    assert machine_memory().available <= WHOLE


def test_the_tightest_group_of_version_2_counts_and_cached_files_are_free(tmp_path: Path) -> None:
    proc(tmp_path, "0::/user/app")
    top = tmp_path / "sys/fs/cgroup"
    group(top, memory__stat="anon 5")
    group(top / "user", memory__max="max", memory__current=GIB)
    stat = f"anon 7\ninactive_file {GIB // 4}\nactive_file {GIB // 4}"
    group(top / "user/app", memory__max=GIB, memory__current=GIB * 3 // 4, memory__stat=stat)
    found = machine_memory(tmp_path)
    assert (found.total, found.available) == (1.0, 0.75)


def test_a_container_finds_its_group_of_version_1_at_the_top(tmp_path: Path) -> None:
    proc(tmp_path, "5:cpu,cpuacct:/kubepods/abc", "4:memory:/kubepods/abc", "0::/")
    stat = f"inactive_file 1\ntotal_inactive_file {GIB // 8}\ntotal_active_file 0"
    group(
        tmp_path / "sys/fs/cgroup/memory",
        memory__limit_in_bytes=GIB,
        memory__usage_in_bytes=GIB // 2,
        memory__stat=stat,
    )
    found = machine_memory(tmp_path)
    assert (found.total, found.available) == (1.0, 0.625)


def test_groups_without_a_limit_or_with_nonsense_in_their_files_bound_nothing(tmp_path: Path) -> None:
    proc(tmp_path, "4:memory:/a", "rubbish", "0::/../elsewhere")
    group(tmp_path / "sys/fs/cgroup/memory/a", memory__limit_in_bytes=2**63 - 4096, memory__usage_in_bytes=GIB)
    group(tmp_path / "sys/fs/cgroup", memory__max="x", memory__current="y")
    assert machine_memory(tmp_path).total == pytest.approx(WHOLE)


def test_a_group_that_is_full_has_nothing_left(tmp_path: Path) -> None:
    proc(tmp_path, "0::/")
    group(tmp_path / "sys/fs/cgroup", memory__max=GIB, memory__current=GIB + 5)
    assert machine_memory(tmp_path).available == 0.0
