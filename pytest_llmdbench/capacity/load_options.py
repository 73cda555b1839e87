"""The options of a load, and the load that they describe."""

from __future__ import annotations

import argparse
from typing import Final

from pytest_llmdbench.capacity.estimators import ESTIMATORS, ROOFLINE
from pytest_llmdbench.capacity.lengths import FIXED, Spread
from pytest_llmdbench.capacity.load import MOST_REQUESTS, MOST_TOKENS, Load
from pytest_llmdbench.errors import DeclarationError

#: The two lengths of a request: as options begin, and in words.
_SIDES: Final = (("input", "prompts' lengths"), ("output", "answers' lengths"))


def add_load(command: argparse.ArgumentParser) -> None:
    """Give a command the options of a load."""
    load = command.add_argument_group("the load")
    load.add_argument("--workload", metavar="NAME", help="take lengths and the highest rate from a workload")
    load.add_argument("--harness", default="inference-perf", metavar="NAME", help="whose it is (inference-perf)")
    load.add_argument("--input-tokens", type=float, metavar="N", help="mean length of prompts")
    load.add_argument("--output-tokens", type=float, metavar="N", help="mean length of answers")
    for side, what in _SIDES:
        load.add_argument(f"--{side}-stddev", type=float, metavar="N", help=f"standard deviation of the {what} (0)")
        load.add_argument(
            f"--{side}-max", type=float, metavar="N", help=f"longest of the {what} (three standard deviations above)"
        )
    load.add_argument("--shared", type=float, metavar="SHARE", help="share of a prompt in the cache (0)")
    load.add_argument("--concurrency", type=int, metavar="N", help="requests in flight")
    load.add_argument("--rate", type=float, metavar="N", help="requests per second")
    load.add_argument(
        "--estimator", choices=tuple(ESTIMATORS), default=ROOFLINE, help=f"what speed is estimated by ({ROOFLINE})"
    )


def load_of(given: argparse.Namespace) -> Load | None:
    """The load that the options describe; None where they say none. Raises DeclarationError."""
    if given.rate is not None and not 0 < given.rate < 1e9:
        raise DeclarationError(f"--rate: {given.rate:g} is not possible; it is a number above 0 and below 1e9")
    within(given, "concurrency", 1, MOST_REQUESTS)
    within(given, "input-tokens", 1, MOST_TOKENS)
    within(given, "output-tokens", 1, MOST_TOKENS)
    for side, _ in _SIDES:
        within(given, f"{side}-stddev", 0, MOST_TOKENS)
        within(given, f"{side}-max", 1, MOST_TOKENS)
    prompt, output, shared = given.input_tokens, given.output_tokens, given.shared
    rate, concurrency = given.rate, given.concurrency
    spreads = (FIXED, FIXED)
    if given.workload:
        from pytest_llmdbench.capacity.workload_load import load_of_workload

        found = load_of_workload(given.workload, given.harness)
        # What is said on the command line is nearer. Lengths do not spread around another mean as they did.
        spreads = (FIXED if prompt else found.prompt, FIXED if output else found.output)
        prompt = found.prompt_tokens if prompt is None else prompt
        output = found.output_tokens if output is None else output
        shared = found.shared if shared is None else shared
        if rate is None and concurrency is None:
            rate, concurrency = found.rate, found.concurrency
    if prompt is None and output is None:
        spread = [f"{side}-{one}" for side, _ in _SIDES for one in ("stddev", "max")]
        for name in ("concurrency", "rate", "shared", *spread):
            if getattr(given, name.replace("-", "_")) is not None:
                raise DeclarationError(
                    f"--{name} needs the lengths: --workload NAME, or --input-tokens and --output-tokens"
                )
        return None
    if prompt is None or output is None:
        raise DeclarationError("--input-tokens and --output-tokens belong together: say both")
    if rate is None and concurrency is None:
        concurrency = 1
    prompts, outputs = (_said(given, side, found) for (side, _), found in zip(_SIDES, spreads, strict=True))
    return Load(prompt, output, concurrency, rate, shared or 0.0, prompts, outputs)


def _said(given: argparse.Namespace, side: str, found: Spread) -> Spread:
    """A spread with what the command line says of it."""
    stddev, most = getattr(given, f"{side}_stddev"), getattr(given, f"{side}_max")
    return Spread(found.stddev if stddev is None else stddev, found.most if most is None else most)


def within(given: argparse.Namespace, option: str, least: int, most: int) -> None:
    """Raise DeclarationError for a number of an option that is out of its limits."""
    value = getattr(given, option.replace("-", "_"))
    if value is not None and not least <= value <= most:
        raise DeclarationError(f"--{option}: {value:g} is not possible; it is a number from {least:,} to {most:,}")
