"""The load of a workload file: lengths, what prompts share, and its highest rate or concurrency."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.capacity.conversations import conversation_lengths
from pytest_llmdbench.capacity.lengths import Spread, even_stddev
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.declared.places import Places, shipped_root
from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.registry import Harnesses


@dataclass(frozen=True, slots=True)
class Shape:
    """Where a profile says its lengths: dotted keys that are added up; ``shared`` is what many prompts begin with.

    ``spread`` are the keys of standard deviation, shortest and longest, with ``{}`` for the key of the mean without
    ``cut`` at its end; ``ratio`` is the key of a share by which lengths are shorter or longer, all alike.
    """

    prompt: Sequence[str]
    output: str
    shared: Sequence[str] = ()
    cut: str = ""
    spread: tuple[str, str, str] | None = None
    ratio: str | None = None


#: The first whose keys are all there counts.
SHAPES: Final = (
    Shape(
        ["data.input_distribution.mean"],
        "data.output_distribution.mean",
        cut=".mean",
        spread=("{}.std_dev", "{}.min", "{}.max"),
    ),
    Shape(
        ["data.shared_prefix.system_prompt_len", "data.shared_prefix.question_len"],
        "data.shared_prefix.output_len",
        ["data.shared_prefix.system_prompt_len"],
    ),
    Shape(
        ["spec.data.0.prompt_tokens"],
        "spec.data.0.output_tokens",
        spread=("{}_stdev", "{}_min", "{}_max"),
    ),
    Shape(["random-input-len"], "random-output-len", ratio="random-range-ratio"),
    Shape(["isl"], "osl", spread=("{}-stddev", "{}-min", "{}-max")),
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
    found = next((made for shape in SHAPES if (made := _lengths(profile, shape))), None) or conversation_lengths(
        lambda key: _number(profile, key)
    )
    if found is not None:
        stages = program.stages(profile)
        rate = max((one.rate for one in stages if one.rate), default=None)
        busy = max((one.concurrency for one in stages if one.concurrency), default=1)
        return replace(found, concurrency=None if rate else busy, rate=rate)
    raise DeclarationError(
        f"workload {name}: it does not say the lengths of its prompts and answers as numbers; give --input-tokens and "
        "--output-tokens"
    )


def _lengths(profile: Mapping[str, Any], shape: Shape) -> Load | None:
    """One request at a time of these lengths; None where a key of them is missing."""
    prompt = [_number(profile, key) for key in shape.prompt]
    output = _number(profile, shape.output)
    if output is None or not all(prompt):
        return None
    total = sum(one or 0.0 for one in prompt)
    shared = sum(_number(profile, key) or 0.0 for key in shape.shared) / total
    spreads = [_spread(profile, shape, key, mean) for key, mean in ((shape.prompt[0], total), (shape.output, output))]
    return Load(total, output, 1, shared=shared, prompt=spreads[0], output=spreads[1])


def _spread(profile: Mapping[str, Any], shape: Shape, key: str, mean: float) -> Spread:
    if shape.ratio and (ratio := _number(profile, shape.ratio)):
        return Spread(even_stddev(2 * ratio * mean), mean * (1 + ratio))
    if shape.spread is None:
        return Spread()
    stddev, least, most = (_number(profile, one.format(key.removesuffix(shape.cut))) for one in shape.spread)
    if stddev is None and least and most:
        # Without a deviation any length between them is as likely.
        stddev = even_stddev(most - least)
    return Spread(stddev or 0.0, most)


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
