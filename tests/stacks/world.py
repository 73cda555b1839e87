"""A world of fake stacks, which writes down what is done to them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.pool import StackPool
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec

SOON_S = 10.0


def spec(key: str) -> StackSpec:
    return StackSpec(key, "fake", {})


class World:
    """Fake deployments, and what was done to them; ``gate`` holds standups back until it is set."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.lines: list[str] = []
        self.gate = threading.Event()
        self.gate.set()
        self.rising = threading.Event()
        self.broken: set[str] = set()
        self.stubborn: set[str] = set()
        self.falling = threading.Barrier(1)

    def pool(self, cases: Mapping[str, str], max_stacks: int | None = None) -> StackPool:
        pool = StackPool({"fake": self.deployment}, self.lines.append, max_stacks)
        pool.plan({case: spec(key) for case, key in cases.items()})
        return pool

    def deployment(self, spec: StackSpec, say: Callable[[str], None]) -> Fake:
        return Fake(self, spec.key)

    def count(self, event: str) -> int:
        return self.events.count(event)


class Fake:
    def __init__(self, world: World, key: str) -> None:
        self.world, self.key = world, key

    def up(self) -> Endpoint:
        self.world.events.append(f"up {self.key}")
        self.world.rising.set()
        assert self.world.gate.wait(SOON_S)
        if self.key in self.world.broken:
            raise StandupError(f"stack {self.key}: no GPU is free\n    and here is why")
        return Endpoint(f"http://{self.key}", "m", "t")

    def interrupt(self) -> None:
        self.world.events.append(f"interrupt {self.key}")
        self.world.broken.add(self.key)
        self.world.gate.set()

    def reset(self) -> None:
        self.world.events.append(f"reset {self.key}")

    def observe(self) -> Mapping[str, Any]:
        return {"key": self.key}

    def down(self) -> None:
        self.world.falling.wait(SOON_S)
        self.world.events.append(f"down {self.key}")
        if self.key in self.world.stubborn:
            raise RuntimeError("the volume is held")


def eventually(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not check():
        assert time.monotonic() < deadline
        time.sleep(0.005)
