"""A recorded search for the highest rate: its runs beside each other, judged by the code that judges runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_llmdbench.declared.objective import parse_objective
from pytest_llmdbench.declared.rate_range import RateRange
from pytest_llmdbench.max_rate import FILE
from pytest_llmdbench.results.store import read_result, write_json
from pytest_llmdbench.verdicts.rate_claim import Point, RateFound, claim, found
from pytest_llmdbench.verdicts.verdict import judge
from tests.reports.recorded_cases import case

OBJECTIVES = ("ttft.p90 <= 300 ms", "error_rate <= 1%")


def search(folder: Path, name: str, rates: Sequence[tuple[float, bool]], **facts: Any) -> dict[str, Any]:
    """Write the runs of a search, ``(requests a second, whether of full length)``, into ``folder``; gives its record.

    The verdict rests on the run at the highest rate that was met.
    """
    objectives = [parse_objective(text, "scenarios/local.yaml:1") for text in OBJECTIVES]
    points, records = [], {}
    for number, (rate, full) in enumerate(rates):
        place = folder / (f"{name}.{number + 1}" if number else name)
        record = case(place, name, rates=(rate,), seconds=60.0 if full else 20.0, seed=number, **facts)
        verdict = judge(read_result(place), objectives, 0.1)
        write_json(place / "verdict.json", verdict.to_json())
        met = all(one.value is not None and one.objective.bound.met_by(one.value) for one in verdict.judged)
        values = {one.objective.subject: one.value for one in verdict.judged}
        requests = read_result(place).whole.requests.offered
        points.append(
            Point(rate, met, verdict.outcome, verdict.reason, full, requests, rate, rate, None, values, str(place))
        )
        records[rate] = record | {"verdict": verdict.to_json()}
    answer = _answer(points)
    asked = RateRange(min(rates)[0], max(rates)[0])
    shown = records[answer.rate if answer.rate is not None else min(records)]
    outcome, reason = claim(answer, asked, shown["verdict"]["outcome"], shown["verdict"]["reason"])
    data = answer.to_json(asked)
    write_json(Path(shown["folder"]) / FILE, data)
    return {**shown, "verdict": {**shown["verdict"], "outcome": outcome, "reason": reason}, "max_rate": data}


def _answer(points: Sequence[Point]) -> RateFound:
    missed = min((one for one in points if not one.met), key=lambda one: one.rate, default=None)
    below = [one.rate for one in points if one.met and (missed is None or one.rate < missed.rate)]
    return found(max(below, default=None), missed, True, points)
