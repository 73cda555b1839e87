"""Load programs as processes: their progress, their words, their end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses import launcher, progress_line
from pytest_llmdbench.harnesses.harness import Command, Progress
from pytest_llmdbench.harnesses.launcher import GiveUp, Launched, launch
from pytest_llmdbench.harnesses.progress_line import Outline
from pytest_llmdbench.harnesses.server_counts import Counts, ServerCounts
from pytest_llmdbench.stacks import processes

NOWHERE = "http://127.0.0.1:1"


class Run:
    """Runs a piece of Python as if it were a load program."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ended: list[int] = []
        self.lines: list[str] = []
        self.progress = Progress()

    def say(self, line: str) -> None:
        self.lines.append(line)

    def end(self, process: subprocess.Popen[bytes], grace: float) -> None:
        self.ended.append(process.pid)
        processes.end(process, grace)

    def __call__(
        self, program: str, *, timeout_s: float = 30, url: str = NOWHERE, give_up: GiveUp | None = None
    ) -> Launched:
        return launch(
            Command((sys.executable, "-c", program), self.folder, {"GREETING": "hello"}),
            Outline("load", url, stages=4, expected_s=48),
            timeout_s=timeout_s,
            watch=lambda: self.progress,
            say=self.say,
            give_up=give_up,
            end=self.end,
        )


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


@pytest.fixture
def metrics() -> Iterator[list[str]]:
    """A server whose ``/metrics`` answers with the last text of the list; its URL comes first."""
    texts: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = texts[-1].encode()
            self.send_response(200 if self.path == "/metrics" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- named by the base class
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    texts.append(f"http://127.0.0.1:{server.server_port}/")
    yield texts
    server.shutdown()
    server.server_close()


def test_words_go_into_files_and_the_exit_code_is_returned(run: Run) -> None:
    launched = run("import os, sys; print(os.environ['GREETING']); print('bad', file=sys.stderr); sys.exit(3)")
    assert launched.exit_code == 3
    assert launched.started.endswith("+00:00")
    assert (run.folder / "stdout.log").read_text(encoding="utf-8") == "hello\n"
    assert (run.folder / "stderr.log").read_text(encoding="utf-8") == "bad\n"
    assert len(run.ended) == 1


def test_each_new_stage_is_said_at_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "LOOK_S", 0.01)
    run.progress = Progress(1, 0)
    run("import time; time.sleep(0.5)")
    assert run.lines == ["load: stage 2/4, 0 of ~48 s"]


def test_time_requests_and_failures_are_said_every_few_seconds(
    run: Run, metrics: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "LOOK_S", 0.01)
    monkeypatch.setattr(progress_line, "EVERY_S", 0.1)
    url = metrics[0]
    metrics.append('vllm:request_success_total{finished_reason="stop"} 100.0\n')

    def say(line: str) -> None:
        run.lines.append(line)
        run.progress = Progress(1, 2)
        metrics.append(
            'vllm:request_success_total{finished_reason="stop"} 140.0\n'
            'vllm:request_success_total{finished_reason="length"} 1.0\n'
            'http_requests_total{handler="/v1/completions",method="POST",status="4xx"} 3.0\n'
        )

    monkeypatch.setattr(run, "say", say)
    run("import time; time.sleep(0.8)", url=url)
    assert run.lines[0] == "load: starting, 0 of ~48 s"
    assert run.lines[1] == "load: stage 2/4, 0 of ~48 s, 41 requests done, 5 failed"


def test_of_a_program_that_tells_nothing_the_servers_count_is_said(
    run: Run, metrics: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress_line, "EVERY_S", 0.1)
    url = metrics[0]
    metrics.append("vllm:request_success_total 7\n")

    def say(line: str) -> None:
        run.lines.append(line)
        metrics.append("vllm:request_success_total 9\n")

    monkeypatch.setattr(run, "say", say)
    run("import time; time.sleep(0.9)", url=url)
    assert run.lines[0] == "load: starting, 0 of ~48 s"
    assert re.fullmatch(r"load: \d of ~48 s, 2 requests done", run.lines[1])


def test_a_program_that_takes_too_long_is_ended_with_the_last_it_said(run: Run) -> None:
    started = time.monotonic()
    with pytest.raises(HarnessError, match=r"took longer than its 1 s \(48 s were expected\)") as caught:
        run("import time; print('thinking', flush=True); time.sleep(60)", timeout_s=1)
    assert "thinking" in str(caught.value)
    assert time.monotonic() - started < 10
    assert len(run.ended) == 1
    assert (run.folder / "stdout.log").exists()


def test_a_load_that_is_given_up_is_told_to_end_and_its_files_stay(run: Run) -> None:
    program = (
        "import pathlib, signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('bye', flush=True), sys.exit(5)))\n"
        "pathlib.Path('there').touch()\n"
        "time.sleep(60)"
    )
    launched = run(program, give_up=lambda _: "hopeless" if (run.folder / "there").exists() else None)
    assert (launched.abandoned, launched.exit_code) == ("hopeless", 5)
    assert launched.elapsed_s < 30
    assert (run.folder / "stdout.log").read_text(encoding="utf-8") == "bye\n"


def test_a_load_that_ends_before_it_is_given_up_was_not(run: Run) -> None:
    assert run("pass", give_up=lambda elapsed: "hopeless" if elapsed > 20 else None).abandoned is None


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ZeroDivisionError])
def test_an_interruption_ends_the_program_and_its_children(
    run: Run, stop: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(_: str) -> None:
        # Only once the program has started its child.
        while not (run.folder / "child").exists() or not (run.folder / "child").read_text(encoding="utf-8"):
            time.sleep(0.01)
        raise stop

    monkeypatch.setattr(run, "say", say)
    run.progress = Progress(0)
    child = f"import subprocess; p = subprocess.Popen([{sys.executable!r}, '-c', 'import time; time.sleep(60)'])"
    with pytest.raises(stop):
        run(f"{child}; open('child', 'w').write(str(p.pid)); p.wait()")
    pid = int((run.folder / "child").read_text(encoding="utf-8"))
    deadline = time.monotonic() + 10
    while _alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_program_that_is_not_there_is_named(run: Run) -> None:
    with pytest.raises(HarnessError, match="load could not be started"):
        launch(
            Command(("/nowhere/load",), run.folder),
            Outline("load", NOWHERE),
            timeout_s=1,
            watch=Progress,
            say=run.say,
        )


@pytest.mark.parametrize(
    "text", ["", "vllm:request_success_total nonsense\n", "\0\0", "vllm:request_success_total Inf\n"]
)
def test_a_server_without_counts_counts_nothing(metrics: list[str], text: str) -> None:
    url = metrics[0]
    metrics.append(text)
    assert ServerCounts(url).look() == Counts()
    assert ServerCounts(NOWHERE).look() == Counts()


def test_a_server_that_was_restarted_counts_from_nothing(metrics: list[str]) -> None:
    url = metrics[0]
    metrics.append("vllm:request_success_total 50\n")
    counts = ServerCounts(url)
    metrics.append("vllm:request_success_total 7\n")
    assert counts.look() == Counts(done=0)


def test_a_server_that_counts_its_answers_says_that_none_was_refused(metrics: list[str]) -> None:
    url = metrics[0]
    served = (
        'vllm:request_success_total 3\nhttp_requests_total{handler="/v1/completions",method="POST",status="2xx"} 3\n'
    )
    metrics.append(served)
    counts = ServerCounts(url)
    assert counts.look() == Counts(done=0, refused=0)
    metrics.append(served + 'http_requests_total{handler="/v1/completions",method="POST",status="5xx"} 2\n')
    assert counts.look() == Counts(done=0, refused=2)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except (ProcessLookupError, FileNotFoundError):
        return False
    return state != "Z"
