"""What a simulated server is like: the keys of ``simulator:`` in a scenario.

Times are seconds, sizes are tokens or KV blocks, shares are fractions of 1. The classes are plain dataclasses, so the
server needs nothing but the standard library; ``__pydantic_config__`` lets the scenario's models refuse unknown keys.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal

Distribution = Literal["constant", "normal", "lognormal", "gamma", "table"]

DISTRIBUTIONS: tuple[Distribution, ...] = ("constant", "normal", "lognormal", "gamma", "table")
FORBID_UNKNOWN = {"extra": "forbid"}


class WrongValue(ValueError):
    """A key out of its range. ``key`` is its name, where the error is about one key alone."""

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.key = name.rpartition(".")[2] if name.replace(".", "").isidentifier() else None


def _require(holds: bool, name: str, value: object, allowed: str) -> None:
    if not holds:
        raise WrongValue(name, f"simulator: {name} is {value!r}, it must be {allowed}")


def _require_share(name: str, value: float) -> None:
    _require(0 <= value <= 1, name, value, "a share from 0 to 1")


def _require_seconds(name: str, value: float) -> None:
    _require(0 <= value < math.inf, name, value, "a number of seconds, 0 or more")


def _require_count(name: str, value: int, least: int = 1) -> None:
    _require(value >= least, name, value, f"a whole number of at least {least}")


@dataclass(frozen=True)
class Spread:
    """How a quantity varies: factors with mean 1 that multiply it, drawn from a seeded generator."""

    __pydantic_config__: ClassVar[dict[str, str]] = FORBID_UNKNOWN

    distribution: Distribution = field(
        default="constant", metadata={"help": "constant (no variation), normal, lognormal, gamma or table"}
    )
    cv: float = field(
        default=0.1,
        metadata={"help": "coefficient of variation (standard deviation / mean) of normal, lognormal and gamma"},
    )
    table: tuple[float, ...] = field(
        default=(), metadata={"help": "for table: measured values, drawn at random; scaled so that their mean is 1"}
    )

    def __post_init__(self) -> None:
        """Raise ``ValueError`` on a key out of its range."""
        _require(
            self.distribution in DISTRIBUTIONS,
            "distribution of a spread",
            self.distribution,
            "one of " + ", ".join(DISTRIBUTIONS),
        )
        _require(0 <= self.cv <= 10, "cv of a spread", self.cv, "from 0 to 10")
        positive = all(0 <= value < math.inf for value in self.table) and sum(self.table) > 0
        if self.distribution == "table":
            _require(positive, "table of a spread", self.table, "a list of numbers, none below 0, not all 0")
        else:
            _require(not self.table, "table of a spread", self.table, f"empty when distribution is {self.distribution}")


@dataclass(frozen=True)
class Faults:
    """What goes wrong on purpose. Can be replaced at run time: ``POST /sim/faults`` with the same keys."""

    __pydantic_config__: ClassVar[dict[str, str]] = FORBID_UNKNOWN

    error_rate: float = field(
        default=0.0, metadata={"help": "share of generation requests answered at once with HTTP 500"}
    )
    reject_rate: float = field(
        default=0.0, metadata={"help": "share of generation requests answered at once with HTTP 429 and Retry-After"}
    )
    retry_after_s: float = field(
        default=1.0, metadata={"help": "what Retry-After says on a 429, seconds (sent rounded up)"}
    )
    cut_rate: float = field(
        default=0.0, metadata={"help": "share of streams whose TCP connection is closed half-way, without [DONE]"}
    )
    stall_after_s: float = field(
        default=0.0,
        metadata={"help": "the engine stands still this long after the server listens (or the POST), seconds"},
    )
    stall_for_s: float = field(
        default=0.0, metadata={"help": "length of the stall: no stream gets a token; 0: no stall, seconds"}
    )
    startup_s: float = field(
        default=0.0, metadata={"help": "the port opens this long after the start, as if weights were loaded, seconds"}
    )
    crash_after_requests: int = field(
        default=0, metadata={"help": "the process dies at once when this many generation requests came in; 0: never"}
    )
    crash_after_s: float = field(
        default=0.0, metadata={"help": "the process dies this long after it listens (or the POST), seconds; 0: never"}
    )

    def __post_init__(self) -> None:
        """Raise ``ValueError`` on a key out of its range."""
        for name in ("error_rate", "reject_rate", "cut_rate"):
            _require_share(f"faults.{name}", getattr(self, name))
        _require(
            self.error_rate + self.reject_rate <= 1,
            "faults.error_rate + faults.reject_rate",
            self.error_rate + self.reject_rate,
            "at most 1",
        )
        for name in ("retry_after_s", "stall_after_s", "stall_for_s", "startup_s", "crash_after_s"):
            _require_seconds(f"faults.{name}", getattr(self, name))
        _require_count("faults.crash_after_requests", self.crash_after_requests, least=0)


@dataclass(frozen=True)
class SimulatorConfig:
    """A simulated server.

    An engine step takes ``itl + itl_per_sequence * sequences + prefill_per_token * prompt tokens prefilled`` seconds,
    times a factor of ``step_spread``. A first token comes when the prompt is prefilled, but not before ``ttft`` seconds
    after the engine had room for the request.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = FORBID_UNKNOWN

    model: str = field(
        default="simulated", metadata={"help": "the served model's name: requests for another one get 404"}
    )
    seed: int = field(
        default=0,
        metadata={"help": "seed of everything that is drawn: the same requests in the same order get the same answers"},
    )

    like: str = field(
        default="",
        metadata={
            "help": "in a scenario: a GPU, as in h100, whose estimated times with the scenario's model and vLLM flags "
            "take the place of the four times below, and of sizes that are not said"
        },
    )

    ttft: float = field(
        default=0.0, metadata={"help": "least time from room in the engine to the first token, seconds"}
    )
    ttft_spread: Spread = field(default_factory=Spread, metadata={"help": "how ttft varies from request to request"})
    itl: float = field(
        default=0.01, metadata={"help": "time of an engine step, thus between two tokens of a stream, seconds"}
    )
    itl_per_sequence: float = field(
        default=0.0, metadata={"help": "what each sequence in the batch adds to a step, seconds"}
    )
    prefill_per_token: float = field(
        default=0.0, metadata={"help": "what each prompt token that is prefilled adds to a step, seconds"}
    )
    step_spread: Spread = field(
        default_factory=Spread, metadata={"help": "how the time of a step varies from step to step"}
    )

    answer_tokens: float = field(
        default=0.0,
        metadata={"help": "mean tokens until the model ends an answer itself (EOS); 0: never, so max_tokens holds"},
    )
    answer_spread: Spread = field(
        default_factory=Spread, metadata={"help": "how the length of answers varies from request to request"}
    )
    tokens_per_event: int = field(default=1, metadata={"help": "tokens merged into one streamed event"})

    max_model_len: int = field(default=32768, metadata={"help": "most tokens of prompt and answer together"})
    max_num_seqs: int = field(default=256, metadata={"help": "most sequences in a step; others wait"})
    max_num_batched_tokens: int = field(
        default=8192, metadata={"help": "most tokens in a step; longer prompts are prefilled in chunks"}
    )
    block_size: int = field(default=16, metadata={"help": "tokens in a KV block"})
    num_kv_blocks: int = field(
        default=32768, metadata={"help": "KV blocks; when they run out the newest sequence is preempted"}
    )
    prefix_caching: bool = field(
        default=True, metadata={"help": "prompts that begin alike share KV blocks, and shared tokens cost no prefill"}
    )

    faults: Faults = field(default_factory=Faults, metadata={"help": "what goes wrong on purpose"})

    def __post_init__(self) -> None:
        """Raise ``ValueError`` on a key out of its range, or on sizes that cannot work together."""
        _require(bool(self.model.strip()), "model", self.model, "a name")
        for name in ("ttft", "itl", "itl_per_sequence", "prefill_per_token"):
            _require_seconds(name, getattr(self, name))
        _require(
            0 <= self.answer_tokens < math.inf, "answer_tokens", self.answer_tokens, "a number of tokens, 0 or more"
        )
        for name in ("tokens_per_event", "max_num_seqs", "max_num_batched_tokens", "block_size", "num_kv_blocks"):
            _require_count(name, getattr(self, name))
        _require_count("max_model_len", self.max_model_len, least=2)
        _require(
            self.max_num_batched_tokens >= self.max_num_seqs,
            "max_num_batched_tokens",
            self.max_num_batched_tokens,
            f"at least max_num_seqs ({self.max_num_seqs}): each running sequence needs a token in each step",
        )
        _require(
            self.num_kv_blocks * self.block_size >= self.max_model_len,
            "num_kv_blocks * block_size",
            self.num_kv_blocks * self.block_size,
            f"at least max_model_len ({self.max_model_len}): else one long request could never finish",
        )
