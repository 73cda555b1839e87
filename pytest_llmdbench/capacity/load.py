"""The load that an engine is asked to carry: lengths, what prompts share, and how much comes at once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from pytest_llmdbench.capacity.lengths import FIXED, Spread
from pytest_llmdbench.errors import DeclarationError

#: More are typing errors.
MOST_TOKENS: Final = 100_000_000
MOST_REQUESTS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Load:
    """Mean lengths in tokens, and either a concurrency (requests in flight) or a rate (requests/s).

    ``shared`` is the share (0..1) of a prompt that the prefix cache already holds; ``prompt`` and ``output`` say how
    lengths spread around their means.
    """

    prompt_tokens: float
    output_tokens: float
    concurrency: int | None = None
    rate: float | None = None
    shared: float = 0.0
    prompt: Spread = FIXED
    output: Spread = FIXED

    def __post_init__(self) -> None:
        """Raise DeclarationError on what nobody can mean."""
        for name, value in (("prompt_tokens", self.prompt_tokens), ("output_tokens", self.output_tokens)):
            if not 1 <= value <= MOST_TOKENS:
                raise DeclarationError(f"{name}: {value:g} is not possible; it is a number from 1 to {MOST_TOKENS:,}")
        self.prompt.check("prompt_tokens", self.prompt_tokens)
        self.output.check("output_tokens", self.output_tokens)
        if not 0 <= self.shared < 1:
            raise DeclarationError(f"shared: {self.shared} is not possible; it is a share from 0 to below 1")
        if (self.concurrency is None) == (self.rate is None):
            raise DeclarationError("the load needs a concurrency or a rate, and one of them alone")
        if self.concurrency is not None and not 1 <= self.concurrency <= MOST_REQUESTS:
            raise DeclarationError(
                f"concurrency: {self.concurrency} is not possible; it is a number from 1 to {MOST_REQUESTS:,}"
            )
        if self.rate is not None and not 0 < self.rate < math.inf:
            raise DeclarationError(f"rate: {self.rate} is not possible; it is a number of requests per second above 0")

    @property
    def computed(self) -> float:
        """Tokens of a prompt that have to be computed."""
        return max(1.0, self.prompt_tokens * (1 - self.shared))

    @property
    def length(self) -> float:
        """Prompt and answer together at their means, tokens."""
        return self.prompt_tokens + self.output_tokens

    @property
    def varies(self) -> bool:
        """Whether it says more of its lengths than the means."""
        return self.prompt != FIXED or self.output != FIXED

    @property
    def longest(self) -> float:
        """The longest prompt with the longest answer, tokens: as far as it says them."""
        return self.prompt.longest(self.prompt_tokens) + self.output.longest(self.output_tokens)

    @property
    def resident(self) -> float:
        """Tokens that a request under way has in the KV cache, on average.

        A request stays for as long as its answer takes, so long answers are met more often than they come; on average
        half of an answer is there. The length of a prompt does not make it stay.
        """
        return self.prompt_tokens + self.output.biased(self.output_tokens) / 2
