"""The load of a workload file: mean lengths, what prompts share, and its highest rate or concurrency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.declared.places import Places, shipped_root
from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.registry import Harnesses


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a profile says its lengths: dotted keys that are added up; ``shared`` is what many prompts begin with."""

    prompt: Sequence[str]
    output: str
    shared: Sequence[str] = ()


#: The first whose keys are all there counts.
SHAPES: Final = (
    Shape(["data.input_distribution.mean"], "data.output_distribution.mean"),
    Shape(
        ["data.shared_prefix.system_prompt_len", "data.shared_prefix.question_len"],
        "data.shared_prefix.output_len",
        ["data.shared_prefix.system_prompt_len"],
    ),
    Shape(["spec.data.0.prompt_tokens"], "spec.data.0.output_tokens"),
    Shape(["random-input-len"], "random-output-len"),
    Shape(["isl"], "osl"),
    Shape(
        ["prefix-repetition-prefix-len", "prefix-repetition-suffix-len"],
        "prefix-repetition-output-len",
        ["prefix-repetition-prefix-len"],
    ),
)


def load_of_workload(name: str, harness: str) -> Load:
    """The load of a workload of a harness, by name or path.

    Raises:
        DeclarationError: no such workload or harness, or it does not say its lengths (a data set, a replay).
    """
    program = Harnesses()(harness)
    path = Places([Path.cwd(), shipped_root()]).workload(name, program.name)
    profile = load_workload(path, program.name).profile
    for shape in SHAPES:
        prompt = [_number(profile, key) for key in shape.prompt]
        output = _number(profile, shape.output)
        if output is not None and all(prompt):
            total = sum(one or 0.0 for one in prompt)
            shared = sum(_number(profile, key) or 0.0 for key in shape.shared) / total
            stages = program.stages(profile)
            rate = max((one.rate for one in stages if one.rate), default=None)
            busy = max((one.concurrency for one in stages if one.concurrency), default=1)
            return Load(total, output, None if rate else busy, rate, shared)
    raise DeclarationError(
        f"workload {name}: it does not say the lengths of its prompts and answers as numbers; give --input-tokens and "
        "--output-tokens"
    )


def _number(profile: Mapping[str, Any], key: str) -> float | None:
    """The positive number at a dotted key; None for anything else."""
    found: Any = profile
    for part in key.split("."):
        if isinstance(found, Mapping):
            found = found.get(part)
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            return None
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < math.inf:
        return None
    return float(found)
