"""A harness for tests whose program sends nothing: its requests are those of a queue, made up, so that all is known.

Profiles look like ``{rate: 5, seconds: 1, serves: 20, sends: 100}``: one request after the other takes 1/``serves``
seconds, and the program sends at most so many a second.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

NAME = "made-up-queue"
#: Seconds until the first request.
BEGIN = 1_000.0


class MadeUpQueue:
    """The harness."""

    name = NAME
    version = "1"
    known_keys = frozenset({"rate", "seconds", "serves", "sends"})
    filled = ()
    purpose = "load"
    clock = "epoch"

    def stages(self, profile: Mapping[str, Any]) -> Sequence[Any]:
        from pytest_llmdbench.harnesses.harness import PlannedStage

        return [PlannedStage(profile["rate"], None, profile["seconds"], number(profile))]

    def expected_seconds(self, profile: Mapping[str, Any]) -> float | None:
        return 1.0

    def at_rate(self, profile: Mapping[str, Any], rate: float, seconds: float) -> Mapping[str, Any]:
        return {**profile, "rate": rate, "seconds": seconds}

    def prepare(self, say: Callable[[str], None]) -> None:
        say(f"{NAME}: nothing to install")

    def command(self, profile: Mapping[str, Any], endpoint: Any, place: Any) -> Any:
        from pytest_llmdbench.harnesses.harness import Command

        (place.folder / "told.json").write_text(json.dumps(dict(profile)))
        return Command([sys.executable, "-c", "pass"], place.folder)

    def watch(self, folder: Path) -> Callable[[], Any]:
        from pytest_llmdbench.harnesses.harness import Progress

        return lambda: Progress(0)

    def read(self, folder: Path) -> Any:
        from pytest_llmdbench.results.result import Requests, Result, Stage

        told = json.loads((folder / "told.json").read_text())
        whole = Stage(Requests(number(told)), asked_rate=told["rate"], output_tokens=1)
        return Result(NAME, "1", whole, (whole,))

    def requests(self, folder: Path, own: Any) -> Iterator[Any]:
        from pytest_llmdbench.results.request import Request

        told = json.loads((folder / "told.json").read_text())
        free = BEGIN
        for index in range(number(told)):
            planned = BEGIN + index / told["rate"]
            sent = BEGIN + index / min(told["rate"], told["sends"])
            free = max(free, sent) + 1 / told["serves"]
            yield Request(
                0, sent, free, "completed", prompt_tokens=3, output_tokens=4, ttft=free - sent, tpot=0.01,
                lag=sent - planned,
            )  # fmt: skip


def number(told: Mapping[str, Any]) -> int:
    return max(1, round(float(told["rate"]) * float(told["seconds"])))


def pytest_llmdbench_harnesses() -> list[MadeUpQueue]:
    return [MadeUpQueue()]
