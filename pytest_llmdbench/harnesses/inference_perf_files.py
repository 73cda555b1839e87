"""How the files of inference-perf become a result: one table of fields, everything absent stays absent.

The program writes ``summary_lifecycle_metrics.json`` for the whole run, ``stage_<n>_lifecycle_metrics.json`` for each
stage and ``config.yaml``, what it was told (all defaults filled in). Times are in seconds. Its 0.6 releases say
``prompt_len`` and count answers with the client's tokenizer; 0.7 says ``prompt_tokens`` and has the server's counts.
The file of single requests (``per_request_lifecycle_metrics.json``) is large, and read only where programs are merged.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import STDERR
from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage

SUMMARY: Final = "summary_lifecycle_metrics.json"
CONFIG: Final = "config.yaml"
_STAGE_FILE: Final = re.compile(r"stage_(\d+)_lifecycle_metrics\.json")

#: Field in the file -> canonical name, unit. The first field that is there counts.
LATENCIES: Final = (
    ("successes.latency.time_to_first_token", "ttft", "s"),
    ("successes.latency.time_per_output_token", "tpot", "s/token, first token excluded"),
    ("successes.latency.inter_token_latency", "itl", "s, every gap of every stream"),
    ("successes.latency.request_latency", "e2e", "s"),
    ("successes.latency.normalized_time_per_output_token", "normalized_tpot", "s/token, whole request"),
)
LENGTHS: Final = (
    ("successes.prompt_tokens", "prompt", "tokens, 0.7: as the server counts"),
    ("successes.prompt_len", "prompt", "tokens, 0.6"),
    ("successes.output_tokens", "output", "tokens, 0.7: as the server counts"),
    ("successes.output_len", "output", "tokens, 0.6: as the client counts"),
)
NUMBERS: Final = (
    ("benchmark_time_seconds", "duration_s", "s, first request sent to last answer ended"),
    ("load_summary.requested_rate", "asked_rate", "requests/s"),
    ("load_summary.achieved_rate", "achieved_rate", "requests/s sent"),
    ("successes.throughput.requests_per_sec", "requests_per_second", "requests/s completed"),
    ("successes.throughput.input_tokens_per_sec", "prompt_tokens_per_second", "tokens/s"),
    ("successes.throughput.output_tokens_per_sec", "output_tokens_per_second", "tokens/s"),
)
COUNTS: Final = (
    ("load_summary.concurrency", "concurrency", "requests (or sessions) at once"),
    ("successes.prompt_tokens.total", "prompt_tokens", "tokens of completed requests"),
    ("successes.output_tokens.total", "output_tokens", "tokens of completed requests"),
)
#: How much later than planned a request was sent: seconds, below 0 where it was sent a little early.
SCHEDULE_LAG: Final = "load_summary.schedule_delay"
_STATISTIC: Final = re.compile(r"mean|min|max|median|p\d+(\.\d+)?")


def read(folder: Path, version: str) -> Result:
    """The canonical result of what the program left in ``folder``, whatever its exit code.

    ``unfinished`` counts the requests that the stages asked for and that neither completed nor failed. Rates of the
    whole run include the pauses between its stages. A stage of fixed concurrency has neither asked rate nor lag: the
    program queues all its requests in the first second.

    Raises:
        HarnessError: a file is absent, cut short, or not as version 0.6 or 0.7 writes it; names file and field.
    """
    planned = _planned_requests(folder / CONFIG)
    summary = _File.load(folder / SUMMARY)
    files = [_File.load(folder / f"stage_{index}_lifecycle_metrics.json") for index in range(_stages(folder, planned))]
    asked: list[int | None] = planned or [None] * len(files)
    stages = tuple(_stage(file, count) for file, count in zip(files, asked, strict=True))
    known = [count for count in planned if count is not None]
    total = sum(known) if planned and len(known) == len(planned) else None
    closed = any(stage.concurrency is not None for stage in stages)
    return Result("inference-perf", version, _stage(summary, total, closed=closed), stages)


def _planned_requests(config: Path) -> list[int | None]:
    """How many requests each stage asked for, None where that is not said; empty where there is no configuration."""
    try:
        told = yaml.safe_load(config.read_text(encoding="utf-8"))
        load, data = told["load"], told["data"]
        stages = load["stages"]
        if data.get("trace") is not None:
            return [None] * len(stages)
        # Of a closed loop the program itself notes a rate: all requests in one second.
        return [
            int(stage["rate"] * stage["duration"]) if stage.get("rate") and stage.get("duration") else None
            for stage in stages
        ]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise HarnessError(f"{config}: cannot be read, or is not the configuration of a load: {error!r}") from error


def _stages(folder: Path, planned: list[int | None]) -> int:
    """How many stages there are: as configured; without a configuration, as many as have files."""
    if planned:
        return len(planned)
    found = [int(match[1]) for path in folder.iterdir() if (match := _STAGE_FILE.fullmatch(path.name))]
    return max(found, default=-1) + 1


def _stage(file: _File, asked: int | None, *, closed: bool = False) -> Stage:
    requests = _requests(file, asked)
    if requests.completed and file.get("successes.prompt_tokens") is None and file.get("successes.prompt_len") is None:
        raise HarnessError(f"{file.name}: neither 'successes.prompt_tokens' nor '.prompt_len': not version 0.6 or 0.7")
    numbers = {name: file.number(field) for field, name, _ in NUMBERS}
    counts = {name: file.count(field) for field, name, _ in COUNTS}
    # 0 sessions at once is how a replay says that it has no limit.
    concurrency = counts["concurrency"] or None
    closed = closed or counts["concurrency"] is not None
    return Stage(
        requests=requests,
        duration_s=numbers["duration_s"],
        asked_rate=None if closed else numbers["asked_rate"],
        achieved_rate=numbers["achieved_rate"],
        concurrency=concurrency,
        prompt_tokens=counts["prompt_tokens"],
        output_tokens=counts["output_tokens"],
        prompt_tokens_per_second=numbers["prompt_tokens_per_second"],
        output_tokens_per_second=numbers["output_tokens_per_second"],
        requests_per_second=numbers["requests_per_second"],
        latencies=file.distributions(LATENCIES),
        lengths=file.distributions(LENGTHS),
        schedule_lag=None if closed else file.distribution(SCHEDULE_LAG),
    )


def _requests(file: _File, asked: int | None) -> Requests:
    completed, failures = file.needed_count("successes.count"), file.needed_count("failures.count")
    labels = file.get("failures.by_label") or {}
    if not isinstance(labels, Mapping):
        raise file.wrong("failures.by_label", "an object of labels", labels)
    failed: dict[str, int] = {}
    for label, entry in labels.items():
        # 0.6 has the bare count where 0.7 has count and messages.
        found = entry.get("count") if isinstance(entry, Mapping) else entry
        count = file.checked(found, f"failures.by_label.{label}.count")
        if count is None or count < 0 or count != int(count):
            raise file.wrong(f"failures.by_label.{label}.count", "a count", found)
        failed[label] = int(count)
    unlabelled = failures - sum(failed.values())
    if unlabelled < 0:
        raise file.wrong("failures.by_label", f"no more than the {failures} of 'failures.count'", sum(failed.values()))
    if unlabelled:
        failed["unlabelled"] = unlabelled
    recorded = file.needed_count("load_summary.count")
    if recorded != completed + failures:
        raise file.wrong("load_summary.count", f"{completed} completed and {failures} failed", recorded)
    return Requests(completed, failed, max(0, asked - recorded) if asked is not None else 0)


@dataclass(frozen=True, slots=True)
class _File:
    """One parsed file; asking it for a field checks what is there."""

    name: str
    data: Mapping[str, Any]

    @classmethod
    def load(cls, path: Path) -> _File:
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise HarnessError(
                f"inference-perf wrote no {path.name}: it ended before its results, or recorded not one request; "
                f"see {path.with_name(STDERR)}"
            ) from error
        except (OSError, ValueError, RecursionError) as error:
            raise HarnessError(f"{path}: cannot be read, or was cut short: {error}") from error
        if not isinstance(data, Mapping):
            raise HarnessError(f"{path}: not an object of fields")
        return cls(str(path), data)

    def wrong(self, field: str, expected: str, found: object) -> HarnessError:
        return HarnessError(f"{self.name}: '{field}' should be {expected}, not {str(found)[:60]!r}")

    def get(self, field: str) -> Any:
        """The value of a dotted field; None where it, or anything above it, is absent."""
        value: Any = self.data
        above = ""
        for part in field.split("."):
            if value is None:
                return None
            if not isinstance(value, Mapping):
                raise self.wrong(above, "an object of fields", value)
            value = value.get(part)
            above = f"{above}.{part}".lstrip(".")
        return value

    def checked(self, value: object, field: str) -> float | None:
        """``value``, found at ``field``, as a number; None stays None."""
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.wrong(field, "a number", value)
        return float(value)

    def number(self, field: str) -> float | None:
        return self.checked(self.get(field), field)

    def count(self, field: str) -> int | None:
        value = self.number(field)
        if value is not None and (value < 0 or value != int(value)):
            raise self.wrong(field, "a count", value)
        return None if value is None else int(value)

    def needed_count(self, field: str) -> int:
        value = self.count(field)
        if value is None:
            raise self.wrong(field, "a count", None)
        return value

    def distribution(self, field: str) -> Distribution | None:
        """A distribution; None where it is absent or has no statistics, as when no request completed."""
        found = self.get(field)
        if found is None:
            return None
        if not isinstance(found, Mapping):
            raise self.wrong(field, "a distribution", found)
        values = {key: self.checked(found[key], f"{field}.{key}") for key in found if _STATISTIC.fullmatch(key)}
        percentiles = {
            50.0 if key == "median" else float(key[1:]): value
            for key, value in values.items()
            if value is not None and key not in ("mean", "min", "max")
        }
        mean = values.get("mean")
        if mean is None and not percentiles:
            return None
        return Distribution(mean, values.get("min"), values.get("max"), percentiles)

    def distributions(self, table: tuple[tuple[str, str, str], ...]) -> dict[str, Distribution]:
        """Canonical name -> distribution, of all fields of a table that are there."""
        found: dict[str, Distribution] = {}
        for field, name, _ in table:
            value = self.distribution(field)
            if value is not None:
                found.setdefault(name, value)
        return found
