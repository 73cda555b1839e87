"""What reading servers' metrics costs the machine that measures."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from pytest_llmdbench.results.server_metrics.scraped import Scrape, Target
from pytest_llmdbench.stacks.scrape import Scraping
from tests.results.server_metrics_made import sample

pytestmark = pytest.mark.performance

PODS, ROUNDS = 10, 200
#: Processor seconds of a round of ten pods: at the usual 5 s a round less than a hundredth of a processor.
GOAL_S = 0.05


def test_ten_pods_cost_next_to_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    texts = [sample("vllm-0.32.0", when) for when in ("first", "during", "last")]
    targets = [Target(f"pod-{number}", "decode", "http://pod/metrics", f"pod-{number}") for number in range(PODS)]
    said = iter([texts[0], *[texts[1]] * ROUNDS, texts[2]])

    def look() -> list[Scrape]:
        text = next(said)
        return [Scrape(one, time.time(), text) for one in targets]

    scraping = Scraping(look, 3600.0, tmp_path)
    for _ in range(ROUNDS):
        scraping._round()
    began = time.process_time()
    data = scraping.end()
    end_s = time.process_time() - began
    each = data["cpu_s"] / data["rounds"]
    size = len(json.dumps(data))
    with capsys.disabled():
        print(
            f"\n{PODS} pods of vLLM: {each * 1000:.1f} ms of processor time a round (goal <= {GOAL_S * 1000:.0f}), "
            f"{end_s:.2f} s at the end of a load of {ROUNDS} rounds, which keeps {size / 1e6:.1f} MB"
        )
