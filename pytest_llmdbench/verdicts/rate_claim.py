"""What a search for the highest rate found, and the verdict on it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

from pytest_llmdbench.declared.rate_range import RateRange
from pytest_llmdbench.errors import counted
from pytest_llmdbench.verdicts.verdict import Outcome

#: What keeps the rate from being higher: the SLO; the end of the range; a load program that cannot send faster, or
#: anything else that makes the measurement unsound; or nothing is known, for the search was given up.
Limit = Literal["slo", "high", "measurement", "unsettled"]


@dataclass(frozen=True, slots=True)
class Point:
    """One run of the search.

    Rates are in requests a second: asked for, sent and completed. ``met``: as measured. ``outcome`` and ``reason`` are
    its verdict on the SLO, which says what is proven. ``values`` are those of the objectives, in canonical units.
    """

    rate: float
    met: bool
    outcome: Outcome
    reason: str
    full: bool
    requests: int
    achieved: float | None = None
    throughput: float | None = None
    excess: float | None = None
    values: dict[str, float | None] = field(default_factory=dict)
    folder: str = ""


@dataclass(frozen=True, slots=True)
class RateFound:
    """The answer of a search.

    ``rate`` is the highest one at which a run of full length met every objective as measured, None where there is none;
    at ``above`` they were not met, or could not be measured, for the reason ``why``. ``proven`` is the highest rate
    with a run whose verdict is PASS. ``curve`` has every run in the order of the rate.
    """

    rate: float | None
    above: float | None
    proven: float | None
    limit: Limit
    why: str
    curve: tuple[Point, ...] = ()

    @property
    def runs(self) -> int:
        """How many runs it took."""
        return len(self.curve)

    @property
    def text(self) -> str:
        """``12.3 requests/s, met at 12.3, missed at 12.8; proven up to 11; 6 runs``: for people."""
        said = "none" if self.rate is None else f"{self.rate:.4g} requests/s"
        if self.above is not None:
            said += f", {'missed' if self.limit == 'slo' else 'no answer'} at {self.above:.4g}"
        if self.proven is not None:
            said += f", proven up to {self.proven:.4g}"
        return f"{said}; {counted(self.runs, 'run')}"

    def to_json(self, asked: RateRange) -> dict[str, Any]:
        """Plain JSON-able data for ``max_rate.json`` and the reports."""
        return {
            **{name: getattr(self, name) for name in ("rate", "above", "proven", "limit", "why", "runs", "text")},
            "asked": asdict(asked),
            "curve": [asdict(point) for point in self.curve],
        }


def found(met: float | None, above: Point | None, settled: bool, points: Sequence[Point]) -> RateFound:
    """Put together what the runs say; ``met`` is the answer's rate, ``above`` the lowest run that was not met."""
    unsound = above is not None and above.outcome == "INVALID"
    limit: Limit = "high" if above is None else "measurement" if unsound else "slo"
    return RateFound(
        rate=met,
        above=above.rate if above else None,
        proven=max((one.rate for one in points if one.outcome == "PASS"), default=None),
        limit=limit if settled else "unsettled",
        why=above.reason if above else "",
        curve=tuple(sorted(points, key=lambda one: one.rate)),
    )


#: What is not known where the SLO was not the limit, and the way out.
_OPEN: Final = {
    "high": "the SLO is met at the end of the range: give a larger 'high'",
    "measurement": "what the stack could serve beyond that is not known: ",
    "unsettled": "runs at like rates differ too much: make them longer with 'seconds'",
}


def claim(answer: RateFound, asked: RateRange, outcome: Outcome, reason: str) -> tuple[Outcome, str]:
    """The verdict of a test that searched; ``outcome`` and ``reason`` are of the run that it rests on.

    A test that only asks passes when the SLO's limit was found. One that demands a rate passes when a run at that rate
    or above has proven the SLO.
    """
    said = f"highest rate under the SLO: {answer.text}"
    if answer.rate is None and answer.limit == "measurement":
        return "INVALID", f"{said}; {answer.why}"
    if answer.rate is None:
        return "FAIL", f"not even {answer.above or asked.low:.4g} requests/s meets the SLO: {answer.why}"
    if asked.at_least is not None:
        return _demanded(answer, asked.at_least, said, outcome, reason)
    if outcome in ("FAIL", "INVALID"):
        return outcome, f"{said}; there: {reason}"
    if answer.limit == "slo":
        return "PASS", said
    return "INCONCLUSIVE", f"{said}; {_OPEN[answer.limit]}{answer.why if answer.limit == 'measurement' else ''}"


def _demanded(answer: RateFound, at_least: float, said: str, outcome: Outcome, reason: str) -> tuple[Outcome, str]:
    asked = f"{at_least:.4g} requests/s asked for"
    if answer.proven is not None and answer.proven >= at_least:
        if answer.above is None or answer.above > at_least:
            return "PASS", f"{said}; at least the {asked}"
        # By one run it serves more than by another it does not serve.
        return "INCONCLUSIVE", f"{said}; the {asked}: {_OPEN['unsettled']}"
    if answer.above is not None and answer.above <= at_least and answer.limit == "slo":
        return "FAIL", f"{said}; less than the {asked}"
    if answer.limit == "measurement" and (answer.rate or 0.0) < at_least:
        return "INVALID", f"{said}; the {asked} could not be measured: {answer.why}"
    verdict: Outcome = outcome if outcome != "PASS" else "INCONCLUSIVE"
    return verdict, f"{said}; the {asked}: {reason}"
