"""Benchmarks of LLM serving as a pytest suite."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

__version__ = "0.1.0"


def load_results(folder: Path | str, *more: Path | str) -> pd.DataFrame:
    """All results in folders as one table: our own, and Benchmark Reports of llm-d-benchmark; see docs/exports.md.

    Raises:
        ResultsError: there is no result, or one cannot be read; names file and field.
    """
    from pytest_llmdbench.results.frame import frame

    return frame(folder, *more)
