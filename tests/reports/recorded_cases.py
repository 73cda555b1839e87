"""Recorded cases in a folder, in the form that runs leave: made by the code that writes them, without a load."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy  # noqa: F401  # once a process: pytester forgets what is imported in a test
import pyarrow.parquet  # noqa: F401

from pytest_llmdbench.results.distributions import distribution
from pytest_llmdbench.results.record import result_facts
from pytest_llmdbench.results.request import Request
from pytest_llmdbench.results.result import Requests, Result, Stage
from pytest_llmdbench.results.store import write_json, write_result
from pytest_llmdbench.results.table import TABLE, RequestTable, write_table

BEGAN = 1_795_741_700.0


def requests(rates: Sequence[float], seconds: float = 10.0, failed: int = 0, seed: int = 0) -> list[Request]:
    """Requests of one stage a rate; the higher the rate, the longer they wait. The first ``failed`` ones failed."""
    dice = random.Random(seed)
    made: list[Request] = []
    for stage, rate in enumerate(rates):
        for number in range(int(rate * seconds)):
            sent = BEGAN + stage * seconds + number / rate
            ttft = 0.05 + dice.expovariate(1 / (0.01 * rate))
            bad = len(made) < failed
            made.append(
                Request(
                    stage, sent, sent + ttft + 1.0, "failed" if bad else "completed", "500" if bad else None, 100,
                    None if bad else 40, None if bad else 40, None if bad else ttft, None if bad else 1.0 / 39,
                )
            )  # fmt: skip
    return made


def case(
    folder: Path,
    name: str,
    *,
    rates: Sequence[float] = (2.0, 8.0),
    single: bool = True,
    failed: int = 0,
    server: Mapping[str, Any] | None = None,
    seconds: float = 10.0,
    seed: int = 0,
    **facts: Any,
) -> dict[str, Any]:
    """Write a case into ``folder`` and return its record. ``single``: with its single requests."""
    folder.mkdir(parents=True)
    every = requests(rates, seconds, failed, seed)
    write_table(folder / TABLE, ((0, one) for one in every))
    table = RequestTable(folder / TABLE)

    def stage(number: int | None, rate: float | None) -> Stage:
        known = {name: distribution(table.values(name, number)) for name in ("ttft", "tpot", "e2e")}
        bad = table.count(number, "failed")
        return Stage(
            Requests(table.count(number, "completed"), {"500": bad} if bad else {}),
            duration_s=seconds, asked_rate=rate, achieved_rate=rate, output_tokens=40,
            output_tokens_per_second=40 * (rate or sum(rates) / len(rates)), requests_per_second=rate,
            latencies={name: one for name, one in known.items() if one},
        )  # fmt: skip

    stages = tuple(stage(number, rate) for number, rate in enumerate(rates))
    kept = folder / TABLE if single else None
    result = Result("inference-perf", "0.7.0", stage(None, None), stages, server=server or {}, table=kept)
    if not single:
        (folder / TABLE).unlink()
    write_result(folder, result)
    record = {
        "case": name, "scenario": "local", "setup_treatment": None, "model": "llmdbench/simulated", "treatment": None,
        "harness": "inference-perf", "harness_version": "0.7.0", "workload": "chatbot", "factors": {},
    } | facts  # fmt: skip
    objective = {"objective": "ttft.p99 <= 500 ms", "origin": "scenarios/local.yaml:1"}
    provenance = {"command_line": ["pytest", "-k", "a b"], "versions": {"pytest": "9"}, "machine": {"system": "Linux"}}
    write_json(folder / "case.json", {**record, "objectives": [objective], "provenance": provenance})
    (folder / "scenario.yaml").write_text("deploy: local\nmodel: {name: llmdbench/simulated}\n", encoding="utf-8")
    (folder / "workload.yaml").write_text(json.dumps({"load": {"stages": list(rates)}}), encoding="utf-8")
    ttft = result.whole.latencies["ttft"].statistic("p99") if "ttft" in result.whole.latencies else None
    return record | {"folder": str(folder), "result": result_facts(result), "verdict": verdict(ttft)}


def verdict(value: float | None, bound: float = 0.5) -> dict[str, Any]:
    """A verdict on ``ttft.p99`` with one objective."""
    met = value is not None and value <= bound
    margin = None if value is None else value / bound - 1
    return {
        "outcome": "PASS" if met else "FAIL",
        "reason": "1 objective met" if met else "1 of 1 objective missed",
        "warmup_s": {"0": 2.0},
        "notes": [],
        "objectives": [
            {
                "objective": f"ttft.p99 <= {bound * 1000:g} ms", "subject": "ttft.p99", "metric": "ttft",
                "statistic": "p99",
                "stage": None, "operator": "<=", "bound": bound, "value": value, "met": met, "margin": margin,
                "shown": None if value is None else f"{value * 1000:.1f} ms", "outcome": "PASS" if met else "FAIL",
                "low": None, "high": None if value is None else value * 1.2, "interval": "? .. more", "requests": 100,
                "worth": 40.0, "bad": 1, "basis": "requests", "origin": "scenarios/local.yaml:1",
            }
        ],
    }  # fmt: skip


def metrics(components: int = 1, points: int = 30) -> dict[str, Any]:
    """What scraped servers said, one component a pod."""
    return {
        "metrics": {
            "loaded": [BEGAN, BEGAN + 20],
            "components": [
                {
                    "label": f"decode-{number}",
                    "series": {
                        "waiting": {"unit": "requests", "points": [[BEGAN + at, at % 5] for at in range(points)]},
                        "running": {"unit": "requests", "points": [[BEGAN + at, number] for at in range(points)]},
                        "kv_cache_usage": {"unit": "fraction", "points": [[BEGAN + at, 0.5] for at in range(points)]},
                    },
                }
                for number in range(components)
            ],
        }
    }
