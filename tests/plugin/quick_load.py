"""A harness for tests, added as a third party would: its program sends real requests, few and without statistics.

Profiles look like ``{requests: 3, tokens: 4, pause: 0.0}``.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

NAME = "quick-load"


class QuickLoad:
    """The harness: its program is this very file."""

    name = NAME
    version = "1"
    known_keys = frozenset({"requests", "tokens", "pause"})
    filled = ()
    purpose = "load"
    clock = "epoch"

    def stages(self, profile: Mapping[str, Any]) -> Sequence[Any]:
        from pytest_llmdbench.harnesses.harness import PlannedStage

        return [PlannedStage(requests=profile["requests"])]

    def expected_seconds(self, profile: Mapping[str, Any]) -> float | None:
        return float(profile["requests"] * profile["pause"])

    def prepare(self, say: Callable[[str], None]) -> None:
        say(f"{NAME}: nothing to install")

    def command(self, profile: Mapping[str, Any], endpoint: Any, place: Any) -> Any:
        from pytest_llmdbench.harnesses.harness import Command

        told = json.dumps({**profile, "url": endpoint.url, "model": endpoint.model})
        return Command([sys.executable, __file__, told], place.folder)

    def watch(self, folder: Path) -> Callable[[], Any]:
        from pytest_llmdbench.harnesses.harness import Progress

        return lambda: Progress(0)

    def read(self, folder: Path) -> Any:
        from pytest_llmdbench.errors import HarnessError
        from pytest_llmdbench.results.result import Distribution, Requests, Result, Stage

        try:
            said = json.loads((folder / "quick.json").read_text())
        except (OSError, ValueError) as error:
            raise HarnessError(f"quick.json: {error}") from error
        times = sorted(said["e2e"])
        e2e = (
            Distribution(
                mean=sum(times) / len(times),
                maximum=times[-1],
                percentiles={50.0: times[len(times) // 2], 99.0: times[-1]},
            )
            if times
            else None
        )
        whole = Stage(
            Requests(len(times), {"error": said["failed"]} if said["failed"] else {}),
            output_tokens=said["tokens"] or None,
            latencies={"e2e": e2e} if e2e else {},
        )
        return Result(NAME, "1", whole, (whole,))

    def requests(self, folder: Path, own: Any) -> Any:
        return None


def pytest_llmdbench_harnesses() -> list[QuickLoad]:
    return [QuickLoad()]


def main() -> None:
    told = json.loads(sys.argv[1])
    result: dict[str, Any] = {"e2e": [], "failed": 0, "tokens": 0}
    for _ in range(told["requests"]):
        body = {"model": told["model"], "prompt": "one two three", "max_tokens": told["tokens"]}
        request = urllib.request.Request(
            told["url"] + "/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                result["tokens"] += json.load(answer)["usage"]["completion_tokens"]
            result["e2e"].append(time.monotonic() - began)
        except (urllib.error.URLError, OSError):
            result["failed"] += 1
        time.sleep(told["pause"])
    Path("quick.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main()
