"""What load pods are given: the files of each pod's command in one ConfigMap. Pure, but for reading those files."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import Command

#: Bytes that a ConfigMap may hold; what is around the files takes some.
LIMIT: Final = 1024 * 1024 - 16 * 1024
#: The file that says how a pod's program is started: ``{"argv": [...], "env": {...}}``.
COMMAND: Final = "command.json"


@dataclass(frozen=True, slots=True)
class Inputs:
    """The files of all pods. ``items`` says where each entry is mounted: ``0/inference-perf.yaml``; equal ones once."""

    data: Mapping[str, str] = field(default_factory=dict)
    binary: Mapping[str, str] = field(default_factory=dict)
    items: Sequence[Mapping[str, str]] = ()

    def manifest(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """The ConfigMap."""
        made: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": dict(metadata)}
        made["data"] = dict(self.data)
        if self.binary:
            made["binaryData"] = dict(self.binary)
        return made


def inputs(commands: Sequence[Command]) -> Inputs:
    """The inputs of pods, one command each. Raises HarnessError if they are too much for a ConfigMap."""
    data: dict[str, str] = {}
    binary: dict[str, str] = {}
    items: list[dict[str, str]] = []
    sizes: dict[str, int] = {}
    for index, command in enumerate(commands):
        for name, content in _files(command):
            key = f"{hashlib.sha256(content).hexdigest()[:16]}-{re.sub(r'[^-._a-zA-Z0-9]', '-', Path(name).name)[-80:]}"
            items.append({"key": key, "path": f"{index}/{name}"})
            sizes[key] = len(content)
            try:
                data[key] = content.decode("utf-8")
            except UnicodeDecodeError:
                binary[key] = base64.b64encode(content).decode("ascii")
                sizes[key] = len(binary[key])
    if sum(sizes.values()) > LIMIT:
        raise _too_much("the load's inputs together", sum(sizes.values()))
    return Inputs(data, binary, items)


def _files(command: Command) -> Iterator[tuple[str, bytes]]:
    """Every file that a pod needs, by its path in the pod's folder."""
    told = {"argv": list(command.argv), "env": dict(command.env)}
    yield COMMAND, json.dumps(told, indent=1).encode()
    for name, source in command.reads.items():
        below = sorted(one for one in source.rglob("*") if one.is_file()) if source.is_dir() else [source]
        for path in below:
            try:
                if (size := path.stat().st_size) > LIMIT:
                    raise _too_much(f"{path}, which the load reads,", size)
                content = path.read_bytes()
            except OSError as error:
                raise HarnessError(f"{path}, which the load reads, cannot be read: {error}") from error
            inside = f"{name}/{path.relative_to(source).as_posix()}" if path != source else name
            yield inside, content


def _too_much(what: str, size: int) -> HarnessError:
    return HarnessError(
        f"{what}: {size / 1e6:.1f} MB, more than the 1 MB that a ConfigMap holds. Give model.tokenizer by name, so "
        "that the pods download it; put data files into load.image; or let the load run here (load.where: here)"
    )
