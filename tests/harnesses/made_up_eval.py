"""A made-up image of eval-containers, as one program: ``made_up_eval.py OUTPUT VERIFIER``.

It does what an image's pipeline does, with real calls to the model and nothing of an agent: it asks the endpoint that
its environment names ``EVAL_MADE_UP_CALLS`` times (2), notes each call as bifrost's collector does, grades even tasks
with 1 and odd ones with 0, and writes the files of the image's contract. Needs nothing but Python.
"""

from __future__ import annotations

import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any


def span(name: str, key: str, above: str, begun: int, attributes: dict[str, Any]) -> dict[str, Any]:
    """A span as the collector writes it."""
    kinds = {int: "intValue", str: "stringValue"}
    return {
        "traceId": f"{os.getpid():032x}",
        "spanId": key,
        "parentSpanId": above,
        "name": name,
        "startTimeUnixNano": str(begun),
        "endTimeUnixNano": str(time.time_ns()),
        "attributes": [{"key": key, "value": {kinds[type(one)]: str(one)}} for key, one in attributes.items()],
        "status": {},
    }


def call(number: int) -> list[dict[str, Any]]:
    """Ask the model once; the spans of that."""
    asked = {"model": os.environ["EVAL_MODEL"], "max_tokens": 8, "messages": [{"role": "user", "content": "do it"}]}
    request = urllib.request.Request(
        os.environ["OPENAI_API_BASE"] + "/v1/chat/completions",
        json.dumps(asked).encode(),
        {"content-type": "application/json", "authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"},
    )
    begun, status, below = time.time_ns(), 200, []
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            usage = json.load(answer)["usage"]
        told = {
            "gen_ai.usage.input_tokens": usage["prompt_tokens"],
            "gen_ai.usage.output_tokens": usage["completion_tokens"],
            "gen_ai.usage.output_token_details.reasoning_tokens": 5,
        }
        below = [span(f"chat {asked['model']}", f"{number:015x}b", f"{number:015x}a", begun, told)]
    except urllib.error.HTTPError as error:
        status = error.code
    return [*below, span("/openai/v1/chat/completions", f"{number:015x}a", "", begun, {"http.status_code": status})]


def main(output: Path, verifier: Path) -> None:
    """Run the task."""
    for folder in (output / "agent", output / "task", output / "model", verifier):
        folder.mkdir(parents=True)
    with (output / "traces.jsonl").open("w") as file:
        for number in range(int(os.environ.get("EVAL_MADE_UP_CALLS", "2"))):
            file.write(json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": call(number)}]}]}) + "\n")
    task = int(os.environ["EVAL_TASK_ID"])
    reward = 1 - task % 2
    (output / "agent" / "stdout.log").write_text(f"in {os.getcwd()}\n")  # noqa: PTH109
    (output / "agent" / ".exit-code").write_text("0")
    (output / "agent" / "a link").symlink_to("/etc/passwd")
    (verifier / "reward.txt").write_text(f"{reward}.0\n")
    result = {"task_id": str(task), "benchmark": "aider-polyglot", "reward": float(reward), "passed": reward == 1}
    (output / "task" / "result.json").write_text(json.dumps(result))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
