"""The scheduler, with workers that only write down what they are sent."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from pytest_llmdbench.stacks.scheduler import StackScheduling


class Worker:
    """An xdist worker as its controller sees it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent: list[int] = []
        self.shutting_down = False

    def __repr__(self) -> str:
        return self.name

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        assert not self.shutting_down, "a worker that was let go is sent a test: it would never run"
        self.sent += indices

    def shutdown(self) -> None:
        self.shutting_down = True


class Run:
    """A session of workers on tests named ``<stack>-<number>``; a stack named ``-`` is none."""

    def __init__(self, workers: int, *tests: str) -> None:
        self.tests = list(tests)
        self.scheduling = StackScheduling(workers, lambda nodeid: nodeid[0] if nodeid[0] != "-" else None)
        self.workers: list[Worker] = []
        self.done: dict[Worker, list[int]] = {}
        for _ in range(workers):
            self.join()

    def join(self) -> Worker:
        worker = Worker(f"gw{len(self.workers)}")
        self.workers.append(worker)
        self.done[worker] = []
        self.scheduling.add_node(worker)
        self.scheduling.add_node_collection(worker, self.tests)
        if self.scheduling.collection_is_completed:
            self.scheduling.schedule()
        return worker

    def names(self, worker: Worker) -> list[str]:
        return [self.tests[index] for index in worker.sent]

    def running(self, worker: Worker) -> int | None:
        """What a worker runs now: it starts a test only when it knows the next one, or that there is none."""
        left = worker.sent[len(self.done[worker]) :]
        return left[0] if len(left) > 1 or (left and worker.shutting_down) else None

    def step(self, worker: Worker) -> bool:
        index = self.running(worker)
        if index is None:
            return False
        self.done[worker].append(index)
        self.scheduling.mark_test_complete(worker, index, 0.1)
        if self.scheduling.tests_finished:
            for node in self.scheduling.nodes:
                node.shutdown()
        return True

    def crash(self, worker: Worker) -> str | None:
        return self.scheduling.remove_node(worker)

    def finish(self) -> list[str]:
        """Run on until nobody can; what was run, by name."""
        while [worker for worker in self.workers if worker in self.scheduling.nodes and self.step(worker)]:
            pass
        return [self.tests[index] for worker in self.workers for index in self.done[worker]]


def test_all_cases_of_one_stack_go_to_one_worker() -> None:
    run = Run(2, "a1", "b1", "a2", "b2", "a3", "b3")
    ran = run.finish()
    assert sorted(ran) == sorted(run.tests)
    assert [{name[0] for name in run.names(worker)} for worker in run.workers] == [{"a"}, {"b"}]
    assert run.scheduling.tests_finished
    assert not run.scheduling.has_pending


def test_a_worker_is_never_sent_more_than_two_tests() -> None:
    run = Run(1, *[f"a{number}" for number in range(5)])
    (worker,) = run.workers
    while True:
        assert len(worker.sent) - len(run.done[worker]) <= 2
        if not run.step(worker):
            break
    assert len(run.done[worker]) == 5


def test_the_stack_with_most_cases_starts_first() -> None:
    run = Run(1, "a1", "b1", "b2", "c1", "b3", "c2")
    assert run.finish() == ["b1", "b2", "b3", "c1", "c2", "a1"]


def test_tests_that_need_no_stack_are_spread_freely() -> None:
    run = Run(2, "-1", "-2", "-3", "-4", "a1", "a2", "a3")
    ran = run.finish()
    assert sorted(ran) == sorted(run.tests)
    assert all(any(name.startswith("-") for name in run.names(worker)) for worker in run.workers)
    assert sum("a1" in run.names(worker) for worker in run.workers) == 1


def test_workers_without_a_stack_are_let_go() -> None:
    run = Run(3, "a1", "a2", "a3")
    assert [worker.shutting_down for worker in run.workers] == [False, True, True]
    assert run.finish() == ["a1", "a2", "a3"]


def test_more_stacks_than_workers_are_taken_as_workers_become_free() -> None:
    run = Run(2, "a1", "a2", "b1", "b2", "c1", "d1")
    assert sorted(run.finish()) == ["a1", "a2", "b1", "b2", "c1", "d1"]


def test_a_run_without_any_test_ends() -> None:
    run = Run(2)
    assert run.scheduling.tests_finished
    assert all(worker.shutting_down for worker in run.workers)


def test_after_a_crash_a_replacement_gets_the_rest_of_the_stack() -> None:
    run = Run(2, "a1", "a2", "a3", "a4")
    assert run.workers[1].shutting_down
    run.step(run.workers[0])
    assert run.crash(run.workers[0]) == "a2"
    # The only other worker has been let go: without the replacement's share this would hang.
    assert run.scheduling.collection_is_completed
    assert not run.scheduling.tests_finished
    replacement = run.join()
    assert run.names(replacement) == ["a3", "a4"]
    assert run.finish() == ["a1", "a3", "a4"]


def test_after_a_crash_a_worker_that_is_free_gets_the_rest_of_the_stack_whole() -> None:
    run = Run(2, "a1", "a2", "a3", "b1", "b2", "-1", "-2", "-3")
    first, second = run.workers
    assert run.crash(first) == "a1"
    run.finish()
    assert [name for name in run.names(second) if name[0] == "a"] == ["a2", "a3"]


def test_a_crash_in_the_last_test_leaves_nothing_to_do_for_its_replacement() -> None:
    run = Run(1, "a1")
    assert run.crash(run.workers[0]) == "a1"
    replacement = run.join()
    assert replacement.sent == []
    assert replacement.shutting_down
    assert run.scheduling.tests_finished


def test_a_worker_that_ended_in_order_crashed_in_nothing() -> None:
    run = Run(2, "a1", "b1")
    run.finish()
    assert [run.crash(worker) for worker in run.workers] == [None, None]
    with pytest.raises(KeyError):  # what xdist expects for a worker that was never there
        run.crash(Worker("unknown"))


def test_a_worker_that_dies_while_tests_are_collected_is_replaced() -> None:
    scheduling = StackScheduling(2, lambda nodeid: nodeid[0])
    first, dies, replacement = Worker("gw0"), Worker("gw1"), Worker("gw2")
    for worker in (first, dies):
        scheduling.add_node(worker)
    scheduling.add_node_collection(first, ["a1", "b1"])
    assert scheduling.remove_node(dies) is None
    assert not scheduling.collection_is_completed
    scheduling.add_node(replacement)
    scheduling.add_node_collection(replacement, ["a1", "b1"])
    assert scheduling.collection_is_completed
    scheduling.schedule()
    assert sorted(first.sent + replacement.sent) == [0, 1]


def test_workers_that_collected_different_tests_are_told_so_in_one_line() -> None:
    scheduling = StackScheduling(2, lambda nodeid: nodeid[0])
    for worker, tests in ((Worker("gw0"), ["a1", "b1"]), (Worker("gw1"), ["a1", "b2"])):
        scheduling.add_node(worker)
        scheduling.add_node_collection(worker, tests)
    with pytest.raises(pytest.UsageError, match="only some have b1"):
        scheduling.schedule()


def test_a_test_that_a_plugin_wants_again_is_run_again() -> None:
    run = Run(1, "a1", "a2", "a3")
    run.step(run.workers[0])
    run.scheduling.mark_test_pending("a1")
    assert sorted(run.finish()) == ["a1", "a1", "a2", "a3"]
