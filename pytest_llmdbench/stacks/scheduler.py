"""Which xdist worker runs which test: all cases of one stack in one worker, longest stack first.

xdist's own ``loadgroup`` cannot be used for this: it writes groups into node ids, which breaks ``--lf``, and with
pytest 9.2 it silently does not group at all (pytest-dev/pytest-xdist#1386).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, Protocol

import pytest

#: A worker starts a test only when it knows the next one, so it is always given this many.
IN_FLIGHT: Final = 2


class Node(Protocol):
    """What of an xdist worker controller the scheduler uses."""

    shutting_down: bool

    def send_runtest_some(self, indices: Sequence[int]) -> None:
        """Have the worker run these tests, by their index in its collection."""

    def shutdown(self) -> None:
        """Let the worker finish what it has, and no more."""


class StackScheduling:
    """xdist's ``Scheduling`` protocol. ``stack_of`` tells a test's stack, None for a test that needs none."""

    def __init__(self, workers: int, stack_of: Callable[[str], str | None]) -> None:
        self._expected = workers
        self._stack_of = stack_of
        self._collections: dict[Node, list[str]] = {}
        self._collection: list[str] | None = None
        self._complete = False
        #: What nobody has begun: stacks with their tests, the longest first, then single tests.
        self._units: list[list[int]] = []
        #: What each worker is committed to and was not sent yet.
        self._waiting: dict[Node, list[int]] = {}
        self._sent: dict[Node, list[int]] = {}

    @property
    def nodes(self) -> list[Node]:
        """The workers, in the order in which they came."""
        return list(self._sent)

    @property
    def collection_is_completed(self) -> bool:
        """Whether every worker has said what it collected; true for good once it is."""
        return self._complete

    @property
    def tests_finished(self) -> bool:
        """Whether all that is left can be waited for: nothing to hand out, at most one test a worker."""
        if not self._complete or self._units:
            return False
        return all(not self._waiting[node] and len(self._sent[node]) < IN_FLIGHT for node in self._sent)

    @property
    def has_pending(self) -> bool:
        """Whether any test is not over yet."""
        return bool(self._units) or any(self._waiting.values()) or any(self._sent.values())

    def add_node(self, node: Node) -> None:
        """A worker is there; it is given work when its collection has come."""
        self._sent[node] = []
        self._waiting[node] = []

    def add_node_collection(self, node: Node, collection: Sequence[str]) -> None:
        """A worker has collected. A replacement for a dead one is given work at once."""
        self._collections[node] = list(collection)
        if self._collection is not None:
            _compare(self._collection, self._collections[node])
        self._complete |= len(self._collections) >= self._expected

    def schedule(self) -> None:
        """Hand out work: once when all have collected, later for replacements."""
        if self._collection is None:
            collections = list(self._collections.values())
            for other in collections[1:]:
                _compare(collections[0], other)
            self._collection = collections[0]
            self._units = self._make_units(self._collection)
        self._feed_all()

    def mark_test_complete(self, node: Node, item_index: int, duration: float = 0) -> None:  # noqa: ARG002
        """A test is over; its worker gets the next one."""
        self._sent[node].remove(item_index)
        self._feed(node)

    def mark_test_pending(self, item: str) -> None:
        """xdist asks for a test to be run again (a rerun plugin does): it goes to the front."""
        self._units.insert(0, [(self._collection or []).index(item)])
        for node in self.nodes:
            self._feed(node)

    def remove_pending_tests_from_node(self, node: Node, indices: Sequence[int]) -> None:
        """Not used: tests are not taken back from a worker."""
        raise NotImplementedError

    def remove_node(self, node: Node) -> str | None:
        """A worker is gone. Its running test is returned if it crashed in one; the rest of its stack goes to others."""
        sent = self._sent.pop(node)
        rest = sent[1:] + self._waiting.pop(node)
        self._collections.pop(node, None)
        crashed = sent[0] if sent else None
        if rest:
            self._units.insert(0, rest)
        self._feed_all()
        return None if crashed is None or self._collection is None else self._collection[crashed]

    def _feed_all(self) -> None:
        """Idle workers begin a unit each before any looks ahead into another one."""
        for node in self.nodes:
            if self._units and self._takes_work(node) and not self._sent[node] and not self._waiting[node]:
                self._waiting[node] += self._units.pop(0)
        for node in self.nodes:
            self._feed(node)

    def _takes_work(self, node: Node) -> bool:
        return self._collection is not None and node in self._collections and not node.shutting_down

    def _feed(self, node: Node) -> None:
        """Fill a worker up to what it must know, or let it go when there is nothing left for it."""
        if not self._takes_work(node):
            return
        sent, waiting = self._sent[node], self._waiting[node]
        send: list[int] = []
        while len(sent) + len(send) < IN_FLIGHT:
            if not waiting:
                if not self._units:
                    break
                waiting += self._units.pop(0)
            send.append(waiting.pop(0))
        if send:
            sent += send
            node.send_runtest_some(send)
        if not waiting and not self._units and len(sent) < IN_FLIGHT:
            node.shutdown()

    def _make_units(self, collection: Sequence[str]) -> list[list[int]]:
        stacks: dict[str, list[int]] = {}
        single: list[list[int]] = []
        for index, nodeid in enumerate(collection):
            key = self._stack_of(nodeid)
            if key is None:
                single.append([index])
            else:
                stacks.setdefault(key, []).append(index)
        return sorted(stacks.values(), key=len, reverse=True) + single


def _compare(one: Sequence[str], other: Sequence[str]) -> None:
    if one == other:
        return
    differing = sorted(set(one) ^ set(other))
    how = f"only some have {differing[0]}" if differing else "the order differs"
    raise pytest.UsageError(f"the xdist workers collected different tests ({how}): is the collection random?")
