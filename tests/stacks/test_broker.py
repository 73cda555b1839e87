"""Workers borrow over a real socket; a worker that is gone holds nothing."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client

import pytest

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks import processes
from pytest_llmdbench.stacks.broker import Broker, RemotePool
from pytest_llmdbench.stacks.pool import StackPool
from tests.stacks.world import SOON_S, World, eventually, spec


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def pool(world: World) -> Iterator[StackPool]:
    pool = world.pool({})
    yield pool
    assert pool.close(SOON_S)


@pytest.fixture
def broker(pool: StackPool, world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Broker]:
    monkeypatch.setenv(processes.MARK, "replaced at once")
    processes.new_mark()
    broker = Broker(pool, world.lines.append)
    yield broker
    broker.close()


def remote(broker: Broker, worker: str = "gw0") -> RemotePool:
    made = RemotePool(broker.address, worker)
    made.plan({"a": spec("s"), "b": spec("s")})
    return made


def leave(worker: RemotePool) -> None:
    worker._connection.close()


def test_a_worker_borrows_looks_and_gives_back(broker: Broker, world: World) -> None:
    worker = remote(broker)
    endpoint = worker.acquire("s")
    assert (endpoint.url, endpoint.model, endpoint.tokenizer, endpoint.facts) == ("http://s", "m", "t", {})
    worker.reset("s")
    assert worker.observe("s") == {"key": "s"}
    worker.release("s")
    assert world.events == ["up s", "reset s"]


def test_the_plan_of_every_worker_is_the_same_plan(broker: Broker, pool: StackPool, world: World) -> None:
    workers = [remote(broker, name) for name in ("gw0", "gw1")]
    assert pool.stack_of("a") == "s"
    workers[0].acquire("s")
    pool.finish("a")
    pool.finish("b")
    eventually(lambda: world.count("down s") == 1)


def test_a_workers_lines_are_shown_with_its_name(broker: Broker, world: World) -> None:
    remote(broker, "gw3").say("50 % of 1000 requests")
    assert world.lines == ["[gw3] 50 % of 1000 requests"]


def test_a_failed_standup_is_the_workers_error_too(broker: Broker, world: World) -> None:
    world.broken.add("s")
    worker = remote(broker)
    with pytest.raises(StandupError, match="no GPU is free"):
        worker.acquire("s")
    with pytest.raises(StandupError, match="earlier case"):
        worker.acquire("s")


def test_a_mistake_behind_one_call_is_an_error_and_the_worker_goes_on(broker: Broker) -> None:
    worker = remote(broker)
    with pytest.raises(StandupError, match="KeyError"):
        worker.acquire("never planned")
    assert worker.acquire("s").url == "http://s"


def test_nothing_but_the_pools_methods_can_be_called(broker: Broker) -> None:
    with pytest.raises(StandupError, match="KeyError"):
        remote(broker)._call("close")


def test_who_does_not_know_the_key_gets_nothing_and_keeps_nobody_out(broker: Broker) -> None:
    place = (broker.address["host"], int(broker.address["port"]))
    with socket.create_connection(place):  # it says nothing at all
        with pytest.raises(AuthenticationError):
            Client(place, authkey=b"a guess")
        assert remote(broker).acquire("s")


def test_what_a_dead_worker_had_is_free_for_the_next(broker: Broker, world: World) -> None:
    dying, next_one = remote(broker, "gw0"), remote(broker, "gw1")
    dying.acquire("s")
    leave(dying)
    assert next_one.acquire("s")
    assert world.events == ["up s"]


def test_a_worker_that_died_while_it_waited_gets_nothing(broker: Broker, pool: StackPool, world: World) -> None:
    world.gate.clear()
    dying = remote(broker, "gw0")
    dying._send("acquire", "s")
    assert world.rising.wait(SOON_S)
    leave(dying)
    eventually(lambda: "gw0" in pool._gone)
    world.gate.set()
    assert remote(broker, "gw1").acquire("s")


def test_a_worker_is_gone_when_xdist_says_so_even_if_its_connection_is_held_open(broker: Broker) -> None:
    dying, next_one = remote(broker, "gw0"), remote(broker, "gw1")
    dying.acquire("s")
    broker.gone("gw0")
    assert next_one.acquire("s")


def test_the_load_of_a_dead_worker_is_ended_before_the_next_one_gets_its_stack(broker: Broker) -> None:
    dying, next_one = remote(broker, "gw0"), remote(broker, "gw1")
    dying.acquire("s")
    load = processes.start([sys.executable, "-c", "import time; time.sleep(300)"], env={processes.WORKER: "gw0"})
    leave(dying)
    next_one.acquire("s")
    assert load.poll() == -signal.SIGTERM


def test_an_interrupted_wait_leaves_the_connection_good_for_the_next_case(broker: Broker, world: World) -> None:
    world.gate.clear()
    worker = remote(broker)

    class TookTooLong(Exception):
        """What a timeout plugin raises."""

    def interrupt(*_: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        with pytest.raises(TookTooLong):
            worker.acquire("s")
    finally:
        signal.signal(signal.SIGALRM, before)
    world.gate.set()
    assert worker.acquire("s").url == "http://s"
    worker.release("s")
    assert remote(broker, "gw1").acquire("s")


def test_whoever_waits_at_the_end_of_the_run_is_told(broker: Broker, world: World) -> None:
    world.gate.clear()
    worker = remote(broker)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(worker.acquire, "s")
        assert world.rising.wait(SOON_S)
        broker.close()
        with pytest.raises(StandupError, match="controller"):
            waiting.result(SOON_S)
    world.gate.set()


def test_a_worker_without_a_controller_says_so(broker: Broker) -> None:
    broker.close()
    with pytest.raises(StandupError, match="does not answer"):
        RemotePool(broker.address, "gw0")


def test_no_thread_is_left_and_the_port_is_closed_at_the_end(broker: Broker) -> None:
    remote(broker)
    broker.close()
    eventually(lambda: not any(thread.name.startswith("llmdbench") for thread in threading.enumerate()))


def test_a_worker_in_a_process_of_its_own_that_is_killed_holds_nothing(broker: Broker, world: World) -> None:
    code = """
import json, sys, time
from pytest_llmdbench.stacks.broker import RemotePool
pool = RemotePool(json.loads(sys.argv[1]), "gw0")
print(pool.acquire("s").url, flush=True)
time.sleep(300)
"""
    other = remote(broker, "gw1")
    worker = subprocess.Popen([sys.executable, "-c", code, json.dumps(broker.address)], stdout=subprocess.PIPE)
    with worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"http://s\n"
        os.kill(worker.pid, signal.SIGKILL)
        assert other.acquire("s")
    assert world.events == ["up s"]
