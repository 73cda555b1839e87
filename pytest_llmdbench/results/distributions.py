"""Statistics of single values: of a column of requests exactly, of very many gaps from a histogram."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pytest_llmdbench.results.result import PERCENTILES, Distribution

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import Numbers

#: Values that are computed with at once.
PIECE: Final = 65_536
#: The histogram's buckets are so much wider each than the one before, from SHORTEST_S to LONGEST_S.
WIDER: Final = 1.002
SHORTEST_S: Final = 1e-7
LONGEST_S: Final = 1e5


def distribution(values: Numbers) -> Distribution | None:
    """Mean, bounds, spread and percentiles (linear between the two nearest values); None where there is no value.

    There may be millions, so they are not copied: afterwards they are in another order.
    """
    import numpy as np

    if not len(values):
        return None
    mean = float(values.mean())
    squares = (np.square(values[begin : begin + PIECE] - mean).sum() for begin in range(0, len(values), PIECE))
    return Distribution(
        mean=mean,
        minimum=float(values.min()),
        maximum=float(values.max()),
        stddev=math.sqrt(math.fsum(squares) / len(values)),
        percentiles=dict(
            zip(PERCENTILES, map(float, np.percentile(values, PERCENTILES, overwrite_input=True)), strict=True)
        ),
        count=len(values),
    )


def histogram_distribution(pieces: Iterable[Numbers]) -> Distribution | None:
    """The same for values that need not fit into memory: percentiles within 0.1 % of the value, the rest exact.

    Values are above 0, in seconds; those outside 0.1 us .. 28 h count with the nearest bucket.
    """
    import numpy as np

    width = math.log(WIDER)
    counts = np.zeros(math.ceil(math.log(LONGEST_S / SHORTEST_S) / width) + 1, dtype=np.int64)
    total = squares = 0.0
    lowest, highest = math.inf, -math.inf
    for piece in pieces:
        if len(piece):
            exact = piece.astype(np.float64)
            places = np.log(np.clip(exact, SHORTEST_S, LONGEST_S) / SHORTEST_S) / width
            counts += np.bincount(places.astype(np.int64), minlength=len(counts))
            total += float(exact.sum())
            squares += float((exact * exact).sum())
            lowest, highest = min(lowest, float(exact.min())), max(highest, float(exact.max()))
    number = int(counts.sum())
    if not number:
        return None
    reached = np.cumsum(counts)

    def ranked(rank: int) -> float:
        """The value at a rank, from 0: the middle of its bucket, never outside what was seen."""
        bucket = int(np.searchsorted(reached, rank, side="right"))
        middle: float = SHORTEST_S * WIDER ** (bucket + 0.5)
        return min(max(middle, lowest), highest)

    def percentile(wanted: float) -> float:
        place = (number - 1) * wanted / 100
        below = math.floor(place)
        share = place - below
        return ranked(below) * (1 - share) + ranked(min(below + 1, number - 1)) * share

    mean = total / number
    return Distribution(
        mean=mean,
        minimum=lowest,
        maximum=highest,
        percentiles={one: percentile(one) for one in PERCENTILES},
        stddev=math.sqrt(max(0.0, squares / number - mean * mean)),
        count=number,
    )
