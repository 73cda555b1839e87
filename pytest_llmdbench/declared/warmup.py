"""How much of a load's beginning is left out of verdicts: ``auto``, ``none``, ``30s``, ``stage0``."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_llmdbench.declared.duration import seconds
from pytest_llmdbench.errors import DeclarationError


@dataclass(frozen=True, slots=True)
class Warmup:
    """What is left out: the first ``seconds`` of the load, and its first ``stages``; ``auto``: what is found."""

    auto: bool = False
    seconds: float = 0.0
    stages: int = 0


AUTO = Warmup(auto=True)


def parse_warmup(text: str, origin: str) -> Warmup:
    """Read what a workload declares. Raises DeclarationError."""
    word = text.strip()
    if word == "auto":
        return AUTO
    if word == "none":
        return Warmup()
    stage = re.fullmatch(r"stage(\d+)", word)
    if stage:
        return Warmup(stages=int(stage[1]) + 1)
    try:
        return Warmup(seconds=seconds(word, origin))
    except DeclarationError as error:
        raise DeclarationError(
            f"{origin}: warmup {text!r}: expected auto, none, a time as in 30s, or the last stage that is one (stage0)"
        ) from error
