"""How near the configuration explorer comes to what was measured, and how long an answer takes."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from statistics import mean
from typing import Final

import pytest

from pytest_llmdbench.capacity.asked import Asked
from pytest_llmdbench.capacity.explore import explore
from pytest_llmdbench.capacity.load import Load
from pytest_llmdbench.capacity.memory import Memory, memory
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.speed import speed
from pytest_llmdbench.capacity.validation import validate
from tests.capacity.measured import Errors, rows, started, timed
from tests.capacity.test_split_measured import estimated

pytestmark = pytest.mark.performance

_COLUMNS: Final[dict[str, tuple[Callable[[Memory], float], str]]] = {
    "weights_gib": (lambda found: found.weights, "mean <= 1 %"),
    "kv_cache_gib": (lambda found: found.kv, "H100: mean <= 1.5 %, p90 <= 3 %, max <= 10 %; others: mean <= 3 %"),
    "kv_cache_tokens": (lambda found: found.tokens, "mean <= 2 %"),
    "max_concurrency": (lambda found: found.concurrency, "mean <= 2 %"),
}


def test_memory_against_start_up_logs(capsys: pytest.CaptureFixture[str]) -> None:
    measured = started()
    with capsys.disabled():
        print(f"\nmemory of {len(measured)} engines that were started")
        for column, (of, goal) in _COLUMNS.items():
            for name, h100 in (("H100", True), ("others", False)):
                chosen = [one for one in measured if one.same_engine and one.h100 == h100 and column in one.truth]
                print(
                    f"  {column:16} {name:6} {Errors.of((of(memory(one.config)), one.truth[column]) for one in chosen)}"
                )
            print(f"  {'':16} goal   {goal}")
        verdicts = [(one, validate(one.config).verdict) for one in measured]
        wrong = [one for one, verdict in verdicts if verdict == ("will not start" if one.starts else "will start")]
        unsure = sum(verdict == "uncertain" for _, verdict in verdicts)
        print(f"  wrong verdicts: {len(wrong)} (goal 0); uncertain: {unsure} of {len(verdicts)}")


def test_speed_against_what_was_timed(capsys: pytest.CaptureFixture[str]) -> None:
    all_rows = timed()
    fitting = [one for one in all_rows if memory(one.config).kv > 0]
    sound = [one for one in fitting if not one.suspect]
    with capsys.disabled():
        print(f"\nspeed of {len(all_rows)} engines that were timed, of {len(rows('throughput.csv'))} rows")
        print(f"  {len(all_rows) - len(fitting)} hold more weights than their GPUs have memory, so were others")
        reasons = Counter(one.suspect for one in fitting if one.suspect)
        for reason, count in reasons.items():
            print(f"  {count} suspect, {reason}")
        for name, chosen in (("sound", sound), (f"with the {reasons.total()} suspect", fitting)):
            found = [(one, speed(one.config, one.load)) for one in chosen]
            print(f"  TPOT {name}: {Errors.of((got.tpot, one.tpot) for one, got in found)}")
            print(f"  TTFT {name}: {Errors.of((got.ttft, one.ttft) for one, got in found)}")
            tpot = mean(got.tpot_range[0] <= one.tpot <= got.tpot_range[1] for one, got in found)
            ttft = mean(got.ttft_range[0] <= one.ttft <= got.ttft_range[1] for one, got in found)
            print(f"  within the stated range: TPOT {tpot:.0%}, TTFT {ttft:.0%}")
        print("  goals: TPOT mean <= 20 %, median <= 15 %; TTFT median <= 39 %")


def test_an_answer_is_there_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.process_time()
    validate(started()[0].config)
    single = time.process_time() - began
    with capsys.disabled():
        print(f"\none validation: {single:.3f} CPU-s (goal 1 s)")
        for name in ("Qwen/Qwen3-32B", "Qwen/Qwen3-235B-A22B"):
            began = time.process_time()
            found = explore(Asked(find_model(name), Load(1000, 500, concurrency=1), rate=50.0, small_types=True))
            searched = time.process_time() - began
            tried = f"{found.engines} engines, {len(found.meeting) + len(found.missing)} points"
            print(f"a recommendation over all GPUs for {name}, {tried}: {searched:.2f} CPU-s (goal 5 s)")


def test_prefill_and_decode_apart_against_what_was_timed(capsys: pytest.CaptureFixture[str]) -> None:
    found = [(estimated(row), row) for row in rows("split.csv")]
    with capsys.disabled():
        print(f"\nprefill and decode apart, {len(found)} rows")
        print(f"  TPOT {Errors.of((got.tpot, float(row['tpot_ms']) / 1e3) for got, row in found)}")
        print(f"  TTFT {Errors.of((got.ttft, float(row['ttft_ms']) / 1e3) for got, row in found)}")
