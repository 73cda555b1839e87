"""What single requests of inference-perf come to, computed as the program itself does: for loads of several programs.

Each program's ``per_request_lifecycle_metrics.json`` has its requests in no order and without their stage. Stages never
overlap, so the requests in the order of their starts are cut where the stages' own counts say.
"""

from __future__ import annotations

import itertools
import json
import math
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses import inference_perf_files
from pytest_llmdbench.harnesses.harness import CLOCK
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage

PER_REQUEST: Final = "per_request_lifecycle_metrics.json"
#: Under which names servers say how many tokens they made.
_OUTPUT_KEYS: Final = ("completion_tokens", "output_tokens")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Times in seconds; latencies are None where the answer was not a stream of at least two tokens.

    ``output`` is counted by the server where it says, ``counted`` is what rates and times per token are made from.
    """

    started: float
    ended: float
    failed: bool
    prompt: float
    output: float
    counted: int
    ttft: float | None
    tpot: float | None
    gaps: array[float]

    @property
    def e2e(self) -> float:
        """The whole request."""
        return self.ended - self.started

    @property
    def normalized_tpot(self) -> float:
        """E2E divided by output tokens; 0 where there is none, as the program has it."""
        return self.e2e / self.counted if self.counted > 0 else 0.0


@dataclass(frozen=True, slots=True)
class _Told:
    """What the program's own configuration says of its statistics."""

    percentiles: tuple[float, ...]
    server_counts: bool


def merge(folders: Sequence[Path], version: str) -> Result:
    """The result of programs that sent their loads side by side, each with its files in one of ``folders``.

    All is computed from the union of their requests, as the program does from its own; rates are over the window from
    the first request to the last answer. Counts of failures by label and asked rates are added up. Requests do not
    carry their lag, so of ``schedule_lag`` the mean and the bounds are exact, and a percentile is that of the program
    which was latest.

    Raises:
        HarnessError: a file is absent, or contradicts the program's own summary; the programs' loads differ.
    """
    results = [inference_perf_files.read(folder, version) for folder in folders]
    told = _told(folders[0])
    if len({len(one.stages) for one in results}) > 1:
        raise HarnessError(f"{folders[0].parent}: the programs ran different numbers of stages; they cannot be merged")
    clocks = [_clock(folder) for folder in folders]
    requests = [
        _by_stage(folder, one, told, clock - clocks[0])
        for folder, one, clock in zip(folders, results, clocks, strict=True)
    ]
    stages = tuple(
        _stage([one for program in requests for one in program[index]], [one.stages[index] for one in results], told)
        for index in range(len(results[0].stages))
    )
    everything = [one for program in requests for stage in program for one in stage]
    return Result("inference-perf", version, _stage(everything, [one.whole for one in results], told), stages)


def _told(folder: Path) -> _Told:
    path = folder / inference_perf_files.CONFIG
    try:
        lifecycle = yaml.safe_load(path.read_text(encoding="utf-8"))["report"]["request_lifecycle"]
        percentiles = tuple(float(one) for one in lifecycle["percentiles"])
        return _Told(percentiles, bool(lifecycle["use_server_output_tokens"]))
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise HarnessError(f"{path}: does not say how its statistics were made: {error!r}") from error


def _by_stage(folder: Path, own: Result, told: _Told, shift: float) -> list[list[Request]]:
    """A program's requests, stage by stage, by the clock of the first program's machine."""
    path = folder / PER_REQUEST
    requests = sorted(_read(path, told, shift), key=lambda one: one.started)
    cut, begin = [], 0
    for number, stage in enumerate(own.stages):
        wanted = stage.requests.completed + stage.requests.failures
        part = requests[begin : begin + wanted]
        begin += wanted
        failures = sum(one.failed for one in part)
        if len(part) != wanted or failures != stage.requests.failures:
            raise HarnessError(
                f"{path}: holds {len(part)} requests of stage {number}, {failures} of them failed, where the stage's "
                f"own file counts {wanted} and {stage.requests.failures}"
            )
        cut.append(part)
    if begin != len(requests):
        raise HarnessError(f"{path}: holds {len(requests)} requests, where the stages' own files count {begin}")
    return cut


def _clock(folder: Path) -> float:
    """What has to be added to a program's times so that those of several machines compare; 0 where nobody noted it."""
    try:
        return float((folder / CLOCK).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return 0.0
    except (OSError, ValueError) as error:
        raise HarnessError(f"{folder / CLOCK}: is not a number of seconds: {error}") from error


def _read(path: Path, told: _Told, shift: float) -> list[Request]:
    try:
        return [_request(one, told, shift) for one in json.loads(path.read_text(encoding="utf-8"))]
    except FileNotFoundError as error:
        raise HarnessError(
            f"inference-perf wrote no {path.name}: results of several pods are made from it. Run the load in one pod "
            f"(load.parallelism: 1), or see {path.with_name('stderr.log')}"
        ) from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise HarnessError(
            f"{path}: cannot be read, or was not written by version 0.7 with "
            f"'report.request_lifecycle.per_request_fields.info': {error!r}"
        ) from error


def _request(entry: Mapping[str, Any], told: _Told, shift: float) -> Request:
    """One entry of the file."""
    started, ended = float(entry["start_time"]), float(entry["end_time"])
    info = entry["info"]
    response = info["response_metrics"] or {}
    client = response.get("output_tokens") or 0
    server = _server_output(response.get("server_usage") or {})
    counted = int(server) if told.server_counts and server is not None else int(client)
    times: Sequence[float] = response.get("output_token_times") or ()
    streamed = len(times) > 1
    return Request(
        started=started + shift,
        ended=ended + shift,
        failed=entry["error"] is not None,
        prompt=float(info["request_metrics"]["text"]["input_tokens"] or 0),
        output=float(client) if server is None else server,
        counted=counted,
        ttft=times[0] - started if streamed else None,
        tpot=(times[-1] - times[0]) / (counted - 1) if streamed and counted > 1 else None,
        gaps=array("d", (after - before for before, after in itertools.pairwise(times))),
    )


def _server_output(usage: Mapping[str, Any]) -> float | None:
    return next((float(usage[key]) for key in _OUTPUT_KEYS if usage.get(key) is not None), None)


def _stage(requests: Sequence[Request], own: Sequence[Stage], told: _Told) -> Stage:
    """The statistics of some requests; ``own`` is what each program says of its part of them."""
    good = [one for one in requests if not one.failed]
    starts = [one.started for one in requests]
    first, sent = min(starts), max(starts) - min(starts)
    duration = max(one.ended for one in requests) - first
    failed = sum((Counter(one.requests.failed) for one in own), Counter[str]())
    prompt, output = math.fsum(one.prompt for one in good), math.fsum(one.output for one in good)
    has_rate = all(one.achieved_rate is not None for one in own)
    lags = [(one.schedule_lag, one.requests) for one in own if one.schedule_lag is not None]
    return Stage(
        requests=Requests(len(good), dict(failed), sum(one.requests.unfinished for one in own)),
        duration_s=duration,
        asked_rate=_total(own, lambda one: one.asked_rate),
        achieved_rate=_rate(len(requests), sent) if has_rate else None,
        concurrency=_total(own, lambda one: one.concurrency),
        prompt_tokens=int(prompt),
        output_tokens=int(output),
        prompt_tokens_per_second=_rate(prompt, duration),
        output_tokens_per_second=_rate(sum(one.counted for one in good), duration),
        requests_per_second=_rate(len(good), duration),
        latencies=_distributions(
            told,
            ttft=(one.ttft for one in good if one.ttft is not None),
            tpot=(one.tpot for one in good if one.tpot is not None),
            itl=(gap for one in good for gap in one.gaps),
            e2e=(one.e2e for one in good),
            normalized_tpot=(one.normalized_tpot for one in good),
        ),
        lengths=_distributions(told, prompt=(one.prompt for one in good), output=(one.output for one in good)),
        schedule_lag=_lag(lags) if len(lags) == len(own) else None,
    )


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds > 0 else 0.0


def _total(own: Sequence[Stage], of: Callable[[Stage], Any]) -> Any:
    """The sum of what all programs say; None where one does not."""
    values = [of(one) for one in own]
    return None if None in values else sum(values)


def _distributions(told: _Told, **values: Iterable[float]) -> dict[str, Distribution]:
    """Distributions by name, of all that have values."""
    made: dict[str, Distribution] = {}
    for name, some in values.items():
        ordered = sorted(some)
        if ordered:
            mean = math.fsum(ordered) / len(ordered)
            percentiles = {one: percentile(ordered, one) for one in told.percentiles}
            made[name] = Distribution(mean, ordered[0], ordered[-1], percentiles)
    return made


def percentile(ordered: Sequence[float], wanted: float) -> float:
    """A percentile of sorted values, linear between the two nearest: the method of the program (numpy's default)."""
    place = (len(ordered) - 1) * wanted / 100
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def _lag(lags: Sequence[tuple[Distribution, Requests]]) -> Distribution:
    """How late several programs were together: never better than it was."""
    weights = [requests.completed + requests.failures for _, requests in lags]
    every = [lag for lag, _ in lags]
    means = [lag.mean for lag in every if lag.mean is not None]
    shared = set.intersection(*(set(lag.percentiles) for lag in every))
    return Distribution(
        math.fsum(map(math.prod, zip(means, weights, strict=True))) / sum(weights)
        if len(means) == len(every)
        else None,
        min((lag.minimum for lag in every if lag.minimum is not None), default=None),
        max((lag.maximum for lag in every if lag.maximum is not None), default=None),
        {one: max(lag.percentiles[one] for lag in every) for one in sorted(shared)},
    )
