"""The lock files of load programs: ``NAME-VERSION.txt``, a version of a program each."""

from __future__ import annotations

from pathlib import Path

from pytest_llmdbench.errors import DeclarationError


def lock(name: str, version: str) -> Path:
    """The lock file of a version of a load program.

    Raises:
        DeclarationError: that version is none of those that can be installed; lists them.
    """
    folder = Path(__file__).parent
    path = folder / f"{name}-{version}.txt"
    if path.is_file():
        return path
    there = sorted(
        one.stem.removeprefix(f"{name}-")
        for one in folder.glob(f"{name}-*.txt")
        if one.stem.removeprefix(f"{name}-")[:1].isdigit()
    )
    raise DeclarationError(f"{name} {version} has no lock file here; there is {', '.join(there)}")
