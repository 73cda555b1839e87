"""What a search for engines is asked for: the model, the load, the objectives, and what may be tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pytest_llmdbench.capacity.architecture import Model
from pytest_llmdbench.capacity.configuration import DEFAULT_VERSION, Configuration
from pytest_llmdbench.capacity.gpus import Gpu
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.speed import Speed, speed
from pytest_llmdbench.declared.objective import Objective


@dataclass(frozen=True, slots=True)
class Asked:
    """What is looked for. ``load`` gives the lengths; ``rate`` (requests/s) or ``concurrency`` (requests in flight) is
    what the whole deployment has to carry: without either, whatever one replica carries best.

    ``small_types`` also tries FP8 weights and KV cache, which change answers a little.
    """

    model: Model
    load: Load
    objectives: Sequence[Objective] = ()
    gpus: Sequence[Gpu] = ()
    max_model_len: int | None = None
    small_types: bool = False
    version: str = DEFAULT_VERSION
    prices: str | None = None
    price_per_hour: float | None = None
    #: GPUs of one engine. None: those of one node, and of more nodes where one is not enough.
    most_gpus: int | None = None
    rate: float | None = None
    concurrency: int | None = None
    #: What earlier starts showed, where that counts.
    corrections: Path | None = None
    #: Whether prefill and decode on engines of their own are tried as well.
    splits: bool = True
    #: How the speed of an engine is estimated.
    estimate: Callable[[Configuration, Load], Speed] = speed

    @property
    def length(self) -> int:
        """``max_model_len``: what is asked for, or the longest request of the load, in steps of 256.

        Where the load says means alone, a fifth more than those.
        """
        longest = self.load.longest if self.load.varies else self.load.length * 1.2
        return self.max_model_len or min(self.model.max_positions, math.ceil(longest / 256) * 256)
