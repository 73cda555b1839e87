"""What a report says of its run besides the measurements: what was deployed, what was sent, and when."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from typing import Any, Final

from pytest_llmdbench.results.fields import LARGEST_COUNT, Part

#: What a stack without accelerators has for their model.
NO_ACCELERATOR: Final = "none"
#: Words that llm-d-benchmark writes where it does not know.
_UNKNOWN: Final = ("unknown", "")
_DURATION: Final = re.compile(
    r"P(?:(\d{1,9})D)?(?:T(?:(\d{1,9})H)?(?:(\d{1,9})M)?(?:(\d{1,12}(?:\.\d{1,18})?(?:[eE][-+]?\d{1,3})?)S)?)?"
)


def setting(report: Part, version: str) -> dict[str, Any]:
    """Harness, model and accelerators by our names; None for what is not said. Raises ResultsError."""
    if version == "0.1":
        accelerators = report.items("scenario.host.accelerator")
        models = [one.text("model") for one in accelerators]
        counts = [one.count("count") for one in accelerators]
        return {
            "run": None,
            "harness": _known(report.text("scenario.load.name")),
            "harness_version": None,
            "model": _known(report.text("scenario.model.name")),
            **_accelerators(models, counts),
            "description": report.text("scenario.description"),
        }
    engines = [
        one.below("standardized")
        for one in report.items("scenario.stack")
        if one.get("standardized.kind") == "inference_engine"
    ]
    names = [one.text("model.name") for one in engines]
    counts = [_product(one.count("accelerator.count"), one.count("replicas")) for one in engines]
    return {
        "run": report.text("run.eid"),
        "harness": _known(report.text("scenario.load.standardized.tool")),
        "harness_version": _known(report.text("scenario.load.standardized.tool_version")),
        "model": next((name for name in names if name is not None), None),
        **_accelerators([one.text("accelerator.model") for one in engines], counts),
        "description": report.text("run.description"),
    }


def asked_load(report: Part) -> dict[str, Any]:
    """The rate and the concurrency that were asked for, where the report has fields for them (0.2)."""
    load = report.below("scenario.load.standardized")
    # Infinite: without a limit.
    rate = None if load.get("rate_qps") == math.inf else load.number("rate_qps")
    concurrency = None if load.get("concurrency") == math.inf else load.count("concurrency")
    return {"asked_rate": rate, "concurrency": concurrency}


def chat_spoken(report: Part) -> bool | None:
    """Whether the load program spoke to a chat interface, by its ``--backend``; None where the report does not say."""
    backend = report.get("scenario.load.native.args.backend")
    return backend == "openai-chat" if isinstance(backend, str) else None


def moments(report: Part, version: str) -> tuple[str | None, float | None]:
    """When the run began, as ISO 8601, and how many seconds it took. Raises ResultsError."""
    if version != "0.1":
        time = report.below("run.time")
        return time.text("start"), _duration_seconds(time)
    time = report.below("metrics.time")
    start, duration = time.number("start"), time.number("duration")
    try:
        return None if start is None else datetime.fromtimestamp(start, UTC).isoformat(), duration
    except (ValueError, OverflowError, OSError) as error:
        raise time.wrong("start", "seconds since 1970", start) from error


def iso_duration(seconds: float) -> str:
    """Seconds as an ISO 8601 duration: ``PT12.5S``."""
    return f"PT{format(seconds, '.6f').rstrip('0').rstrip('.')}S"


def _duration_seconds(time: Part) -> float | None:
    said = time.text("duration")
    if said is None:
        return None
    match = _DURATION.fullmatch(said)
    if not match or not any(match.groups()):
        raise time.wrong("duration", "a duration as in PT12.5S", said)
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return time.checked("duration", days * 86400 + hours * 3600 + minutes * 60 + seconds)


def _accelerators(models: list[str | None], counts: list[int | None]) -> dict[str, Any]:
    """Kinds of accelerators, and how many there are in all; None where one instance does not say."""
    kinds = sorted({model for model in models if model is not None and model != NO_ACCELERATOR})
    total = None if not counts or None in counts else min(sum(one for one in counts if one), LARGEST_COUNT)
    return {"accelerator": ", ".join(kinds) or None, "accelerators": total}


def _product(count: int | None, replicas: int | None) -> int | None:
    return None if count is None or replicas is None else count * replicas


def _known(text: str | None) -> str | None:
    return None if text in _UNKNOWN else text
