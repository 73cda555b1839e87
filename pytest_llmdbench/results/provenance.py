"""What it takes to run a case again: versions, git state, command line. Never a secret."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, Final

#: The distributions whose versions can change a number or a verdict.
_DISTRIBUTIONS: Final = ("pytest-llmdbench", "pytest", "pytest-xdist", "pytest-html", "pydantic", "PyYAML")
_NAMED: Final = r"[\w.-]*(?:token|password|passwd|secret|api[-_]?key)[\w.-]*"
#: What is kept (1) and what is not, wherever a secret may stand in a command line.
_SECRETS: Final = (
    re.compile(rf"(?i)({_NAMED}\s*[=:]\s*)[^\s,]+"),
    re.compile(r"(?i)(\b(?:authorization\s*[=:]\s*)?(?:bearer|basic)\s+)\S+"),
    re.compile(r"(?i)(\bauthorization\s*[=:]\s*)(?!bearer|basic)\S+"),
    re.compile(r"(\w+://)[^/@\s]+(?=@)"),
)
_NAMING_FLAG: Final = re.compile(rf"(?i)--?{_NAMED}")


def redact(words: Sequence[str]) -> list[str]:
    """A command line with what looks like a secret's value replaced: ``huggingface.token=***``."""
    safe: list[str] = []
    for word in words:
        if safe and _NAMING_FLAG.fullmatch(safe[-1]) and not word.startswith("-"):
            safe.append("***")
            continue
        for secret in _SECRETS:
            word = secret.sub(r"\1***", word)  # noqa: PLW2901
        safe.append(word)
    return safe


def provenance(command_line: Sequence[str], root: Path) -> dict[str, Any]:
    """Versions, machine, git state of ``root`` and the command line, as plain data."""
    return {
        "command_line": redact(command_line),
        "versions": {"python": platform.python_version(), **_versions()},
        "machine": {"system": platform.platform(), "processors": os.cpu_count()},
        "git": git_state(root),
    }


@cache
def git_state(root: Path) -> dict[str, Any] | None:
    """Commit, branch and whether files differ from it; None outside a repository or without git."""

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, check=True, timeout=20)
        return done.stdout.strip()

    try:
        return {
            "commit": git("rev-parse", "HEAD"),
            "branch": git("rev-parse", "--abbrev-ref", "HEAD"),
            "modified_files": len(git("status", "--porcelain", "--untracked-files=no").splitlines()),
        }
    except (OSError, subprocess.SubprocessError):
        return None


def _versions() -> dict[str, str]:
    found = {}
    for name in _DISTRIBUTIONS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
