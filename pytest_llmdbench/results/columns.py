"""The columns of a table of results: which there are, and of what type."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.results.benchmark_report.own_block import NUMBERS
from pytest_llmdbench.results.result import PERCENTILES

if TYPE_CHECKING:
    import pandas as pd

#: What is known of a case, as texts.
TEXTS: Final = (
    "source", "folder", "run", "case", "stage", "scenario", "setup_treatment", "treatment", "harness",
    "harness_version", "workload", "model", "accelerator", "purpose", "verdict", "verdict_reason", "notes",
)  # fmt: skip
COUNTS: Final = (
    "accelerators", "exit_code", "concurrency", "requests_offered", "requests_completed", "requests_failed",
    "requests_unfinished", "prompt_tokens", "output_tokens",
)  # fmt: skip
LATENCIES: Final = ("ttft", "tpot", "itl", "e2e", "normalized_tpot")
LENGTHS: Final = ("prompt", "output")
#: Statistics of a distribution, by the field that holds them.
NAMED: Final = {"mean": "mean", "stddev": "stddev", "min": "minimum", "max": "maximum"}


def columns() -> dict[str, str]:
    """Every column that is always there, in order -> its type in pandas."""
    statistics = (*NAMED, *(f"p{at:g}" for at in PERCENTILES))
    distributions = [
        *((name, "_s") for name in LATENCIES), *((f"{name}_length", "") for name in LENGTHS), ("schedule_lag", "_s"),
    ]  # fmt: skip
    return {
        **dict.fromkeys(TEXTS, "string"),
        "started": "datetime64[us, UTC]",
        "elapsed_s": "float64",
        **dict.fromkeys(COUNTS, "Int64"),
        **dict.fromkeys(NUMBERS, "float64"),
        "error_rate": "float64",
        **{f"{name}_{one}{unit}": "float64" for name, unit in distributions for one in statistics},
    }


def table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as one table; what a row does not have is NA in it."""
    import pandas as pd

    kinds = columns()
    further = sorted({name for row in rows for name in row} - set(kinds))
    series = {name: _typed([row.get(name) for row in rows], kind) for name, kind in kinds.items()}
    for name in further:
        values = [row.get(name) for row in rows]
        series[name] = _factor(values) if name.startswith("factor.") else _typed(values, "float64")
    return pd.DataFrame(series)


def _typed(values: list[Any], kind: str) -> pd.Series[Any]:
    import pandas as pd

    if kind == "datetime64[us, UTC]":
        moments = pd.to_datetime(pd.Series(values, dtype="object"), utc=True, errors="coerce", format="ISO8601")
        return moments.astype("datetime64[us, UTC]")
    if kind == "float64":
        return pd.Series([math.nan if value is None else float(value) for value in values], dtype=kind)
    return pd.Series(values, dtype=kind)


def _factor(values: list[Any]) -> pd.Series[Any]:
    """A column of levels: of truth values, of numbers, or else of texts."""
    known = [value for value in values if value is not None]
    if all(isinstance(value, bool) for value in known):
        return _typed(values, "boolean")
    if not any(isinstance(value, bool) or not isinstance(value, int | float) for value in known):
        whole = all(isinstance(value, int) and abs(value) < 2**53 for value in known)
        if whole or all(isinstance(value, float) or abs(value) < 2**53 for value in known):
            return _typed(values, "Int64" if whole else "float64")
    return _typed([None if value is None else str(value) for value in values], "string")
