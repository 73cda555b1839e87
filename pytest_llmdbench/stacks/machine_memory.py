"""How much memory this machine has for one more program: what is free, within the limits of our control groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psutil

from pytest_llmdbench.capacity.processors import MachineMemory

_GIB: Final = 2.0**30
#: Files of a control group, of version 2 and of version 1: its limit, and what of it is taken.
_FILES: Final = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
#: What of that is given back to whoever needs it: cached files. Version 1 counts groups below in the names with total_.
_CACHED: Final = ("inactive_file", "active_file")


def machine_memory(root: Path = Path("/")) -> MachineMemory:
    """Of this moment; ``root`` is where the system's files are."""
    whole = psutil.virtual_memory()
    limits = list(_limits(root))
    total = min([float(whole.total), *(limit for limit, _ in limits)])
    available = min([float(whole.available), *(limit - taken for limit, taken in limits)])
    return MachineMemory(max(0.0, available) / _GIB, total / _GIB)


def _limits(root: Path) -> Iterator[tuple[float, float]]:
    """Limit and what is taken of it, bytes, of each of our control groups that has one."""
    for folder in _groups(root):
        for limit, taken in _FILES:
            most, used = _number(folder / limit), _number(folder / taken)
            if most is not None and used is not None:
                yield most, used - _cached(folder / "memory.stat")


def _groups(root: Path) -> Iterator[Path]:
    """The folders of our group and of all above it."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers in ("", "memory"):
            mounted = root / "sys/fs/cgroup" / controllers
            own = mounted / path.lstrip("/")
            # In a container the path may be that of the host: then its own group is at the top.
            yield from (one for one in (own, *own.parents) if one == mounted or mounted in one.parents)


def _number(file: Path) -> float | None:
    """What a file says, unless that is 'max' or nothing."""
    try:
        return float(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _cached(file: Path) -> float:
    try:
        rows = dict(line.split(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines())
        return float(sum(int(rows.get(f"total_{name}", rows.get(name, 0))) for name in _CACHED))
    except (OSError, ValueError):
        return 0.0
