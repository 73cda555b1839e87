"""How much runs of the very same thing differ: what no comparison can be finer than."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from pytest_llmdbench.results.baseline import Noise

#: The share of pairs of runs that differ by no more than the noise floor.
SHARE: Final = 0.95
#: What the noise floor of a single pair is taken for where nobody measured it: runs that vary by 5 % differ by less
#: than this nineteen times in twenty. In the field, run-to-run variation is anything from 0.1 % to 20 %.
UNMEASURED: Final = 1.96 * math.sqrt(2) * 0.05


def noise_floor(noise: Noise | None, metric: str, before: int, after: int) -> float | None:
    """The floor of a comparison of so many runs with so many, as a log ratio; None where it was not measured."""
    pair = noise.floors.get(metric) if noise else None
    return None if pair is None else averaged(pair, before, after)


def averaged(pair: float, before: int, after: int) -> float:
    """What is left of the noise of a single pair when the middle of several runs is compared with that of others."""
    return pair * math.sqrt((1 / before + 1 / after) / 2)


def measure_noise(first: Sequence[Mapping[str, float]], second: Sequence[Mapping[str, float]]) -> Noise:
    """The noise between the runs of two arms of the same thing; each run is metric -> value, above 0.

    Every run of one arm is compared with every run of the other: a baseline is not interleaved with what is compared
    with it, so slow drift is noise as well.
    """
    import numpy as np

    floors = {}
    for metric in sorted({name for run in first for name in run}):
        pairs = [
            abs(math.log(two[metric] / one[metric]))
            for one in first for two in second if metric in one and metric in two
        ]  # fmt: skip
        if pairs:
            floors[metric] = float(np.quantile(pairs, SHARE))
    return Noise(len(first) + len(second), floors)
