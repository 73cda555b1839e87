"""How long a step takes, and how long a first token is held back: the latencies that the simulator is told to have."""

from __future__ import annotations

from pytest_llmdbench.simulator.config import SimulatorConfig
from pytest_llmdbench.simulator.spread import factors


class Timing:
    """All in seconds; every call draws anew, from a generator for each of the two."""

    def __init__(self, config: SimulatorConfig) -> None:
        self._config = config
        self._step_factor = factors(config.step_spread, f"step {config.seed}")
        self._ttft_factor = factors(config.ttft_spread, f"ttft {config.seed}")

    def step(self, sequences: int, prefill: int) -> float:
        """One step with so many sequences in it, and so many tokens of prompts to prefill."""
        config = self._config
        return self._step_factor() * (
            config.itl + config.itl_per_sequence * sequences + config.prefill_per_token * prefill
        )

    def first_token(self) -> float:
        """What has to pass at least from the time when there was room for a request until its first token."""
        return self._config.ttft * self._ttft_factor()
