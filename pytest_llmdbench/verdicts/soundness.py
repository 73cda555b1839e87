"""Whether the measurement itself is sound: else its numbers say more of the generator, or of an accident, than of the
stack.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.declared.metrics import METRICS
from pytest_llmdbench.results.result import Result, Stage
from pytest_llmdbench.verdicts.judged import Judged

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import RequestTable

#: How late a generator may send, as a share of the tightest bound on a latency from the sending on.
LAG_SHARE: Final = 0.05
#: An objective that is missed by so many times the lag is missed whatever the lag.
FAR: Final = 10
#: How much the rate that was sent may be below the one that was asked for.
RATE_SHARE: Final = 0.02
#: How far the requests that the server had at once may be from what Little's law makes of the client's times.
LITTLE_SHARE: Final = 0.05
#: With fewer looks at the server its requests at once are not known well enough.
FEWEST_LOOKS: Final = 20
#: How much larger the share of prompts found in a prefix cache may be in a later run.
WARMER: Final = 0.02
_WAY_OUT: Final = "give it more processors or pods, or lower the rate"


def window_of(table: RequestTable | None, run: int | None = None) -> tuple[float, float] | None:
    """From the first request sent to the last one ended, of a run or of all, in seconds; None where it is not known."""
    import numpy as np

    first, last = math.inf, -math.inf
    for runs, sent, ended in table.pieces("run", "sent", "ended") if table is not None else ():
        own = runs >= 0 if run is None else runs == run
        first = min(first, float(sent[own].min(initial=first)))
        last = max(last, float(ended[own & np.isfinite(ended)].max(initial=last)))
    return (first, last) if last > -math.inf else None


def unsound(result: Result, judged: Sequence[Judged], window: tuple[float, float] | None = None) -> Iterator[str]:
    """Every reason why a result does not count; none if it does.

    ``window`` is that of :func:`window_of`, in seconds since 1970.
    """
    late = result.server.get("lateness") or {}
    if not (judged and all(_stands_though_late(one, late) for one in judged)):
        yield from lateness(result)
    yield from _restarts(result.server.get("metrics") or {})
    stages = result.stages or (result.whole,)
    for number, stage in enumerate(stages):
        where = f" in stage {number}" if len(stages) > 1 else ""
        yield from _lag(stage, judged, where)
        yield from _rate(stage, where)
    if window:
        yield from _little(result, window)


def between(runs: Sequence[Result]) -> Iterator[str]:
    """Every reason why the runs of a repeated load are not runs of the same thing."""
    kept = [one.server.get("not_reset") for one in runs]
    for run, reason in enumerate(kept[1:], start=2):
        if reason and not _as_cold(runs[0], runs[run - 1]):
            yield f"run {run} found what run 1 had left: {reason}"
            break
    before: dict[str, float] = {}
    for run, one in enumerate(runs, start=1):
        for target in (one.server.get("metrics") or {}).get("targets") or ():
            label, started = str(target.get("label")), target.get("started")
            if isinstance(started, int | float):
                if before.setdefault(label, started) != started:
                    yield f"{target.get('pod') or label} was restarted before run {run}"
                before[label] = started


def _as_cold(first: Result, later: Result) -> bool:
    """Whether the servers say that a later run found no more in their prefix caches than the first did."""
    before, after = (
        ((one.server.get("metrics") or {}).get("totals") or {}).get("prefix_cache_hit_rate") for one in (first, later)
    )
    return before is not None and after is not None and after - before <= WARMER


def lateness(result: Result) -> Iterator[str]:
    """That the simulator could not keep its own time, where it says so."""
    said = result.server.get("lateness") or {}
    if said.get("overloaded"):
        late = said.get("late_p99_s")
        steps = f": its steps were up to {late * 1000:.1f} ms late (p99)" if isinstance(late, int | float) else ""
        yield f"the simulator could not keep its own time on this machine{steps}; free the machine or lower the load"


def _stands_though_late(judged: Judged, said: Mapping[str, Any]) -> bool:
    """Whether a simulator in time would come out alike.

    A late one answers later and serves less, so what was met is met. Only a time per token may read too short, where
    the first was late and the last was not: by no more than the lateness. And no answer comes later than by all the
    time that was lost, and a step's lateness: what is missed by more is missed.
    """
    metric, limit, value = METRICS[judged.objective.metric], judged.objective.bound.limit, judged.value
    late, lost = said.get("late_p99_s"), said.get("lost_s", 0.0)
    if metric.kind != "time":
        return judged.met and metric.lower_is_better is not None and metric.form != "bounds"
    if value is None or not isinstance(late, int | float) or not isinstance(lost, int | float):
        return False
    return limit - value > late if judged.met else judged.outcome == "FAIL" and value - limit > lost + FAR * late


def _restarts(metrics: Mapping[str, Any]) -> Iterator[str]:
    for target in metrics.get("targets") or ():
        restarts = target.get("restarts")
        if restarts:
            name = target.get("pod") or target.get("label")
            yield (
                f"{name} was restarted {restarts:.0f} times during the load"
                if restarts > 1
                else (f"{name} was restarted during the load")
            )


def _lag(stage: Stage, judged: Sequence[Judged], where: str) -> Iterator[str]:
    """A request that is sent late is a request fewer in the queue, and a busy program reads late as well.

    A latency that is over its bound by many times the lag is so without it.
    """
    lag = _late_by(stage)
    if lag is None:
        return
    touched = [bound for one in judged for bound in _touchable(one, lag) if lag > LAG_SHARE * bound]
    if touched:
        yield (
            f"the load program sent up to {lag * 1000:.0f} ms late (p99){where}, more than {LAG_SHARE:.0%} of the "
            f"bound of {min(touched) * 1000:.0f} ms: it could not keep up; {_WAY_OUT}"
        )


def _late_by(stage: Stage) -> float | None:
    return stage.schedule_lag.statistic("p99") if stage.schedule_lag else None


def _touchable(judged: Judged, lag: float) -> Iterator[float]:
    """The bounds on a time from the sending on, of an objective that requests sent in time might change."""
    objective, missed = judged.objective, judged.outcome == "FAIL"
    if objective.parts and not missed:
        yield from (bound.limit for metric, bound in objective.parts if metric in ("ttft", "e2e"))
    if objective.metric in ("ttft", "e2e") and not (
        missed and (judged.value or 0.0) - objective.bound.limit > FAR * lag
    ):
        yield objective.bound.limit


def _rate(stage: Stage, where: str) -> Iterator[str]:
    """Where the program says how late it was, that tells more than a rate that is random by design."""
    asked, achieved, number = stage.asked_rate, stage.achieved_rate, stage.requests.offered
    if _late_by(stage) is not None or not asked or achieved is None or number < 2:
        return
    # The gaps of a Poisson process make a rate that is off by one part in the root of their number.
    allowed = max(RATE_SHARE, 3 / math.sqrt(number))
    if achieved < asked * (1 - allowed):
        yield (
            f"{asked:g} requests/s were asked for and {achieved:.3g} were sent{where}: the load program could not keep "
            f"up; {_WAY_OUT}"
        )


def _little(result: Result, window: tuple[float, float]) -> Iterator[str]:
    """Requests at once are rate times time, at the client as at the server, if both see the same requests."""
    rate, e2e = result.whole.requests_per_second, result.whole.latencies.get("e2e")
    if rate is None or e2e is None or e2e.mean is None or result.whole.requests.failures:
        return
    looks = _at_once(result.server.get("metrics") or {}, window)
    if len(looks) < FEWEST_LOOKS:
        return
    client, server = rate * e2e.mean, sum(looks) / len(looks)
    error = math.sqrt(sum((one - server) ** 2 for one in looks) / len(looks) / len(looks))
    if abs(client - server) > max(LITTLE_SHARE * client, 3 * error, 0.5):
        yield (
            f"the server had {server:.1f} requests at once, where the client's rate and times make {client:.1f} "
            "(Little's law): they did not see the same load; is somebody else using the stack, or is the client late?"
        )


def _at_once(metrics: Mapping[str, Any], window: tuple[float, float]) -> list[float]:
    """Requests at the servers at once, running and waiting, of all together; a value a look."""
    at: dict[float, float] = {}
    looks: dict[float, int] = {}
    servers = [one for one in metrics.get("components") or () if "running" in (one.get("series") or {})]
    for one in servers:
        for name in ("running", "waiting"):
            for when, value in (one["series"].get(name) or {}).get("points") or ():
                step = round(float(when))
                at[step] = at.get(step, 0.0) + float(value)
                looks[step] = looks.get(step, 0) + (name == "running")
    return [
        value for step, value in sorted(at.items()) if looks[step] == len(servers) and window[0] <= step <= window[1]
    ]
