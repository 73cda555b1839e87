"""The pool: up on first need, one borrower at a time, down after the last case."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.pool import StackPool
from tests.stacks.world import SOON_S, World, eventually, spec


@pytest.fixture
def world() -> World:
    return World()


def test_a_stack_comes_up_at_first_need_and_only_once(world: World) -> None:
    pool = world.pool({"a": "s", "b": "s", "c": "other"})
    assert world.events == []
    for case in ("a", "b"):
        assert pool.acquire("s", "gw0").url == "http://s"
        pool.release("s", "gw0")
        assert world.count("down s") == 0, case
    assert world.events == ["up s"]
    pool.close()


def test_a_stack_goes_down_in_the_background_when_its_last_case_is_over(world: World) -> None:
    pool = world.pool({"a": "s", "b": "s"})
    pool.acquire("s", "gw0")
    pool.finish("a")
    pool.release("s", "gw0")
    assert world.events == ["up s"]
    pool.finish("a test that is no case")
    pool.finish("b")
    eventually(lambda: world.count("down s") == 1)
    pool.close()
    assert world.events == ["up s", "down s"]


def test_two_loads_are_never_sent_to_one_stack(world: World) -> None:
    pool = world.pool({str(number): "s" for number in range(40)})
    using, most = 0, 0

    def case(number: int) -> None:
        nonlocal using, most
        borrower = f"gw{number % 4}"
        with borrowers[number % 4]:  # a worker runs one case at a time
            pool.acquire("s", borrower)
            using += 1
            most = max(most, using)
            time.sleep(0.001)
            using -= 1
            pool.release("s", borrower)
            pool.finish(str(number))

    borrowers = [threading.Lock() for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(case, range(40)))
    pool.close()
    assert most == 1
    assert world.events == ["up s", "down s"]


def test_two_stacks_are_up_side_by_side(world: World) -> None:
    pool = world.pool({"a": "one", "b": "two"})
    pool.acquire("one", "gw0")
    pool.acquire("two", "gw1")
    assert world.events == ["up one", "up two"]
    pool.close()


def test_a_failed_standup_is_remembered_told_in_one_line_and_taken_down(world: World) -> None:
    world.broken.add("s")
    pool = world.pool({"a": "s", "b": "s"})
    with pytest.raises(StandupError, match="here is why"):
        pool.acquire("s", "gw0")
    with pytest.raises(StandupError) as raised:
        pool.acquire("s", "gw0")
    assert "no GPU is free" in str(raised.value)
    assert "\n" not in str(raised.value)
    eventually(lambda: world.count("down s") == 1)
    assert world.count("up s") == 1
    assert "no GPU is free" in pool.records()[0]["error"]
    pool.close()
    assert world.count("down s") == 1


def test_a_mistake_in_a_deployment_is_a_failed_standup(world: World) -> None:
    pool = StackPool({}, world.lines.append)
    pool.plan({"a": spec("s")})
    with pytest.raises(StandupError, match="KeyError"):
        pool.acquire("s", "gw0")
    assert pool.close(SOON_S)


def test_the_end_of_the_run_does_not_wait_for_a_standup(world: World) -> None:
    world.gate.clear()
    pool = world.pool({"a": "s"})
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(pool.acquire, "s", "gw0")
        assert world.rising.wait(SOON_S)
        assert pool.close(SOON_S)
        with pytest.raises(StandupError):
            waiting.result()
    assert world.events == ["up s", "interrupt s", "down s"]


def test_nothing_comes_up_after_the_end(world: World) -> None:
    pool = world.pool({"a": "s"})
    assert pool.close()
    with pytest.raises(StandupError, match="ending"):
        pool.acquire("s", "gw0")
    assert world.events == []


def test_stacks_are_taken_down_side_by_side(world: World) -> None:
    world.falling = threading.Barrier(3)  # none gets through before all three are there
    pool = world.pool({"a": "one", "b": "two", "c": "three"})
    for key in ("one", "two", "three"):
        pool.acquire(key, "gw0")
    assert pool.close(SOON_S)
    assert sorted(world.events[3:]) == ["down one", "down three", "down two"]
    assert pool.close()
    assert len(world.events) == 6


def test_closing_again_waits_on_for_what_is_still_going_down(world: World) -> None:
    world.falling = threading.Barrier(2)
    pool = world.pool({"a": "s"})
    pool.acquire("s", "gw0")
    assert not pool.close(0.05)
    world.falling.wait(SOON_S)
    assert pool.close(SOON_S)


def test_a_failed_teardown_is_reported_and_the_others_go_down(world: World) -> None:
    world.stubborn.add("one")
    pool = world.pool({"a": "one", "b": "two"})
    pool.acquire("one", "gw0")
    pool.acquire("two", "gw1")
    assert pool.close(SOON_S)
    errors = {record["key"]: record["error"] for record in pool.records()}
    assert errors == {"one": "it could not be taken down: the volume is held", "two": None}


def test_a_dead_borrowers_stack_is_free_for_the_next(world: World) -> None:
    pool = world.pool({"a": "s", "b": "s"})
    pool.acquire("s", "gw0")
    assert pool.try_acquire("s", "gw1", 0.05) is None
    pool.drop("gw0")
    assert pool.acquire("s", "gw1")
    assert world.events == ["up s"]
    pool.close()


def test_only_the_borrower_can_give_a_stack_back(world: World) -> None:
    pool = world.pool({"a": "s", "b": "s"})
    pool.acquire("s", "gw0")
    pool.release("s", "gw1")
    assert pool.try_acquire("s", "gw1", 0.05) is None
    pool.close()


def test_the_plan_of_a_replacing_worker_does_not_bring_finished_cases_back(world: World) -> None:
    cases = {"a": "s", "b": "s"}
    pool = world.pool(cases)
    pool.acquire("s", "gw0")
    pool.finish("a")
    pool.plan({case: spec(key) for case, key in cases.items()})
    pool.finish("b")
    eventually(lambda: world.count("down s") == 1)
    assert pool.stack_of("b") == "s"
    pool.close()


def test_a_case_that_is_run_again_after_the_last_gets_its_stack_once_more(world: World) -> None:
    pool = world.pool({"a": "s"})
    pool.acquire("s", "gw0")
    pool.release("s", "gw0")
    pool.finish("a")
    assert pool.acquire("s", "gw0")
    pool.release("s", "gw0")
    eventually(lambda: world.count("down s") == 2)
    assert pool.close(SOON_S)


def test_no_more_stacks_are_up_than_the_cluster_may_hold(world: World) -> None:
    pool = world.pool({"a": "one", "b": "two"}, max_stacks=1)
    pool.acquire("one", "gw0")
    assert pool.try_acquire("two", "gw1", 0.05) is None
    assert world.events == ["up one"]
    pool.release("one", "gw0")
    assert pool.try_acquire("two", "gw1", 0.05) is None, "gw0 has more cases for it"
    pool.finish("a")
    pool.acquire("two", "gw1")
    assert world.events == ["up one", "down one", "up two"]
    pool.close()


def test_cases_in_mixed_order_do_not_wait_for_themselves_at_capacity(world: World) -> None:
    pool = world.pool({"a": "one", "b": "two", "c": "one"}, max_stacks=1)
    for key in ("one", "two", "one"):
        pool.acquire(key, "main")
        pool.release(key, "main")
    pool.close()
    assert world.events == ["up one", "down one", "up two", "down two", "up one", "down one"]


def test_reset_and_observe_reach_the_deployment(world: World) -> None:
    pool = world.pool({"a": "s"})
    with pytest.raises(StandupError, match="down"):
        pool.observe("s")
    pool.acquire("s", "gw0")
    pool.reset("s")
    assert pool.observe("s") == {"key": "s"}
    assert world.events == ["up s", "reset s"]
    pool.close()


def test_there_is_a_record_of_every_stack_that_was_needed(world: World) -> None:
    pool = world.pool({"a": "s", "b": "s", "c": "never"})
    for _ in range(2):
        pool.acquire("s", "gw0")
        pool.release("s", "gw0")
    pool.close()
    (record,) = pool.records()
    assert (record["key"], record["uses"], record["error"]) == ("s", 2, None)
    assert record["standup_s"] >= 0
    assert record["teardown_s"] >= 0


def test_a_line_that_cannot_be_shown_stops_nothing(world: World) -> None:
    def broken(line: str) -> None:
        raise BrokenPipeError

    pool = StackPool({"fake": world.deployment}, broken)
    pool.plan({"a": spec("s")})
    assert pool.acquire("s", "gw0")
    assert pool.close(SOON_S)
    assert world.events == ["up s", "down s"]


def test_a_ctrl_c_in_the_instant_that_a_stack_begins_leaves_no_stack(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = world.pool({"a": "s"})
    begun: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        begun.append(thread)
        monkeypatch.undo()
        thread.start()
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(KeyboardInterrupt):
        pool.acquire("s", "main")
    begun[0].join(SOON_S)
    assert world.events == []
    assert pool.acquire("s", "main"), "and it can begin later"
    assert pool.close(SOON_S)
    assert world.events == ["up s", "down s"]
