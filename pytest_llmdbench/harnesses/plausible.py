"""Whether a request that a load program recorded can have been: times that no request takes make no statistics."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.results.request import Request

#: No moment is so far from 1970: 30,000 years.
FARTHEST_S: Final = 1e12
#: No load is so long, nor anything within it: four months.
LONGEST_S: Final = 1e7
#: What rounding makes of no time at all, of moments in seconds since 1970.
ROUNDED_S: Final = -1e-6
#: More tokens than a request can have.
MOST_TOKENS: Final = 2**31


def plausible(requests: Iterator[Request], folder: Path, program: str) -> Iterator[Request]:
    """The requests as they come, which are ``program``'s, from its files in ``folder``.

    Raises:
        HarnessError: one ended before it was sent, or has a time or a number of tokens that there is not; or they were
            sent longer after another than any load takes. Names the folder and what is wrong with which value.
    """
    first, last = math.inf, -math.inf
    for request in requests:
        first, last = min(first, request.sent), max(last, request.sent)
        wrong = _wrong(request) or (f"was sent {last - first:g} s after another" if last - first > LONGEST_S else None)
        if wrong:
            raise HarnessError(f"{folder}: a request that {program} recorded in stage {request.stage} {wrong}")
        yield request


def _wrong(request: Request) -> str | None:
    """What cannot be of a request; None where all of it can."""
    if not abs(request.sent) <= FARTHEST_S:
        return f"was sent {request.sent:g} s from 1970"
    e2e = None if request.ended is None else request.ended - request.sent
    if e2e is not None and e2e < ROUNDED_S:
        return f"ended {-e2e:g} s before it was sent: was the machine's clock set back while it ran?"
    gaps = (min(request.gaps), max(request.gaps)) if len(request.gaps) else ()
    times = (("e2e", e2e), ("ttft", request.ttft), ("tpot", request.tpot), *(("gap", gap) for gap in gaps))
    for name, seconds in times:
        if seconds is not None and not ROUNDED_S <= seconds <= LONGEST_S:
            return f"has {seconds:g} s as its {name}"
    if request.lag is not None and not abs(request.lag) <= LONGEST_S:
        return f"has {request.lag:g} s as its lag"
    for name, tokens in (("prompt", request.prompt_tokens), ("output", request.output_tokens)):
        if tokens is not None and not 0 <= tokens < MOST_TOKENS:
            return f"has {tokens:g} {name} tokens"
    return None
