"""Where a run's beginning ends: the cold start is no part of what is judged.

MSER-5 (White 1997; recommended by Hoad and Robinson 2011): of the series in batches of five, the cut that makes the
standard error of the rest smallest, looked for in the first half. The series is the mean latency of the requests sent
in each second.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.verdicts.dependence import ROUNDING

if TYPE_CHECKING:
    import numpy as np

    #: A number for each step of time.
    Series = np.ndarray[Any, Any]

#: Seconds in a step of the series, and steps in a batch.
STEP_S: Final = 1.0
BATCH: Final = 5
#: With fewer batches there is nothing to tell a beginning from the rest by.
FEWEST: Final = 20
#: A cut that leaves more than so much of the standard error's square is no warm-up but chance.
WORTH_IT: Final = 0.9


def warmup_s(counts: Series, times: Series) -> float | None:
    """For how many seconds after the first request a run was warming up; 0 where it was not, or is too short to tell.

    ``counts`` are the requests sent in each step from the first one on, ``times`` the sums of their latencies. None
    where the best cut is at the end of the first half: the run never settled, and has to be longer.
    """
    import numpy as np

    means = times[counts > 0] / counts[counts > 0]
    seconds = np.flatnonzero(counts)
    batches = len(means) // BATCH
    if batches < FEWEST:
        return 0.0
    series = means[: batches * BATCH].reshape(batches, BATCH).mean(axis=1)
    cuts = range(batches // 2 + 1)
    errors = [float(series[cut:].var()) / (batches - cut) for cut in cuts]
    best = int(np.argmin(errors))
    if np.ptp(series) <= ROUNDING * abs(series).max() or errors[best] > WORTH_IT * errors[0]:
        return 0.0
    if best == cuts[-1]:
        return None
    return float(seconds[best * BATCH]) * STEP_S
