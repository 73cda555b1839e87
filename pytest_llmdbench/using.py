"""What only sessions with benchmarks have: stacks, records of their cases, a baseline."""

from __future__ import annotations

from typing import Final

import pytest

from pytest_llmdbench.bench import bench_of

_RECORDS: Final = "llmdbench-records"


def start_using(config: pytest.Config) -> None:
    """Bring it in, once: where no option is set, each benchmark asks for it as it is collected."""
    bench = bench_of(config)
    if config.pluginmanager.has_plugin(_RECORDS):
        return
    from pytest_llmdbench.reports.collector import RecordCollector
    from pytest_llmdbench.stacks import ownership

    ownership.configure(config, bench.deployments, bench.settings.get("max_stacks"))
    if bench.is_worker:
        return
    config.pluginmanager.register(RecordCollector(bench), _RECORDS)
    if bench.watches_runs and not bench.without_load:
        from pytest_llmdbench.baselines import BaselineKeeper

        config.pluginmanager.register(BaselineKeeper(bench), "llmdbench-baseline")
