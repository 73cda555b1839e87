"""What a run measured, in canonical units: seconds, tokens, requests.

A harness module reads its program's own files and returns a :class:`Result`; everything after it (verdicts, reports,
comparison) knows only this form. What a harness did not report is absent (``None`` or a missing key), never zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

#: The version of the form on disk (``result.json``); raised when a reader of the old form could go wrong.
FORM: Final = 1


@dataclass(frozen=True, slots=True)
class Distribution:
    """A measured distribution, as statistics. Times in seconds, lengths in tokens.

    ``percentiles`` maps a percentile (``50.0``, ``99.9``) to its value; only what was reported is in it.
    """

    mean: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    percentiles: Mapping[float, float] = field(default_factory=dict)

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

    ``latencies`` maps the field's names to distributions in seconds: ``ttft`` (time to first token), ``tpot`` (time per
    output token after the first), ``itl`` (gap between two events of a stream), ``e2e`` (the whole request) and
    ``normalized_tpot`` (E2E divided by output tokens). ``lengths`` maps ``prompt`` and ``output`` to tokens a request.
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
    latencies: Mapping[str, Distribution] = field(default_factory=dict)
    lengths: Mapping[str, Distribution] = field(default_factory=dict)
    schedule_lag: Distribution | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One run of one case: the whole and its stages.

    ``server`` holds what the stack says of itself over the load window; a simulator's lateness, for one
    (see ``docs/simulator.md``).
    """

    harness: str
    harness_version: str
    whole: Stage
    stages: tuple[Stage, ...] = ()
    started: str | None = None  #: ISO 8601 with zone: when the load program was started
    elapsed_s: float | None = None  #: wall seconds from the load program's start to its end
    exit_code: int | None = None  #: of the load program; recorded, never trusted
    server: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """This result as plain JSON-able data, with the version of the form."""
        return {"form": FORM, **asdict(self)}
