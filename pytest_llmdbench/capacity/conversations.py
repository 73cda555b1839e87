"""The lengths of conversations, whose prompts grow with each turn: data of the kind conversation_replay."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from pytest_llmdbench.capacity.lengths import Spread, even_stddev
from pytest_llmdbench.capacity.load import Load

_AT: Final = "data.conversation_replay."


def conversation_lengths(number: Callable[[str], float | None]) -> Load | None:
    """One request at a time of a profile's conversations; ``number`` reads a dotted key, None where there is none.

    The prompt of a turn is what all turns before said and heard, behind what begins the conversation; all but its
    last words, and once a conversation what is its own in the beginning, is in the prefix cache. None where the profile
    has no such data.

    Raises:
        DeclarationError: lengths that nobody can mean.
    """

    def mean(key: str) -> float:
        return number(f"{_AT}{key}.mean") or 0.0

    asked, output = mean("input_tokens_per_turn"), mean("output_tokens_per_turn")
    if not asked or not output:
        return None
    turns, own = max(1.0, mean("turns_per_conversation")), mean("dynamic_system_prompt_len")
    begin = (number(f"{_AT}shared_system_prompt_len") or 0.0) + own
    grown = (turns - 1) * (asked + output)
    prompt = begin + grown / 2 + asked
    computed = asked + own / turns
    parts = (number(f"{_AT}{key}.std_dev") or 0.0 for key in ("dynamic_system_prompt_len", "input_tokens_per_turn"))
    stddev = math.hypot(*parts, even_stddev(grown))
    answers = Spread(number(f"{_AT}output_tokens_per_turn.std_dev") or 0.0, number(f"{_AT}output_tokens_per_turn.max"))
    prompts = Spread(stddev)
    if limit := number(f"{_AT}max_model_len"):
        # What grows longer loses its beginning.
        most = max(1.0, limit - answers.longest(output))
        prompt, prompts = min(prompt, most), Spread(stddev, min(most, prompts.longest(prompt)))
    return Load(prompt, output, 1, shared=max(0.0, 1 - computed / prompt), prompt=prompts, output=answers)
