"""Deciding which requests go wrong: seeded, in the order in which they come in."""

from __future__ import annotations

import math

from pytest_llmdbench.simulator.api_error import ApiError
from pytest_llmdbench.simulator.config import Faults
from pytest_llmdbench.simulator.spread import generator


class FaultPlan:
    """Draws the fate of each generation request; new faults begin the draws, and the count to a crash, anew."""

    def __init__(self, faults: Faults, seed: int) -> None:
        self.faults = faults
        self._draw = generator(f"faults {seed}")
        self._requests = 0

    def next_request(self) -> bool:
        """Count a request; True when the process is to crash now."""
        self._requests += 1
        return self._requests == self.faults.crash_after_requests

    def refusal(self) -> ApiError | None:
        """The error that this request gets instead of an answer, if any."""
        faults = self.faults
        if not (faults.error_rate or faults.reject_rate):
            return None
        drawn = self._draw.random()
        if drawn < faults.error_rate:
            return ApiError(500, "Injected fault: internal server error", "InternalServerError")
        if drawn < faults.error_rate + faults.reject_rate:
            wait = {"retry-after": str(math.ceil(faults.retry_after_s))}
            return ApiError(429, "Injected fault: too many requests", "TooManyRequests", headers=wait)
        return None

    def cuts(self) -> bool:
        """Whether this stream is cut half-way."""
        return bool(self.faults.cut_rate) and self._draw.random() < self.faults.cut_rate
