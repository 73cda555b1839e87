"""Why a kubeconfig leads to no cluster, and the way out. Pure but for reading the files."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import yaml

from pytest_llmdbench.errors import nearest

#: Where it is if nobody says otherwise, as kubectl has it.
_DEFAULT: Final = "~/.kube/config"
_WITHOUT: Final = "--scenario=local needs no cluster"


def why_no_cluster(error: Exception, context: str | None, environ: Mapping[str, str] = os.environ) -> str:
    """What is wrong, in one sentence; ``error`` is what the library says, which names neither option nor files."""
    given = environ.get("KUBECONFIG")
    named = [Path(one).expanduser() for one in (given or _DEFAULT).split(os.pathsep) if one]
    files = [one for one in named if one.is_file()]
    if not files:
        missing = f"KUBECONFIG={given} is not there" if given else f"neither KUBECONFIG nor {_DEFAULT}"
        return f"no kubeconfig: {missing}; {_WITHOUT}"
    where = os.pathsep.join(map(str, files))
    try:
        known = _contexts(files)
    except (OSError, ValueError, TypeError, AttributeError, KeyError, yaml.YAMLError):
        return f"{where}: cannot be read as a kubeconfig; {_WITHOUT}"
    if context is not None and context not in known:
        return f"{where}: no context '{context}'; {nearest(context, known)}"
    if known:
        said = " ".join(str(error).split()).removesuffix(".")
        return f"{where}: {said}; choose a context with --llmd-context or cluster.context; {nearest('', known)}"
    return f"{where}: has no context; {_WITHOUT}"


def _contexts(files: Sequence[Path]) -> list[str]:
    """The names of all contexts; raises whatever comes of looking into a file that is no kubeconfig."""
    read = (yaml.safe_load(file.read_text(encoding="utf-8")) for file in files)
    return [str(one["name"]) for data in read for one in data.get("contexts") or ()]
