"""The program of priority-mix: sends requests of several traffic classes at a fixed rate and notes each one.

It is run by its path, here or in a pod, and needs nothing but Python: ``priority_mix_client.py CONFIG``, with the
configuration that :mod:`~pytest_llmdbench.harnesses.priority_mix` writes. Into its working directory go ``REQUESTS``, a
line of JSON a request as soon as it is over, and at the end ``SUMMARY``, the counts of each class.

A request is due at a fixed time, whatever became of those before it. Where ``max_in_flight`` are under way already it
waits for one of them to end: when it was ``due``, when it was ``free`` to go, and when it was ``sent`` are noted.
"""

from __future__ import annotations

import http.client
import json
import queue
import ssl
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import urlsplit

REQUESTS = "requests.jsonl"
SUMMARY = "summary.json"
#: What has to be added to the monotonic clock to make it seconds since 1970.
_EPOCH = time.time() - time.perf_counter()


def turns(weights: Sequence[float], count: int) -> Iterator[int]:
    """Which class each of ``count`` requests is of: a smooth weighted round robin.

    In each round every class gains its weight, and the one that has most sends and pays the sum of all weights: the
    classes interleave, and after any number of requests each has sent its share to within one.
    """
    gained = [0.0] * len(weights)
    total = sum(weights)
    for _ in range(count):
        gained = [one + weight for one, weight in zip(gained, weights)]  # noqa: B905 (Python 3.9 in a pod)
        turn = max(range(len(gained)), key=gained.__getitem__)
        gained[turn] -= total
        yield turn


def main(config: dict[str, Any], folder: Path) -> None:
    """Send the whole load and write the files."""
    classes = config["classes"]
    waiting: queue.Queue[tuple[int, int, float] | None] = queue.Queue()
    done = [{"name": one["name"], "completed": 0, "failed": {}} for one in classes]
    with (folder / REQUESTS).open("w", encoding="utf-8") as file:
        lock = threading.Lock()
        workers = [
            threading.Thread(target=_work, args=(config, waiting, file, lock, done), daemon=True)
            for _ in range(min(config["max_in_flight"], config["requests"]))
        ]
        for worker in workers:
            worker.start()
        begun = time.perf_counter()
        for number, turn in enumerate(turns([one["weight"] for one in classes], config["requests"])):
            due = begun + number / config["rate"]
            time.sleep(max(0.0, due - time.perf_counter()))
            waiting.put((number, turn, due))
        for _ in workers:
            waiting.put(None)
        for worker in workers:
            worker.join()
    (folder / SUMMARY).write_text(json.dumps({"version": 1, "classes": done}), encoding="utf-8")


def _work(
    config: dict[str, Any],
    waiting: queue.Queue[tuple[int, int, float] | None],
    file: TextIO,
    lock: threading.Lock,
    done: list[dict[str, Any]],
) -> None:
    """Send one request after the other until there are no more."""
    free = 0.0
    while (one := waiting.get()) is not None:
        number, turn, due = one
        record: dict[str, Any] = {"class": turn, "due": _EPOCH + due, "free": _EPOCH + max(due, free)}
        record |= {"error": None, "times": [], "usage": None}
        record["sent"] = _EPOCH + time.perf_counter()
        try:
            _send(config, config["classes"][turn], config["first"] + number, record)
        except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
            record["error"] = _kind(error)
        free = time.perf_counter()
        record["ended"] = _EPOCH + free
        with lock:
            if record["error"] is None:
                done[turn]["completed"] += 1
            else:
                failed = done[turn]["failed"]
                failed[record["error"]] = failed.get(record["error"], 0) + 1
            file.write(json.dumps(record) + "\n")


def _kind(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, http.client.IncompleteRead):
        return "stream cut"
    return type(error).__name__


def _send(config: dict[str, Any], traffic: dict[str, Any], variation: int, record: dict[str, Any]) -> None:
    """Send one request and note when the pieces of its answer came; raises what goes wrong below HTTP."""
    prompt = traffic["prompt"].replace("{variation}", str(variation)) * traffic["repeat"]
    body = {
        "model": config["model"],
        "max_tokens": traffic["max_tokens"],
        "stream": True,
        "stream_options": {"include_usage": True},
        **({"messages": [{"role": "user", "content": prompt}]} if config["chat"] else {"prompt": prompt}),
    }
    until = time.perf_counter() + config["timeout_s"]
    connection = _connection(config["url"], config["timeout_s"])
    try:
        connection.connect()
        # Others keep connections open: what opening one takes is not the server's answer.
        record["sent"] = _EPOCH + time.perf_counter()
        sent = {"content-type": "application/json", "connection": "close", **traffic["headers"]}
        wire = connection.sock
        connection.request("POST", urlsplit(config["url"]).path, json.dumps(body), sent)
        answer = connection.getresponse()
        if answer.status != http.client.OK:
            record["error"] = f"{answer.status} - {answer.reason}"
            return
        for line in iter(answer.readline, b""):
            wire.settimeout(max(0.001, until - time.perf_counter()))
            if _over(line, record):
                return
        record["error"] = "stream cut"
    finally:
        connection.close()


def _connection(url: str, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "https":
        return http.client.HTTPSConnection(host, parts.port, timeout=timeout_s, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, parts.port, timeout=timeout_s)


def _over(line: bytes, record: dict[str, Any]) -> bool:
    """Note one line of a stream; whether it was the last one."""
    if not line.startswith(b"data:"):
        return False
    now = time.perf_counter()
    data = line[5:].strip()
    if data == b"[DONE]":
        return True
    event = json.loads(data)
    if not isinstance(event, dict) or event.get("error"):
        record["error"] = "error in the stream"
        return True
    record["usage"] = event.get("usage") or record["usage"]
    for choice in event.get("choices") or ():
        delta = choice.get("delta") or {}
        if delta.get("content") or delta.get("reasoning_content") or choice.get("text"):
            record["times"].append(_EPOCH + now)
            break
    return False


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), Path())
