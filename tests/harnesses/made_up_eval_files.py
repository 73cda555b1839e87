"""Folders as a load pod of eval-containers leaves them, made up by hand."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

#: When the first task began, in seconds since 1970.
BEGUN = 1_790_000_000


def span(
    name: str, sent: float, ended: float, *, key: str = "", above: str = "", status: int | None = None, **said: Any
) -> dict[str, Any]:
    """A span; times in seconds after :data:`BEGUN`, attributes with ``__`` for a dot, ``status`` a span's own code."""
    kinds = {int: "intValue", float: "doubleValue", str: "stringValue"}
    return {
        "traceId": "t1" if key else "",
        "spanId": key,
        "parentSpanId": above,
        "name": name,
        "startTimeUnixNano": str(BEGUN * 10**9 + round(sent * 1e9)),
        "endTimeUnixNano": str(BEGUN * 10**9 + round(ended * 1e9)),
        "attributes": [
            {"key": name.replace("__", "."), "value": {kinds[type(one)]: str(one) if type(one) is int else one}}
            for name, one in said.items()
        ],
        "status": {} if status is None else {"code": status},
    }


def call(sent: float, ended: float, prompt: int = 100, output: int = 20) -> list[dict[str, Any]]:
    """The spans of one call that went well, the provider's first, as they end."""
    key = f"{sent}-{ended}"
    usage = {"gen_ai__usage__input_tokens": prompt, "gen_ai__usage__output_tokens": output}
    return [
        span("chat org/model", sent, ended, key=f"{key}-p", above=f"{key}-h", status=1, **usage),
        span("/openai/v1/chat/completions", sent, ended, key=f"{key}-h", http__status_code=200),
    ]


def write_task(
    folder: Path,
    task: int = 0,
    *,
    reward: float | None = 1.0,
    spans: Sequence[Mapping[str, Any]] | None = None,
    agent_code: int | None = 0,
    reward_txt: str | None = "same",
    benchmark: str = "aider-polyglot",
    seconds: float = 60.0,
) -> Path:
    """The folder of one task with one good call; ``reward`` None: no ``task/result.json``, ``spans`` (): no call."""
    told = {"task_id": task, "benchmark": "aider-polyglot"}
    notes = {"version": 1, "task_id": task, "started": BEGUN, "seconds": seconds, "exit_code": 0, "verifier": True}
    traces = [
        {"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]} for one in (call(1, 3) if spans is None else spans)
    ]
    for name in ("task", "agent", "logs/verifier"):
        (folder / name).mkdir(parents=True)
    (folder / "eval-containers.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "eval-task.json").write_text(json.dumps(notes), encoding="utf-8")
    (folder / "traces.jsonl").write_text("".join(json.dumps(one) + "\n" for one in traces), encoding="utf-8")
    if reward is not None:
        result = {"task_id": str(task), "benchmark": benchmark, "reward": reward, "passed": reward >= 1}
        (folder / "task" / "result.json").write_text(json.dumps(result), encoding="utf-8")
    if agent_code is not None:
        (folder / "agent" / ".exit-code").write_text(str(agent_code), encoding="utf-8")
    if reward_txt is not None:
        text = str(reward) if reward_txt == "same" else reward_txt
        (folder / "logs" / "verifier" / "reward.txt").write_text(text, encoding="utf-8")
    return folder
