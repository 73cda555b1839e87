"""What a run measured, in canonical units: seconds, tokens, requests.

A harness module reads its program's own files and returns a :class:`Result`; everything after it (verdicts, reports,
comparison) knows only this form. What a harness did not report is absent (``None`` or a missing key), never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

#: What a run was for: latencies under a load, answers' quality, or how the engine started.
Purpose = Literal["load", "accuracy", "startup"]
#: The percentiles of a distribution that is made from single values.
PERCENTILES: Final = (0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9)
#: The kind of failures that a harness counts without saying why.
UNLABELLED: Final = "unlabelled"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A measured distribution, as statistics. Times in seconds, lengths in tokens.

    ``percentiles`` maps a percentile (``50.0``, ``99.9``) to its value; only what is known is in it. ``count`` is how
    many values there were, where it was made from single values.
    """

    mean: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    percentiles: Mapping[float, float] = field(default_factory=dict)
    stddev: float | None = None
    count: int | None = None

    def statistic(self, name: str) -> float | None:
        """The value of ``mean``, ``min``, ``max``, ``median`` or ``p<percentile>``; None where it was not reported."""
        if name in ("mean", "min", "max"):
            return {"mean": self.mean, "min": self.minimum, "max": self.maximum}[name]
        return self.percentiles.get(50.0 if name == "median" else float(name.removeprefix("p")))


@dataclass(frozen=True, slots=True)
class Requests:
    """How many requests were sent and what became of them.

    ``failed`` counts by kind, in the harness's own words (``500 - Internal Server Error``). ``unfinished`` were under
    way when the load ended.
    """

    completed: int
    failed: Mapping[str, int] = field(default_factory=dict)
    unfinished: int = 0

    @property
    def failures(self) -> int:
        """Failed requests of all kinds."""
        return sum(self.failed.values())

    @property
    def offered(self) -> int:
        """All requests that were sent."""
        return self.completed + self.failures + self.unfinished

    @property
    def error_rate(self) -> float | None:
        """Share of the offered requests that failed, 0..1; None where nothing was offered."""
        return self.failures / self.offered if self.offered else None


@dataclass(frozen=True, slots=True)
class Stage:
    """What one stage of the load measured; the whole run has the same form.

    ``latencies`` maps the field's names to distributions in seconds, of completed requests: ``ttft`` (time to first
    token), ``tpot`` (time per output token after the first, a value a request), ``itl`` (gap between two events of a
    stream, a value a gap), ``e2e`` (the whole request) and ``normalized_tpot`` (E2E divided by output tokens).
    ``lengths`` maps ``prompt`` and ``output`` to tokens a request. A server may put several tokens into one event:
    ``tokens_per_event`` above 1 says that an ITL is not the time of one token, as a TPOT always is.
    ``schedule_lag`` is how much later than planned the generator sent its requests: a generator that cannot keep up
    reads as a slow server.
    """

    requests: Requests
    duration_s: float | None = None
    asked_rate: float | None = None
    achieved_rate: float | None = None
    concurrency: int | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    prompt_tokens_per_second: float | None = None
    output_tokens_per_second: float | None = None
    requests_per_second: float | None = None
    tokens_per_event: float | None = None
    latencies: Mapping[str, Distribution] = field(default_factory=dict)
    lengths: Mapping[str, Distribution] = field(default_factory=dict)
    schedule_lag: Distribution | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one case: the whole and its stages.

    ``purpose`` says which parts to expect: a ``load`` measures latencies; ``accuracy`` has ``scores``, task and metric
    (``hellaswag.acc``) -> value; ``startup`` has seconds and sizes of the engine's start in ``startup``
    (``load_weights_s``, ``model_bytes``). ``economy`` has what the load cost in money and energy, by the names of the
    metrics. ``server`` holds what the stack says of itself over the load window.
    ``table`` is the file of single requests (see :mod:`pytest_llmdbench.results.table`), where the harness keeps them.
    """

    harness: str
    harness_version: str
    whole: Stage
    stages: tuple[Stage, ...] = ()
    purpose: Purpose = "load"
    scores: Mapping[str, float] = field(default_factory=dict)
    startup: Mapping[str, float] = field(default_factory=dict)
    economy: Mapping[str, float] = field(default_factory=dict)
    started: str | None = None  #: ISO 8601 with zone: when the load program was started
    elapsed_s: float | None = None  #: wall seconds from the load program's start to its end
    exit_code: int | None = None  #: of the load program; recorded, never trusted
    abandoned: str | None = None  #: why the load was given up before its end, where it was
    server: Mapping[str, Any] = field(default_factory=dict)
    runs: tuple[Result, ...] = ()  #: where the load was repeated, the single runs that this is made of
    table: Path | None = field(default=None, compare=False)
