"""A harness for tests, added as a third party would: its program sends real requests at a rate and keeps each of them.

Profiles look like ``{rate: 50, requests: 200, tokens: 1, late: 0.0, live: true}``: ``late`` is how many seconds after
its turn every request is sent, and ``live`` says whether requests can be read while the program runs.
"""

from __future__ import annotations

import json
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

FILE = "paced.jsonl"


class PacedLoad:
    """The harness: its program is this very file."""

    name = "paced-load"
    version = "1"
    known_keys = frozenset({"rate", "requests", "tokens", "late"})
    filled = ()
    purpose = "load"
    clock = "epoch"

    def stages(self, profile: Mapping[str, Any]) -> Sequence[Any]:
        from pytest_llmdbench.harnesses.harness import PlannedStage

        return [PlannedStage(rate=profile["rate"], requests=profile["requests"])]

    def expected_seconds(self, profile: Mapping[str, Any]) -> float | None:
        return float(profile["requests"] / profile["rate"])

    def prepare(self, say: Callable[[str], None]) -> None:
        pass

    def command(self, profile: Mapping[str, Any], endpoint: Any, place: Any) -> Any:
        from pytest_llmdbench.harnesses.harness import Command

        told = json.dumps({**profile, "url": endpoint.url, "model": endpoint.model})
        return Command([sys.executable, __file__, told], place.folder)

    def watch(self, folder: Path) -> Callable[[], Any]:
        from pytest_llmdbench.harnesses.harness import Progress

        return lambda: Progress(0, sum("error" in one for one in _lines(folder)))

    def read(self, folder: Path) -> Any:
        from pytest_llmdbench.results.result import Requests, Result, Stage

        lines = _lines(folder)
        failed = sum("error" in one for one in lines)
        whole = Stage(
            Requests(len(lines) - failed, {"unlabelled": failed} if failed else {}),
            output_tokens=sum(one.get("tokens", 0) for one in lines) or None,
        )
        return Result(self.name, "1", whole, (whole,))

    def requests(self, folder: Path, own: Any) -> Iterator[Any]:
        return map(_request, _lines(folder))


class LiveLoad(PacedLoad):
    """The same, and its requests can be followed."""

    name = "live-load"

    def follow(self, folder: Path) -> Callable[[], Sequence[Any]]:
        given = 0

        def look() -> Sequence[Any]:
            nonlocal given
            lines = _lines(folder)[given:]
            given += len(lines)
            return [_request(one) for one in lines]

        return look


def _request(line: Mapping[str, Any]) -> Any:
    from pytest_llmdbench.results.request import Request

    error = line.get("error")
    return Request(
        0, line["sent"], line["ended"], "failed" if error else "completed", error, output_tokens=line.get("tokens"),
        lag=line["lag"],
    )  # fmt: skip


def _lines(folder: Path) -> list[dict[str, Any]]:
    try:
        text = (folder / FILE).read_text()
    except OSError:
        return []
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def pytest_llmdbench_harnesses() -> list[PacedLoad]:
    return [PacedLoad(), LiveLoad()]


def main() -> None:
    told = json.loads(sys.argv[1])
    body = json.dumps({"model": told["model"], "prompt": "one two three", "max_tokens": told["tokens"]}).encode()
    writing, began = threading.Lock(), time.time()
    with Path(FILE).open("w") as file:

        def send(number: int) -> None:
            turn = began + number / told["rate"]
            sent = time.time()
            # What this machine adds is not what the test is about.
            line: dict[str, Any] = {"sent": sent, "lag": told["late"]}
            request = urllib.request.Request(
                told["url"] + "/v1/completions", body, {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    line["tokens"] = json.load(answer)["usage"]["completion_tokens"]
            except (urllib.error.URLError, OSError) as error:
                line["error"] = str(error)
            line["ended"] = time.time()
            with writing:
                file.write(json.dumps(line) + "\n")
                file.flush()
            assert turn <= line["ended"]

        threads = []
        for number in range(told["requests"]):
            time.sleep(max(0.0, began + number / told["rate"] + told["late"] - time.time()))
            threads.append(threading.Thread(target=send, args=(number,), daemon=True))
            threads[-1].start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
