"""What load to send: a profile in its harness's own format, with a small header of ours where needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field

from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.objective import Objective, parse_objectives
from pytest_llmdbench.declared.overrides import Overrides
from pytest_llmdbench.declared.places import stem
from pytest_llmdbench.declared.source import Source, load_yaml
from pytest_llmdbench.declared.strict import Strict, read_model
from pytest_llmdbench.declared.tokens import check_tokens
from pytest_llmdbench.declared.warmup import Warmup, parse_warmup
from pytest_llmdbench.errors import DeclarationError

#: The one key of a workload file that is ours; the harness never sees it.
HEADER: Final = "llmdbench"


class Header(Strict):
    """The ``llmdbench:`` key of a workload file."""

    description: str = Field(default="", description="One line for people.")
    use_case: str = Field(
        default="",
        description="The use case that this is its harness's main workload of, as in chatbot: a benchmark that names "
        "the use case runs with any harness that has one.",
    )
    quick: dict[str, Any] = Field(
        default_factory=dict, description="Overrides that scale the load down to about a minute (load.size: quick)."
    )
    dataset: dict[str, Any] = Field(
        default_factory=dict,
        description="Overrides that make it read the data set of --llmd-dataset in place of the one it names.",
    )
    slo: tuple[str, ...] = Field(default=(), description="Objectives that hold wherever this workload is run.")
    warmup: str = Field(
        default="auto",
        description="What verdicts leave out: 'auto' finds it (MSER-5), 'none', a time as in 30s, or the last stage "
        "that is one, as in stage0.",
    )
    smoke: bool = Field(
        default=False,
        description="A load that only shows that a stack answers: objectives of the scenario that it is too short to "
        "prove are left out.",
    )


@dataclass(frozen=True, eq=False)
class Workload:
    """One workload file: ``profile`` is the harness's part, tokens not yet filled in; ``source`` has its lines."""

    name: str
    harness: str
    path: Path
    header: Header
    objectives: tuple[Objective, ...]
    warmup: Warmup
    profile: Mapping[str, Any]
    source: Source

    def said(self, part: Literal["quick", "dataset"]) -> list[Overrides]:
        """The overrides of a part of the header, each with its line."""
        overrides: Mapping[str, Any] = getattr(self.header, part)
        return [({key: value}, self.source.where((HEADER, part, key))) for key, value in overrides.items()]

    def where(self, message: str, steps: Sequence[Overrides]) -> str:
        """Where the key was declared that ``message`` is about, which quotes it first; ``steps`` changed the profile.

        What is not in the file itself is named with the file, and so is all that changed it where no such key is
        anywhere.
        """
        file = self.source.name
        quoted = re.search(r"'([^':]+)", message)
        key = quoted[1] if quoted else ""
        for overrides, origin in reversed(steps):
            if any(_sets(one, key) for one in overrides):
                return origin if origin.startswith(f"{file}:") else f"{file}, {origin}"
        path = tuple(int(part) if part.isdigit() else part for part in key.split("."))
        while path and path not in self.source.lines:
            path = path[:-1]
        if path:
            return self.source.where(path)
        return ", ".join(dict.fromkeys([file, *(origin for _, origin in steps)]))


def _sets(override: str, key: str) -> bool:
    """Whether an override, short or dotted, sets a dotted key or something around it."""
    return key == override or key.startswith(f"{override}.") or key.rpartition(".")[2] == override


def load_workload(path: Path, harness: str) -> Workload:
    """Read a workload file.

    Raises:
        DeclarationError: unreadable, not a mapping, a wrong header, or a token that is none of ours.
    """
    source = load_yaml(path)
    if not isinstance(source.data, Mapping):
        raise DeclarationError(f"{source.where()}: a workload is keys and values in the format of {harness}")
    check_tokens(source)
    layers = Layers()
    header_data = source.data.get(HEADER)
    if header_data is not None and not isinstance(header_data, Mapping):
        raise DeclarationError(f"{source.where((HEADER,))}: '{HEADER}' holds keys and values")
    for key, value in (header_data or {}).items():
        layers.tree[str(key)] = value
        layers.origins[(str(key),)] = source.where((HEADER, str(key)))
    header = read_model(Header, layers)
    profile = {key: value for key, value in source.data.items() if key != HEADER}
    objectives = parse_objectives(header.slo, source.where((HEADER, "slo")))
    warmup = parse_warmup(header.warmup, source.where((HEADER, "warmup")))
    return Workload(stem(path), harness, path, header, objectives, warmup, profile, source)
