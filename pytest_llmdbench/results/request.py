"""One request of a load, as its harness recorded it, in canonical units."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Outcome = Literal["completed", "failed", "unfinished"]


@dataclass(slots=True)
class Request:
    """One request. Times in seconds, on one clock for the whole run; what was not recorded is None.

    ``error`` is the kind of its failure in the harness's own words, and only of a failed one. ``output_tokens`` are
    those the server says it made (``usage``), or else the harness's count; ``events`` are the pieces that its stream
    came in and ``gaps`` the times between them. ``ttft`` and ``tpot`` are as in
    :class:`~pytest_llmdbench.results.result.Stage`. ``lag`` is how much later than planned it was sent.
    """

    stage: int
    sent: float
    ended: float | None
    outcome: Outcome
    error: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    events: int | None = None
    ttft: float | None = None
    tpot: float | None = None
    gaps: Sequence[float] = ()
    lag: float | None = None
