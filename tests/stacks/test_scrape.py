"""Metrics are read while a load runs, whatever servers answer, and no longer."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import json
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_llmdbench.results.server_metrics.scraped import Look, Scrape, Target
from pytest_llmdbench.stacks import processes, scrape_http
from pytest_llmdbench.stacks.broker import Broker, RemotePool
from pytest_llmdbench.stacks.local import LocalDeployment
from pytest_llmdbench.stacks.pool import StackPool
from pytest_llmdbench.stacks.scrape import Scraping
from pytest_llmdbench.stacks.scrape_http import from_here
from pytest_llmdbench.stacks.spec import StackSpec
from tests.stacks.world import Fake, World, eventually, spec

#: Longer than any test: only the first and the last round are made.
NEVER = 3600.0
ONE = Target("pod-0", "decode", "http://10.0.0.1:8000/metrics", "pod-0")
#: What may be sent by a server of a test.
Answer = Callable[[http.server.BaseHTTPRequestHandler], None]


def text(tokens: float) -> str:
    return f"vllm:generation_tokens_total {tokens}\n"


def says(*texts: str | None, restarts: Sequence[int] | None = None) -> Look:
    """A look at one target that says one text after the other, the last one for ever; None: it does not answer."""
    left = list(texts)
    restarted = list(restarts or [])

    def look() -> list[Scrape]:
        said = left.pop(0) if len(left) > 1 else left[0]
        count = (restarted.pop(0) if len(restarted) > 1 else restarted[0]) if restarted else None
        return [Scrape(ONE, time.time(), said, None if said else "it does not answer", count)]

    return look


def threads() -> int:
    return sum(thread.name == "scrape" for thread in threading.enumerate())


@contextlib.contextmanager
def server(answer: Answer) -> Iterator[str]:
    """A server that answers ``/metrics`` so; its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            with contextlib.suppress(OSError):
                answer(self)

        def log_message(self, *_: Any) -> None:
            pass

    one = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=one.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{one.server_address[1]}/metrics"
    finally:
        one.shutdown()
        thread.join()
        one.server_close()


#: Half an answer that ends with a line.
_HALF = b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nvllm:generation_tokens_total 12\n"


def sends(body: bytes, status: int = 200) -> Answer:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.end_headers()
        request.wfile.write(body)

    return answer


def test_what_is_counted_between_the_first_and_the_last_look_is_the_loads(tmp_path: Path) -> None:
    data = Scraping(says(text(100), text(140)), NEVER, tmp_path).end()
    assert data["totals"]["generation_tokens"] == 40
    assert (data["interval_s"], data["rounds"], data["targets"][0]["scrapes"]) == (NEVER, 2, 2)
    assert json.loads(json.dumps(data, allow_nan=False)) == data


def test_there_is_a_look_every_few_seconds_in_between(tmp_path: Path) -> None:
    seen = threading.Event()
    looks: list[float] = []

    def look() -> list[Scrape]:
        looks.append(time.monotonic())
        if len(looks) == 4:
            seen.set()
        return [Scrape(ONE, time.time(), text(len(looks)))]

    scraping = Scraping(look, 0.05, tmp_path)
    assert seen.wait(10)
    data = scraping.end()
    assert data["rounds"] == len(looks) >= 5
    assert [point[1] for point in data["components"][0]["series"]["generation_tokens"]["points"]][:3] == [0, 1, 2]


def test_what_a_server_said_first_and_last_is_kept_as_it_said_it(tmp_path: Path) -> None:
    Scraping(says(text(1), text(2)), NEVER, tmp_path).end()
    kept = {path.name: gzip.decompress(path.read_bytes()).decode() for path in (tmp_path / "server").iterdir()}
    assert kept == {"pod-0.first.prom.gz": text(1), "pod-0.last.prom.gz": text(2)}


def test_a_server_that_does_not_answer_is_told_of_and_harms_nothing(tmp_path: Path) -> None:
    data = Scraping(says(text(1), None), NEVER, tmp_path).end()
    target = data["targets"][0]
    assert (target["scrapes"], target["failed"], target["error"]) == (1, 1, "it does not answer")
    assert data["totals"]["generation_tokens"] == 0


def test_a_look_that_fails_as_a_whole_is_told_of_and_the_next_one_is_tried(tmp_path: Path) -> None:
    good = says(text(1), text(5))
    failures = iter([None, RuntimeError("no way to the cluster"), None])

    def look() -> Sequence[Scrape]:
        failure = next(failures)
        if failure is not None:
            raise failure
        return good()

    scraping = Scraping(look, NEVER, tmp_path)
    scraping._round()
    data = scraping.end()
    assert data["error"] == "no way to the cluster"
    assert data["totals"]["generation_tokens"] == 4


def test_who_is_found_only_after_a_failure_is_not_taken_for_new(tmp_path: Path) -> None:
    answers = iter([None, text(1000), text(1010)])

    def look() -> Sequence[Scrape]:
        said = next(answers)
        if said is None:
            raise RuntimeError("no way to the cluster")
        return [Scrape(ONE, time.time(), said, restarts=7)]

    scraping = Scraping(look, NEVER, tmp_path)
    scraping._round()
    data = scraping.end()
    assert data["totals"]["generation_tokens"] == 10
    assert data["totals"]["restarts"] == 0


def test_a_pod_that_is_found_later_came_up_later(tmp_path: Path) -> None:
    late = Target("pod-1", "decode", "http://10.0.0.2:8000/metrics", "pod-1")
    rounds = iter([[(ONE, 5)], [(ONE, 6), (late, 30)]])

    def look() -> Sequence[Scrape]:
        return [Scrape(target, time.time(), text(tokens)) for target, tokens in next(rounds)]

    assert Scraping(look, NEVER, tmp_path).end()["totals"]["generation_tokens"] == 31


def test_a_server_whose_series_are_ever_others_is_given_up(tmp_path: Path) -> None:
    count = iter(range(100))

    def look() -> list[Scrape]:
        number = next(count)
        lines = (f'vllm:generation_tokens_total{{x="{number}-{one}"}} 1\n' for one in range(15_000))
        return [Scrape(ONE, time.time(), "".join(lines))]

    scraping = Scraping(look, NEVER, tmp_path)
    for _ in range(3):
        scraping._round()
    target = scraping.end()["targets"][0]
    assert (target["scrapes"], target["failed"]) == (2, 3)
    assert "more than 20000 series" in target["error"]


def test_restarts_of_a_pods_containers_are_counted_from_the_loads_begin(tmp_path: Path) -> None:
    data = Scraping(says(text(1), text(1), restarts=[3, 5]), NEVER, tmp_path).end()
    assert data["targets"][0]["restarts"] == data["totals"]["restarts"] == 2


def test_a_look_that_hangs_does_not_keep_a_result_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_llmdbench.stacks.scrape._PATIENCE_S", 0.05)
    hangs, goes_on, ended = threading.Event(), threading.Event(), threading.Event()
    looks: list[int] = []

    def look() -> list[Scrape]:
        looks.append(1)
        if len(looks) > 1:
            hangs.set()
            goes_on.wait(10)
            ended.set()
        return [Scrape(ONE, time.time(), text(len(looks)))]

    scraping = Scraping(look, 0.01, tmp_path)
    assert hangs.wait(10)
    data = scraping.end()
    assert "did not end" in data["error"]
    assert data["totals"]["generation_tokens"] == 0
    goes_on.set()
    assert ended.wait(10)
    eventually(lambda: threads() == 0)


def test_a_folder_that_cannot_be_written_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    data = Scraping(says(text(1)), NEVER, tmp_path / "file").end()
    assert "could not be written" in data["error"]


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (sends(b"", 404), "it answers 404 Not Found"),
        (sends(b"", 503), "it answers 503"),
        (sends(b"<html>please log in</html>\n"), "none of its metrics is known"),
        (sends(b"vllm:generation_tokens_total 12"), "it was cut short"),
        (sends(b"vllm:generation_tokens_total many\n"), "a line cannot be read"),
        (sends(b"\xff\xfe\x00\n"), "none of its metrics is known"),
        (sends(b"process_start_time_seconds 12\n"), "none of its metrics is known"),
        (lambda request: request.wfile.write(b"not HTTP at all\r\n\r\n"), "not HTTP at all"),
        (lambda request: request.wfile.write(_HALF), "it was cut short"),
        (lambda request: None, "closed connection"),
    ],
)  # fmt: skip
def test_whatever_a_server_answers_is_no_error_of_the_load(answer: Answer, why: str, tmp_path: Path) -> None:
    with server(answer) as url:
        data = Scraping(from_here([Target("server", "server", url)]), NEVER, tmp_path).end()
    assert "error" not in data
    target = data["targets"][0]
    assert target["scrapes"] == 0
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(target["error"])
    assert data["components"] == []


def test_nobody_there_is_told(tmp_path: Path) -> None:
    data = Scraping(from_here([Target("server", "server", "http://127.0.0.1:1/metrics")]), NEVER, tmp_path).end()
    assert "Connection refused" in data["targets"][0]["error"]


def test_an_answer_without_end_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape_http, "MOST_BYTES", 100_000)

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b"# more\n" * 1000)

    with server(answer) as url:
        (scrape,) = from_here([Target("server", "server", url)])()
    assert "its answer is longer than" in str(scrape.error)


def test_an_answer_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scrape_http, "SECONDS", 0.3)

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        while True:
            request.wfile.write(b"#\n")
            time.sleep(0.05)

    with server(answer) as url:
        (scrape,) = from_here([Target("server", "server", url)])()
    assert "took longer than" in str(scrape.error)


# -- for whom a stack is borrowed ------------------------------------------------------------------------------------


class Watched(Fake):
    """A stand-in whose metrics count the looks at them."""

    looks = 0

    def look(self) -> Look:
        def one() -> list[Scrape]:
            self.looks += 1
            return [Scrape(ONE, time.time(), text(self.looks))]

        return one


class WatchedWorld(World):
    def deployment(self, spec: StackSpec, say: Callable[[str], None]) -> Fake:
        return Watched(self, spec.key)


@pytest.fixture
def pool() -> Iterator[StackPool]:
    made = WatchedWorld().pool({"a": "s", "b": "s"})
    made.acquire("s", "gw0")
    yield made
    made.close()
    eventually(lambda: threads() == 0)


def test_a_stacks_metrics_are_in_what_it_says_of_itself_once_for_each_load(pool: StackPool, tmp_path: Path) -> None:
    pool.scrape("s", NEVER, tmp_path)
    said = pool.observe("s")
    assert said["key"] == "s"
    assert said["metrics"]["totals"]["generation_tokens"] == 1
    assert "metrics" not in pool.observe("s")


@pytest.mark.parametrize("how", ["release", "drop", "close", "scrape"])
def test_looking_ends_however_the_load_ends(pool: StackPool, tmp_path: Path, how: str) -> None:
    pool.scrape("s", 0.02, tmp_path)
    assert threads() == 1
    if how == "release":
        pool.release("s", "gw0")
    elif how == "drop":
        pool.drop("gw0")
    elif how == "close":
        pool.close()
    else:
        pool.scrape("s", NEVER, tmp_path)
        pool.observe("s")
    eventually(lambda: threads() == 0)
    assert not (tmp_path / "server").exists() or how == "scrape"


def test_a_stack_without_metrics_is_not_asked(tmp_path: Path) -> None:
    pool = World().pool({"a": "s"})
    pool.acquire("s", "gw0")
    pool.scrape("s", NEVER, tmp_path)
    assert pool.observe("s") == {"key": "s"}
    pool.close()


def test_a_worker_has_the_controller_look(pool: StackPool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(processes.MARK, "replaced at once")
    processes.new_mark()
    broker = Broker(pool, lambda line: None)
    worker = RemotePool(broker.address, "gw0")
    worker.plan({"a": spec("s")})
    worker.acquire("s")
    worker.scrape("s", NEVER, tmp_path)
    assert worker.observe("s")["metrics"]["totals"]["generation_tokens"] == 1
    assert {path.name for path in (tmp_path / "server").iterdir()} == {"pod-0.first.prom.gz", "pod-0.last.prom.gz"}
    worker.scrape("s", 0.02, tmp_path)
    worker._connection.close()  # as it is when a worker dies
    eventually(lambda: threads() == 0)
    broker.close()


def test_the_simulators_counters_rise_by_what_its_clients_were_told(tmp_path: Path) -> None:
    config = {
        "model": {"name": "some/model", "tokenizer": "none"},
        "simulator": {"max_model_len": 4096, "max_num_seqs": 4, "ttft": 0.02, "itl": 0.004},
        "timeouts": {"standup_s": 60.0},
    }
    deployment = LocalDeployment(StackSpec("local", "local", config), lambda line: None)
    try:
        url = deployment.up().url
        deployment.reset()
        scraping = Scraping(deployment.look(), 0.05, tmp_path)
        with ThreadPoolExecutor(8) as clients:
            usages = list(clients.map(lambda number: _ask(url, number), range(60)))
        data = scraping.end()
    finally:
        deployment.down()
    totals = data["totals"]
    assert totals["requests_finished.length"] == 60
    assert totals["prompt_tokens"] == sum(usage["prompt_tokens"] for usage in usages)
    assert totals["generation_tokens"] == sum(usage["completion_tokens"] for usage in usages)
    assert totals["running.max"] == 4
    assert totals["waiting.max"] >= 1
    assert 0 < totals["prefix_cache_hit_rate"] < 1
    assert 0 < totals["kv_cache_usage.max"] <= 1
    assert 0.02 <= totals["ttft.mean"] < totals["e2e.mean"]
    assert data["components"][0]["aggregate"]["ttft"]["count"] == 60
    who = {"label": "server", "role": "server", "pod": None, "url": f"{url}/metrics"}
    assert data["targets"] == [{**who, "scrapes": data["rounds"], "restarts": 0}]


def _ask(url: str, number: int) -> dict[str, int]:
    prompt = "the same beginning for everybody " * 20 + f" and then {number} " * number
    body = json.dumps({"model": "some/model", "prompt": prompt, "max_tokens": 12}).encode()
    request = urllib.request.Request(f"{url}/v1/completions", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        usage: dict[str, int] = json.load(answer)["usage"]
    return usage
