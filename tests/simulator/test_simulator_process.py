"""The simulator as a program: starting, ending, and going wrong on purpose."""

from __future__ import annotations

import http.client
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

PROGRAM = [sys.executable, "-m", "pytest_llmdbench.simulator"]


def run(*arguments: str, config: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], input=config, capture_output=True, text=True, timeout=20, check=False)


def test_help_tells_the_keys_of_the_configuration() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "--config FILE" in done.stdout
    assert "prefill_per_token" in done.stdout


@pytest.mark.parametrize("config", ["{", '{"tftt": 1}', '{"itl": -1}', '{"faults": {"cut_rate": 2}}'])
def test_a_wrong_configuration_is_one_line_and_status_2(config: str) -> None:
    done = run("--config", "-", config=config)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_missing_file_and_a_taken_port_are_one_line_each(simulate: Any, tmp_path: Path) -> None:
    missing = run("--config", str(tmp_path / "none.json"))
    assert (missing.returncode, missing.stderr.count("\n")) == (2, 1)
    taken = run("--port", str(simulate().address[1]))
    assert (taken.returncode, taken.stderr.count("\n")) == (1, 1)


def test_the_served_name_can_be_given_on_the_command_line(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text('{"model": "other"}')
    command = [*PROGRAM, "--config", str(config), "--model", "mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        url = json.loads(process.stdout.readline())["url"]
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
        connection.request("GET", "/v1/models")
        assert json.load(connection.getresponse())["data"][0]["id"] == "mine"
        connection.close()
        process.terminate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_status_0_though_streams_are_open(simulate: Any, number: signal.Signals) -> None:
    server = simulate(itl=0.01)
    connection = server.client()
    body = json.dumps({"prompt": "a", "max_tokens": 10_000, "stream": True})
    connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
    connection.getresponse().read1(10)
    server.process.send_signal(number)
    assert server.process.wait(10) == 0
    connection.close()


def test_a_signal_ends_it_while_it_is_still_starting() -> None:
    with subprocess.Popen([*PROGRAM, "--config", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin
        process.stdin.write(b'{"faults": {"startup_s": 60}}')
        process.stdin.close()
        time.sleep(0.5)
        process.terminate()
        assert process.wait(10) == 0
        assert process.stdout
        assert process.stdout.read() == b""


def test_a_slow_start_opens_the_port_late(simulate: Any) -> None:
    began = time.monotonic()
    server = simulate(faults={"startup_s": 0.5})
    assert time.monotonic() - began >= 0.5
    assert server.ask("GET", "/health").status == 200


def test_errors_and_rejections_are_vllm_shaped_and_counted(simulate: Any) -> None:
    server = simulate(itl=0.0, faults={"error_rate": 0.5, "reject_rate": 0.5, "retry_after_s": 3})
    replies = [server.complete("a") for _ in range(20)]
    assert {reply.status for reply in replies} == {500, 429}
    assert {reply.headers["retry-after"] for reply in replies if reply.status == 429} == {"3"}
    assert {reply.json["error"]["code"] for reply in replies} == {500, 429}
    assert server.stats()["requests"]["errored"] == 20


def test_a_cut_stream_ends_half_way_without_done(simulate: Any) -> None:
    server = simulate(itl=0.001, faults={"cut_rate": 1})
    connection = server.client()
    body = json.dumps({"prompt": "a", "max_tokens": 20, "stream": True})
    connection.request("POST", "/v1/completions", body, {"content-type": "application/json"})
    with pytest.raises(http.client.IncompleteRead) as caught:
        connection.getresponse().read()
    connection.close()
    assert caught.value.partial.count(b"data: ") == 10
    assert b"[DONE]" not in caught.value.partial
    assert server.complete("a", max_tokens=20).status == 200
    assert server.stats()["requests"]["errored"] == 1


def test_faults_can_be_changed_while_it_runs(simulate: Any) -> None:
    server = simulate(itl=0.0)
    assert server.ask("POST", "/sim/faults", {"error_rate": 1}).status == 200
    assert server.complete("a").status == 500
    assert server.ask("POST", "/sim/faults", {}).status == 200
    assert server.complete("a").status == 200
    wrong = server.ask("POST", "/sim/faults", {"error_rat": 1})
    assert wrong.status == 400
    assert "did you mean error_rate?" in wrong.json["error"]["message"]


def test_a_stall_holds_all_streams_and_then_they_go_on(simulate: Any) -> None:
    server = simulate(itl=0.001)
    server.ask("POST", "/sim/faults", {"stall_for_s": 0.4})
    began = time.monotonic()
    assert server.complete("a", max_tokens=3).status == 200
    assert time.monotonic() - began >= 0.3
    assert server.stats()["scheduled"]["ttft_s"]["mean"] >= 0.3


def test_it_crashes_after_the_requests_that_were_asked_for(simulate: Any) -> None:
    server = simulate(itl=0.0, faults={"crash_after_requests": 3})
    assert [server.complete("a").status for _ in range(2)] == [200, 200]
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        server.complete("a")
    assert server.process.wait(10) != 0


def test_it_crashes_after_the_time_that_was_asked_for(simulate: Any) -> None:
    assert simulate(faults={"crash_after_s": 0.2}).process.wait(10) != 0
