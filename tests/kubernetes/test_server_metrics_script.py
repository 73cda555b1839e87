"""What runs in the anchor's container to read metrics, run here against real servers of this machine."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import zlib
from typing import Any

import pytest

from pytest_llmdbench.stacks.kubernetes.scrape import _SCRIPT
from tests.stacks.test_scrape import Answer, sends, server

TEXT = b"vllm:generation_tokens_total 12\n" * 1000


def run(*urls: str, **limits: float) -> list[Any]:
    asked = {"urls": urls, "seconds": 2.0, "accept": "text/plain", "bytes": 1 << 20, "all_bytes": 1 << 20, **limits}
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, json.dumps(asked)], capture_output=True, check=True, timeout=60
    )
    assert done.stderr == b""
    answers: list[Any] = json.loads(done.stdout)
    return answers


def test_all_targets_answer_in_their_order_each_for_itself() -> None:
    with server(sends(TEXT)) as good, server(sends(b"", 404)) as bad:
        answers = run(good, bad, "http://127.0.0.1:1/metrics", "no url at all", good)
    assert [zlib.decompress(base64.b64decode(text)) if text else None for _, text, _ in answers] == [
        TEXT, None, None, None, TEXT,
    ]  # fmt: skip
    errors = [error for _, _, error in answers]
    assert errors[0] is errors[4] is None
    assert errors[1] == "it answers 404 Not Found"
    assert "refused" in errors[2]
    assert "unknown url type" in errors[3]
    assert all(abs(at - time.time()) < 60 for at, _, _ in answers)


def drips(request: Any) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b"#\n")
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("answer", "limits", "why"),
    [
        (sends(TEXT), {"bytes": 100}, "its answer is too long"),
        (sends(TEXT), {"all_bytes": 10}, "all together say too much"),
        (sends(TEXT), {"seconds": -1.0}, "no time was left to ask it"),
        (drips, {"seconds": 0.3}, "its answer took too long"),
    ],
)
def test_no_target_takes_more_than_its_share(answer: Answer, limits: dict[str, float], why: str) -> None:
    with server(answer) as url:
        ((_, text, error),) = run(url, **limits)
    assert text is None
    assert error == why
