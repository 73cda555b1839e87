"""What really happened: fills ``/metrics`` and ``/sim/stats`` from the engine's progress and the time it was sent.

*Scheduled* is when the engine meant a token to come, *sent* is when the last write of that deadline was done. The
difference is the simulator's own lateness, which a harness sees as latency of the server.
"""

from __future__ import annotations

import time
from typing import Any

from pytest_llmdbench.simulator.config import SimulatorConfig
from pytest_llmdbench.simulator.engine import Engine
from pytest_llmdbench.simulator.histogram import LogHistogram
from pytest_llmdbench.simulator.metrics import Metrics
from pytest_llmdbench.simulator.progress import Progress
from pytest_llmdbench.simulator.sequence import Sequence

LATE_FLOOR_S = 0.002
"""Lateness up to this never counts as overload: no harness resolves less."""
LATE_SHARE = 0.2
"""Lateness up to this share of the mean step never counts as overload."""
LOST_SHARE = 0.01
"""Overload also when the engine's clock had to be set forward by more than this share of the time it was busy."""


class Latencies:
    """TTFT, ITL and end-to-end latency of one view (scheduled or sent)."""

    def __init__(self) -> None:
        self.ttft = LogHistogram()
        self.itl = LogHistogram()
        self.e2e = LogHistogram()

    def summary(self) -> dict[str, Any]:
        """Seconds."""
        return {"ttft_s": self.ttft.summary(), "itl_s": self.itl.summary(), "e2e_s": self.e2e.summary()}


class Window:
    """What happened since the start or the last reset."""

    def __init__(self, engine: Engine, now: float) -> None:
        self.began = now
        self.cpu_began = time.process_time()
        self.lost_began = engine.lost_s
        self.hits_began = engine.prefix_hits
        self.preemptions_began = engine.preemptions
        self.requests = dict.fromkeys(("seen", "finished", "aborted", "errored"), 0)
        self.prompt_tokens = self.output_tokens = 0
        self.late = LogHistogram()
        self.write = LogHistogram()
        self.step = LogHistogram()
        self.scheduled = Latencies()
        self.sent = Latencies()


class Recorder:
    """Counts everything twice: since the start (Prometheus) and in the current window (``/sim/stats``)."""

    def __init__(self, config: SimulatorConfig, engine: Engine, now: float) -> None:
        self.metrics = Metrics(config)
        self.window = Window(engine, now)
        self._engine = engine
        self._started = now
        self._last = (0.0, 0.0)

    def reset(self, now: float) -> None:
        """Begin a new window; Prometheus' counters go on."""
        self.window = Window(self._engine, now)

    def answered(self, path: str, status: int) -> None:
        """Count an answer by its HTTP status class."""
        key = (path, f"{status // 100}xx")
        self.metrics.answers[key] = self.metrics.answers.get(key, 0) + 1

    def progress(self, progress: Progress, woken: float, sent: float) -> None:
        """Record one deadline: when it was due, when the process woke up for it, when all was written."""
        window, metrics, due = self.window, self.metrics, progress.due
        window.late.observe(max(0.0, woken - due))
        window.write.observe(max(0.0, sent - woken))
        first = prompt_tokens = steady = 0
        last = self._last
        for sequence in progress.tokens:
            if sequence.generated == 1:
                first += 1
                prompt_tokens += sequence.prompt.length
                self._first_token(sequence, due, sent)
            elif (sequence.last_due, sequence.last_sent) == last:
                steady += 1
            else:
                self._gap(due - sequence.last_due, sent - sequence.last_sent, 1)
            sequence.last_due = due
            sequence.last_sent = sent
        if steady:
            # All that got a token last time too share one gap: one observation with a weight, not hundreds.
            self._gap(due - last[0], sent - last[1], steady)
        self._last = (due, sent)
        generated = len(progress.tokens)
        window.prompt_tokens += prompt_tokens
        window.output_tokens += generated
        metrics.prompt_tokens += prompt_tokens
        metrics.generation_tokens += generated
        if progress.is_step:
            window.step.observe(progress.step_time)
        if generated:
            metrics.iteration_tokens.observe(prompt_tokens + generated)
        for sequence in progress.finished:
            self._finished(sequence)

    def asked(self, max_tokens: int, choices: int) -> None:
        """Record the parameters of a request that was accepted."""
        self.metrics.params_max_tokens.observe(max_tokens)
        self.metrics.params_n.observe(choices)

    def _gap(self, scheduled: float, sent: float, count: int) -> None:
        self.window.scheduled.itl.observe(scheduled, count)
        self.window.sent.itl.observe(sent, count)
        self.metrics.between_tokens.observe(sent, count)

    def _first_token(self, sequence: Sequence, due: float, sent: float) -> None:
        sequence.first_sent = sent
        self.metrics.cached_tokens += sequence.cached
        self.metrics.first_token.observe(sent - sequence.arrival)
        self.window.scheduled.ttft.observe(due - sequence.arrival)
        self.window.sent.ttft.observe(sent - sequence.arrival)

    def _finished(self, sequence: Sequence) -> None:
        metrics = self.metrics
        end, first, arrival, start = sequence.last_sent, sequence.first_sent, sequence.arrival, sequence.scheduled_at
        metrics.success[sequence.finish_reason or "error"] += 1
        metrics.end_to_end.observe(end - arrival)
        metrics.queue.observe(start - arrival)
        metrics.prefill.observe(first - start)
        metrics.inference.observe(end - start)
        metrics.decode.observe(end - first)
        gaps = sequence.generated - 1
        metrics.per_output_token.observe((end - first) / gaps if gaps else 0.0)
        metrics.request_prompt_tokens.observe(sequence.prompt.length)
        metrics.request_generation_tokens.observe(sequence.generated)
        metrics.max_generation_tokens.observe(sequence.generated)
        metrics.preemptions.observe(sequence.preemptions)
        metrics.computed_tokens.observe(sequence.prompt.length - sequence.cached)
        self.window.scheduled.e2e.observe(sequence.last_due - arrival)
        self.window.sent.e2e.observe(end - arrival)

    def stats(self, now: float) -> dict[str, Any]:
        """What ``GET /sim/stats`` answers."""
        window, engine = self.window, self._engine
        late_p99 = window.late.quantile(0.99)
        limit = max(LATE_FLOOR_S, LATE_SHARE * window.step.mean)
        lost = engine.lost_s - window.lost_began
        return {
            "window_s": now - window.began,
            "uptime_s": now - self._started,
            "cpu_s": time.process_time() - window.cpu_began,
            "lateness": {
                "steps": window.step.count,
                "step_mean_s": window.step.mean,
                "late_p50_s": window.late.quantile(0.5),
                "late_p99_s": late_p99,
                "late_max_s": window.late.largest,
                "late_limit_s": limit,
                "write_p99_s": window.write.quantile(0.99),
                "lost_s": lost,
                "overloaded": late_p99 > limit or lost > LOST_SHARE * (window.step.total + lost),
            },
            "requests": {**window.requests, "running": len(engine.running), "waiting": len(engine.waiting)},
            "tokens": {
                "prompt": window.prompt_tokens,
                "cached": engine.prefix_hits - window.hits_began,
                "output": window.output_tokens,
            },
            "preemptions": engine.preemptions - window.preemptions_began,
            "scheduled": window.scheduled.summary(),
            "sent": window.sent.summary(),
        }
