"""The Benchmark Report of llm-d-benchmark: results of other people's runs as ours, and ours as theirs.

Version 0.2 and 0.2.1 are written, and these and 0.1 are read. A report is of one stage of a load; those of one run
share ``run.eid``. What the format has no field for (verdict, treatment, counts of a distribution) stands in an object
of its own, ``results.observability.llmdbench``: that is a place where the format allows further keys.
"""

from pytest_llmdbench.results.benchmark_report.reading import Report, read
from pytest_llmdbench.results.benchmark_report.writing import write

__all__ = ["Report", "read", "write"]
