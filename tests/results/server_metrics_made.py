"""Windows made of texts: genuine ones of servers that had a load, and short ones written for a test."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytest_llmdbench.results.server_metrics.exposition import parse
from pytest_llmdbench.results.server_metrics.names import sample_names
from pytest_llmdbench.results.server_metrics.scraped import Target
from pytest_llmdbench.results.server_metrics.summary import Watched, summary
from pytest_llmdbench.results.server_metrics.window import Window

SAMPLES = Path(__file__).parents[1] / "data" / "server-metrics"
WANTED = sample_names()
#: When the first scrape was, and how long it is to the next; seconds.
BEGIN = 1_700_000_000.0
STEP = 5.0


def sample(server: str, when: str) -> str:
    return (SAMPLES / server / f"{when}.prom").read_text(encoding="utf-8")


def truth(server: str) -> Any:
    """What the load's own client counted."""
    return json.loads((SAMPLES / server / "case.json").read_text(encoding="utf-8"))["truth"]


def window(texts: Sequence[str | None], *, fresh: bool = False) -> Window:
    """One target's texts, one a round; None where it could not be read."""
    made = Window(fresh=fresh)
    for number, text in enumerate(texts):
        if text is not None:
            made.add(number, BEGIN + STEP * number, parse(text, WANTED))
    return made


def watched(label: str, texts: Sequence[str | None], role: str = "server", pod: str | None = None) -> Watched:
    return Watched(Target(label, role, "http://10.0.0.1:8000/metrics", pod), window(texts))


def told(*several: Watched) -> dict[str, Any]:
    """The summary, as it is after it was stored."""
    data: dict[str, Any] = json.loads(json.dumps(summary(several, STEP), allow_nan=False))
    return data


def engine(**values: float) -> str:
    """A text with these counters and gauges of vLLM, as in ``prompt_tokens_total=3``."""
    return "".join(f'vllm:{name}{{engine="0"}} {value}\n' for name, value in values.items())
