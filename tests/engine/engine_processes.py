"""The processes of a vLLM: the one that serves, and below it the engine's core and its workers."""

from __future__ import annotations

from collections.abc import Sequence

import psutil


def below(pid: int) -> list[psutil.Process]:
    """A process and all below it; nothing where it is gone."""
    try:
        top = psutil.Process(pid)
        return [top, *top.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def core_of(pid: int) -> psutil.Process | None:
    """The process of the engine's core, if it is there already."""
    return next((one for one in below(pid) if "EngineCore" in " ".join(words(one))), None)


def words(process: psutil.Process) -> Sequence[str]:
    """The command line of a process; empty for one that is gone."""
    try:
        return process.cmdline()
    except psutil.Error:
        return ()


def alive(processes: Sequence[psutil.Process]) -> list[str]:
    """The names of those that have not ended."""
    found = []
    for one in processes:
        try:
            if one.is_running() and one.status() != psutil.STATUS_ZOMBIE:
                found.append(one.name())
        except psutil.NoSuchProcess:
            continue
    return found
