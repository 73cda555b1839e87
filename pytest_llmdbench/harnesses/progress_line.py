"""How far a running load is, in one line now and then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from pytest_llmdbench.harnesses.harness import Progress
from pytest_llmdbench.harnesses.server_counts import Counts, ServerCounts
from pytest_llmdbench.say import Say

#: Seconds between two lines while the stage stays the same.
EVERY_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Outline:
    """What is known of a load before it runs: what its progress is measured by.

    ``name`` is what a line about it begins with; ``url`` where its server answers, without ``/v1``; ``stages`` is 0 and
    ``expected_s`` None where the load does not say.
    """

    name: str
    url: str
    stages: int = 0
    expected_s: float | None = None


class ProgressLine:
    """Says how far a load is, at each new stage and every few seconds.

    ``watch`` says what the program itself reports; ``server`` counts what was answered, where it can be asked.
    """

    def __init__(
        self, outline: Outline, watch: Callable[[], Progress], say: Say, server: ServerCounts | None = None
    ) -> None:
        self._outline, self._watch, self._say, self._server = outline, watch, say, server
        self._said_at = 0.0
        self._said_stage: int | None = None

    def look(self, elapsed: float) -> None:
        """Say the line if it is time; ``elapsed`` is in seconds since the load began."""
        progress = self._watch()
        if progress.stage != self._said_stage or elapsed - self._said_at >= EVERY_S:
            self._say(f"{self._outline.name}: {', '.join(self._parts(progress, elapsed))}")
            self._said_at, self._said_stage = elapsed, progress.stage

    def _parts(self, progress: Progress, elapsed: float) -> Iterator[str]:
        outline, counts = self._outline, self._server.look() if self._server else Counts()
        failed = progress.failed + (counts.refused or 0)
        starting = progress.stage is None and not counts.done and not failed
        if starting:
            yield "starting"
        elif progress.stage is not None:
            yield f"stage {progress.stage + 1}" + (f"/{outline.stages}" if outline.stages else "")
        # What takes longer than was expected is expected no more.
        of = f" of ~{outline.expected_s:.0f}" if outline.expected_s and elapsed <= outline.expected_s else ""
        yield f"{elapsed:.0f}{of} s"
        if counts.done is not None and not starting:
            yield f"{counts.done} requests done"
        # Where nobody counts refusals, none seen does not mean none.
        if failed or (counts.refused is not None and not starting):
            yield f"{failed} failed"


def together(watches: list[Callable[[], Progress]]) -> Callable[[], Progress]:
    """The progress of programs that run side by side: the stage that all have reached, the failures of all."""

    def look() -> Progress:
        seen = [watch() for watch in watches]
        stages = [one.stage for one in seen if one.stage is not None]
        return Progress(min(stages) if len(stages) == len(seen) else None, sum(one.failed for one in seen))

    return look
