"""Our own object in a report, ``results.observability.llmdbench``: what the format has no field for.

Observability is one of the two places where further keys are legal; other programs leave them alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from pytest_llmdbench.results.benchmark_report.statistics import from_statistics, to_statistics
from pytest_llmdbench.results.benchmark_report.units import canonical
from pytest_llmdbench.results.fields import Part
from pytest_llmdbench.results.result import Distribution, Stage

#: Where it stands in a report.
PLACE: Final = "results.observability.llmdbench"
#: What is known of a case, as in ``case.json``, that is a text.
CASE_TEXTS: Final = (
    "run", "nodeid", "case", "scenario", "stack", "setup_treatment", "treatment", "harness", "harness_version",
    "workload", "model",
)  # fmt: skip
#: The plain numbers of a stage, in canonical units, and those of them that are counts.
NUMBERS: Final = (
    "duration_s", "asked_rate", "achieved_rate", "prompt_tokens_per_second", "output_tokens_per_second",
    "requests_per_second", "tokens_per_event",
)  # fmt: skip
COUNTS: Final = ("concurrency", "prompt_tokens", "output_tokens")


def stage_block(stage: Stage, unplaced: Mapping[str, Distribution]) -> dict[str, Any]:
    """A stage's own numbers; ``unplaced`` are the distributions that have no field, by dotted names of ours."""
    numbers = {name: getattr(stage, name) for name in (*NUMBERS, *COUNTS)}
    return {
        **{name: value for name, value in numbers.items() if value is not None and math.isfinite(value)},
        "failed": dict(stage.requests.failed),
        "distributions": {name: to_statistics(one, canonical(_kind(name))) for name, one in unplaced.items()},
    }


def stage_numbers(block: Part) -> dict[str, Any]:
    """The plain numbers of :func:`stage_block`, as fields of a :class:`Stage`. Raises ResultsError."""
    found: dict[str, Any] = {name: block.number(f"stage.{name}") for name in NUMBERS}
    found |= {name: block.count(f"stage.{name}") for name in COUNTS}
    return {name: value for name, value in found.items() if value is not None}


def failed(block: Part) -> dict[str, int]:
    """Kind of failure -> how many requests failed so. Raises ResultsError."""
    kinds = block.below("stage.failed")
    # A kind may hold dots, so it is not asked for as a path.
    return {str(kind): Part(kinds.file, {"count": count}, kinds.above).needed_count("count")
            for kind, count in kinds.data.items()}  # fmt: skip


def unplaced(block: Part) -> dict[str, Distribution]:
    """The distributions of :func:`stage_block`, by the names they were given. Raises ResultsError."""
    place = block.below("stage.distributions")
    found = {}
    for name, statistics in place.data.items():
        if not isinstance(statistics, Mapping):
            raise place.wrong(str(name), "an object of fields", statistics)
        one = from_statistics(Part(place.file, statistics, f"{place.above}.{name}"), _kind(str(name)))
        if one is not None:
            found[str(name)] = one
    return found


def case_facts(block: Part) -> dict[str, Any]:
    """What :data:`CASE_TEXTS` and ``factors`` say of the case, and the verdict. Raises ResultsError."""
    facts: dict[str, Any] = {name: block.text(name) for name in CASE_TEXTS}
    facts["factors"] = dict(block.below("factors").data)
    facts["verdict"] = block.text("verdict.outcome")
    facts["verdict_reason"] = block.text("verdict.reason")
    return facts


def _kind(name: str) -> str:
    return "quantity" if name.startswith("lengths.") else "time"
