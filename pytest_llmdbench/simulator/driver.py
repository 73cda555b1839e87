"""Turning the engine's deadlines into wake-ups: one timer at a time, always for an absolute time."""

from __future__ import annotations

import asyncio

from pytest_llmdbench.simulator.answer import Answer
from pytest_llmdbench.simulator.engine import Engine
from pytest_llmdbench.simulator.recorder import Recorder
from pytest_llmdbench.simulator.sequence import Sequence


class Driver:
    """Runs ``engine`` on the clock of ``loop``, hands out its tokens and tells ``recorder`` when they were sent."""

    def __init__(self, loop: asyncio.AbstractEventLoop, engine: Engine, recorder: Recorder) -> None:
        self._loop = loop
        self._engine = engine
        self._recorder = recorder
        self._timer: asyncio.TimerHandle | None = None
        self._wake_pending = False
        self._to_flush: list[Answer] = []

    def submit(self, sequence: Sequence) -> None:
        """Give a sequence to the engine."""
        self._engine.submit(sequence)
        self.wake_soon(sequence.arrival)

    def wake_soon(self, time: float) -> None:
        """Let an idle engine begin at ``time``, with all that comes in before the event loop turns again."""
        if not self._wake_pending:
            self._wake_pending = True
            self._loop.call_soon(self._wake, time)

    def flush_later(self, answer: Answer) -> None:
        """Write what ``answer`` has queued once all tokens of this deadline are handed out."""
        self._to_flush.append(answer)

    def rearm(self) -> None:
        """Set the timer to the engine's next deadline."""
        due = self._engine.deadline()
        if self._timer is not None:
            if due == self._timer.when():
                return
            self._timer.cancel()
        self._timer = None if due is None else self._loop.call_at(due, self._fire)

    def _wake(self, time: float) -> None:
        self._wake_pending = False
        self._engine.wake(time)
        self.rearm()

    def _fire(self) -> None:
        self._timer = None
        woken = self._loop.time()
        progress = self._engine.advance(woken)
        for sequence in progress.tokens:
            sequence.on_token()
        if self._to_flush:
            answers, self._to_flush = self._to_flush, []
            for answer in answers:
                answer.flush()
        self._recorder.progress(progress, woken, self._loop.time())
        self.rearm()
