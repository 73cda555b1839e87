"""Continuous batching in virtual time: who runs in which step, when the step ends, who gets a token then.

The engine never looks at a clock and knows no connection: whoever drives it says what time it is, asks for the next
``deadline`` and calls ``advance`` when that has come. The scheduling follows vLLM's V1 scheduler: running sequences
first, then the waiting ones in order; a step is bounded in tokens and sequences; without a free KV block the newest
sequence is preempted and computed again later.
"""

from __future__ import annotations

import math
from collections import deque
from heapq import heappop, heappush

from pytest_llmdbench.simulator.allocation import Allocation
from pytest_llmdbench.simulator.config import SimulatorConfig
from pytest_llmdbench.simulator.progress import Progress
from pytest_llmdbench.simulator.sequence import Sequence
from pytest_llmdbench.simulator.timing import Timing


class Engine:
    """The scheduler and its queues. All times are seconds on one clock that the caller chooses."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self._allocation = Allocation(config)
        self.cache = self._allocation.cache
        self.waiting: deque[Sequence] = deque()
        self.running: dict[Sequence, None] = {}
        self.prefix_queries = self.prefix_hits = self.preemptions = 0
        self.lost_s = 0.0
        self._decoding: list[Sequence] = []
        self._prefilling: list[Sequence] = []
        self._joining: list[Sequence] = []
        self._growing: list[Sequence] = []
        self._held: list[tuple[float, int, Sequence]] = []
        self._chunks: list[tuple[Sequence, int]] = []
        self._step_end = math.inf
        self._step_time = 0.0
        self._admissions = 0
        self._blocked_at = -math.inf
        self._stall = (math.inf, math.inf)
        self._timing = Timing(config)

    def submit(self, sequence: Sequence) -> None:
        """Queue a sequence; it is considered when the next step begins (see ``wake``)."""
        sequence.state = "waiting"
        self.waiting.append(sequence)

    def abort(self, sequence: Sequence) -> None:
        """Forget a sequence at once, wherever it is; nothing happens when it is over already."""
        if sequence.state == "waiting":
            self.waiting.remove(sequence)
        elif sequence in self.running:
            self._leave(sequence)
        else:
            return
        sequence.state = "done"
        sequence.finish_reason = "abort"

    def stall(self, start: float, end: float) -> None:
        """Nothing is due from ``start`` to ``end``: all of it is put off to ``end``. Replaces an earlier stall."""
        self._stall = (start, end)

    def deadline(self) -> float | None:
        """When ``advance`` is to be called; None while there is nothing to wait for."""
        due = min(self._step_end, self._held[0][0]) if self._held else self._step_end
        return None if due == math.inf else self._after_stall(due)

    def wake(self, now: float) -> None:
        """Begin a step if none is under way: to be called after ``submit``."""
        if self._step_end == math.inf:
            self._begin(now)

    def advance(self, now: float) -> Progress:
        """Do what is due at ``deadline()``, then begin the next step.

        The next step begins when this one was due, so that a late call does not shift the ones after it. Only when
        ``now`` is more than a step late the clock is set to ``now``, and ``lost_s`` says by how much.
        """
        due = self.deadline()
        if due is None:
            return Progress(now)
        progress = Progress(due)
        if self._after_stall(self._step_end) <= due:
            self._complete(progress)
        while self._held and self._after_stall(self._held[0][0]) <= due:
            release_at, _, sequence = heappop(self._held)
            if sequence.state == "held" and sequence.not_before == release_at:
                self._emit(sequence, progress)
        if self._step_end == math.inf:
            late = now - due > self._step_time
            if late:
                self.lost_s += now - due
            self._begin(now if late else due)
        return progress

    def _after_stall(self, time: float) -> float:
        start, end = self._stall
        return end if start <= time < end else time

    def _begin(self, start: float) -> None:
        start = self._after_stall(start)
        self._decoding += self._joining
        self._joining.clear()
        preempted = self.preemptions
        self._grow_decoding()
        budget = self.config.max_num_batched_tokens - len(self._decoding)
        budget = self._continue_prefills(budget)
        while self.waiting and budget > 0 and preempted == self.preemptions:
            if len(self.running) >= self.config.max_num_seqs:
                break
            tokens = self._admit(self.waiting[0], start, budget)
            if not tokens:
                break
            budget -= tokens
        if self.waiting:
            self._blocked_at = start
        sequences = len(self._decoding) + len(self._chunks)
        if sequences:
            self._step_time = self._timing.step(sequences, sum(tokens for _, tokens in self._chunks))
            self._step_end = start + self._step_time

    def _grow_decoding(self) -> None:
        for sequence in sorted(self._growing, key=lambda grown: grown.admission):
            if sequence.state == "decode":
                self._grow(sequence, 1)
        self._growing.clear()

    def _continue_prefills(self, budget: int) -> int:
        for sequence in list(self._prefilling):
            if budget <= 0:
                break
            tokens = min(sequence.remaining, budget)
            if sequence.state == "prefill" and self._grow(sequence, tokens):
                self._allocation.name_prompt(sequence, tokens)
                self._chunks.append((sequence, tokens))
                budget -= tokens
        return budget

    def _grow(self, sequence: Sequence, tokens: int) -> bool:
        """Make room for ``tokens`` more tokens; False when ``sequence`` itself was the newest to be preempted."""
        while not self._allocation.grow(sequence, tokens):
            newest = next(reversed(self.running))
            self._preempt(newest)
            if newest is sequence:
                return False
        return True

    def _admit(self, sequence: Sequence, start: float, budget: int) -> int:
        """Move the head of the queue into the batch; how many tokens it computes in this step, 0 when it must wait."""
        total = sequence.remaining
        tokens = self._allocation.admit(sequence, budget)
        if not tokens:
            return 0
        self.waiting.popleft()
        self._admissions += 1
        sequence.admission = self._admissions
        if not sequence.preemptions:
            sequence.scheduled_at = max(start, sequence.arrival)
            sequence.cached = sequence.computed
            self.prefix_queries += total
            self.prefix_hits += sequence.cached
            if self.config.ttft:
                had_room = sequence.arrival > self._blocked_at
                room_since = sequence.arrival if had_room else start
                sequence.not_before = room_since + self._timing.first_token()
        sequence.state = "prefill"
        self.running[sequence] = None
        self._prefilling.append(sequence)
        self._chunks.append((sequence, tokens))
        return tokens

    def _complete(self, progress: Progress) -> None:
        progress.is_step = True
        progress.step_time = self._step_time
        self._step_end = math.inf
        growing = self._growing
        finished = progress.finished
        for sequence in self._decoding:
            sequence.computed += 1
            sequence.generated += 1
            if sequence.generated >= sequence.length:
                finished.append(sequence)
            elif sequence.computed == sequence.capacity:
                growing.append(sequence)
        progress.tokens = self._decoding.copy()
        for sequence in finished:
            self._finish(sequence)
        chunks, self._chunks = self._chunks, []
        for sequence, tokens in chunks:
            if sequence.state == "prefill":
                sequence.computed += tokens
                if not sequence.remaining:
                    self._prefilling.remove(sequence)
                    self._end_prefill(sequence, progress)

    def _end_prefill(self, sequence: Sequence, progress: Progress) -> None:
        if not sequence.generated and sequence.not_before > progress.due:
            sequence.state = "held"
            heappush(self._held, (sequence.not_before, sequence.admission, sequence))
        else:
            self._emit(sequence, progress)

    def _emit(self, sequence: Sequence, progress: Progress) -> None:
        """The token that ends a prefill; the sequence decodes from here on."""
        sequence.generated += 1
        progress.tokens.append(sequence)
        sequence.state = "decode"
        if sequence.generated >= sequence.length:
            progress.finished.append(sequence)
            self._finish(sequence)
            return
        has_room = sequence.computed < sequence.capacity
        if not has_room:
            self._growing.append(sequence)
        # Between two steps it joins the next one. Within a step it joins that one if at least half of it is left:
        # its first gap then is from half a step to one and a half, and a whole step in the mean.
        mid_step = self._step_end != math.inf
        early = self._step_end - progress.due >= self._step_time / 2
        (self._decoding if not mid_step or (early and has_room) else self._joining).append(sequence)

    def _finish(self, sequence: Sequence) -> None:
        sequence.finish_reason = sequence.planned_reason
        self._leave(sequence)
        sequence.state = "done"

    def _preempt(self, sequence: Sequence) -> None:
        self._leave(sequence)
        sequence.state = "waiting"
        sequence.computed = sequence.capacity = 0
        sequence.preemptions += 1
        self.preemptions += 1
        self.waiting.appendleft(sequence)

    def _leave(self, sequence: Sequence) -> None:
        """Take a running sequence out of the batch."""
        for queue in (self._decoding, self._joining, self._prefilling):
            if sequence in queue:
                queue.remove(sequence)
        del self.running[sequence]
        self._allocation.release(sequence)
