"""What the engine says of each deadline, to whoever streams the tokens and counts them."""

from __future__ import annotations

from dataclasses import dataclass, field

from pytest_llmdbench.simulator.sequence import Sequence


@dataclass(slots=True)
class Progress:
    """What happened at one deadline: every sequence in ``tokens`` got one token at ``due``, some finished with it."""

    due: float
    is_step: bool = False
    step_time: float = 0.0
    tokens: list[Sequence] = field(default_factory=list)
    finished: list[Sequence] = field(default_factory=list)
