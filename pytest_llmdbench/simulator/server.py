"""The simulated server as a whole: generation requests go to the engine, and everything else it keeps between them."""

from __future__ import annotations

import asyncio
import os
import time
from itertools import count
from typing import Any

from pytest_llmdbench.simulator.answer import Answer
from pytest_llmdbench.simulator.answer_plan import Planner
from pytest_llmdbench.simulator.config import Faults, SimulatorConfig
from pytest_llmdbench.simulator.driver import Driver
from pytest_llmdbench.simulator.engine import Engine
from pytest_llmdbench.simulator.event_format import EventFormat
from pytest_llmdbench.simulator.fault_plan import FaultPlan
from pytest_llmdbench.simulator.http1 import Connection
from pytest_llmdbench.simulator.openai_request import GenerationRequest
from pytest_llmdbench.simulator.recorder import Recorder
from pytest_llmdbench.simulator.sequence import Sequence

CRASH_STATUS = 70


class Server:
    """State and actions behind the routes of ``api``."""

    def __init__(self, config: SimulatorConfig, loop: asyncio.AbstractEventLoop) -> None:
        self.config = config
        self.engine = Engine(config)
        self.recorder = Recorder(config, self.engine, loop.time())
        self.connections: set[Connection] = set()
        self.created = int(time.time())
        self._loop = loop
        self._driver = Driver(loop, self.engine, self.recorder)
        self._planner = Planner(config)
        self._plan = FaultPlan(config.faults, config.seed)
        self._crash: asyncio.TimerHandle | None = None
        self._ids = count(1)
        self._run = f"{time.time_ns():x}"

    @property
    def load(self) -> int:
        """Generation requests that are being answered."""
        return len(self.engine.running) + len(self.engine.waiting)

    def begin_faults(self, faults: Faults) -> None:
        """Let ``faults`` replace those in force; their times count from now."""
        now = self._loop.time()
        self._plan = FaultPlan(faults, self.config.seed)
        self.engine.stall(now + faults.stall_after_s, now + faults.stall_after_s + faults.stall_for_s)
        self._driver.rearm()
        if self._crash is not None:
            self._crash.cancel()
        self._crash = self._loop.call_later(faults.crash_after_s, _crash) if faults.crash_after_s else None

    def admit(self) -> None:
        """Count a generation request that came in; raises ``ApiError`` when a fault refuses it."""
        self.recorder.window.requests["seen"] += 1
        if self._plan.next_request():
            _crash()
        refusal = self._plan.refusal()
        if refusal:
            raise refusal

    def refused(self, path: str, status: int) -> None:
        """Count a generation request that was answered with an error."""
        self.recorder.window.requests["errored"] += 1
        self.recorder.answered(path, status)

    def accepted(self, path: str) -> None:
        """Count a generation request whose answer begins."""
        self.recorder.answered(path, 200)

    def generate(self, request: GenerationRequest, connection: Connection, arrival: float) -> None:
        """Begin to answer ``request`` on ``connection``."""
        prefix = "chatcmpl" if request.chat else "cmpl"
        request_id = f"{prefix}-{self._run}-{next(self._ids)}"
        form = EventFormat(
            request.chat, self.config.model, request_id, int(time.time()), connection.framed, request.include_usage
        )
        cut = request.stream and self._plan.cuts()
        answer = Answer(request, connection, form, self, self.config.tokens_per_event, cut)
        answer.begin()
        for question in request.questions:
            self.recorder.asked(question.max_tokens, request.n)
            for number in range(request.n):
                plan = self._planner.plan(request, question, number)
                choice = answer.add(plan)
                on_token = choice.streamed_token if request.stream else choice.whole_token
                choice.sequence = Sequence(
                    question.prompt, plan.length, arrival, plan.finish_reason, plan.wording.words, on_token
                )
                self._driver.submit(choice.sequence)

    def flush_later(self, answer: Answer) -> None:
        """See ``Driver.flush_later``."""
        self._driver.flush_later(answer)

    def gone(self, answer: Answer, outcome: str) -> None:
        """An answer is over; what is left of it in the engine is aborted."""
        self.recorder.window.requests[outcome] += 1
        if outcome != "finished":
            for choice in answer.choices:
                self.engine.abort(choice.sequence)
            # The room that this made is for those who wait, also when no step is under way.
            self._driver.wake_soon(self._loop.time())

    def reset(self, drop_prefix_cache: bool) -> bool:
        """Begin a new window of ``stats``; whether the prefix cache was dropped, if that was asked for."""
        self.recorder.reset(self._loop.time())
        return drop_prefix_cache and self.engine.cache.drop_kept()

    def stats(self) -> dict[str, Any]:
        """What ``GET /sim/stats`` answers."""
        return {"model": self.config.model, **self.recorder.stats(self._loop.time())}

    def close(self) -> None:
        """Close every connection at once."""
        for connection in list(self.connections):
            connection.cut()


def _crash() -> None:
    os._exit(CRASH_STATUS)
