"""Prints the flags of ``vllm bench serve`` as JSON; runs in vLLM's own environment.

Flag without dashes -> what it takes: ``nothing``, ``many`` words, ``int``, ``number``, ``text``, or a list of choices.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from vllm.benchmarks.serve import add_cli_args  # type: ignore[import-not-found]
from vllm.utils.argparse_utils import FlexibleArgumentParser  # type: ignore[import-not-found]

KINDS: dict[Any, str] = {int: "int", float: "number"}


def takes(action: argparse.Action) -> Any:
    """What a flag takes."""
    if action.nargs == 0:
        return "nothing"
    if action.choices is not None:
        # Some are kept in a set, which has no order.
        return sorted(action.choices)
    if action.nargs in ("+", "*"):
        return "many"
    return KINDS.get(action.type, "text")


parser = FlexibleArgumentParser(add_help=False)
add_cli_args(parser)
flags = {
    option.removeprefix("--"): takes(action)
    for action in parser._actions
    for option in action.option_strings
    if option.startswith("--")
}
print(json.dumps(flags, indent=1, sort_keys=True))
