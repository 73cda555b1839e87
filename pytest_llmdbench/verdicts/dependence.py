"""How many independent requests a run's requests are worth: in a queue a slow one makes the next ones slow.

Judged as if they were independent, requests of a busy queue give 30 to 80 % wrong verdicts at the bound. What counts is
the integrated autocorrelation of the requests in the order of their sending, estimated as Geyer (1992) does: pairs of
autocorrelations are added up as long as their sum is positive.

Looking at the bad requests alone is not enough: a short run may have missed every long busy time and show none. The
latencies themselves know of it, so for a PASS the larger of both factors counts. And a short run that was lucky looks
less dependent than it is: what is above 1 counts for more (:data:`WIDER`). Checked by simulation of M/M/1 queues at
loads of 0 to 0.9 with 100 to 10,000 requests, for P90, P95 and P99: at the bound at most 4.5 % wrong PASS; without the
widening it is up to 11 %.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pytest_llmdbench.results.table import Numbers


#: How much more than estimated dependence counts for a PASS.
WIDER: Final = 1.75


def careful(*factors: float) -> float:
    """The factor that a PASS is given by, from the estimated ones."""
    return 1 + (max(factors) - 1) * WIDER


def dependence(values: Numbers) -> float:
    """The factor by which values in the order of time count less than independent ones: 1 or more."""
    import numpy as np

    number = len(values)
    if number < 4:
        return 1.0
    centred = values - values.mean()
    size = 1 << (2 * number - 1).bit_length()
    spectrum = np.fft.rfft(centred, size)
    covariances = np.fft.irfft(spectrum * np.conj(spectrum), size)[:number]
    if covariances[0] <= 0:
        return 1.0
    correlations = covariances / covariances[0]
    pairs = correlations[0 : number - 1 : 2] + correlations[1:number:2]
    ends = np.flatnonzero(pairs <= 0)
    positive = pairs[: ends[0]] if len(ends) else pairs
    return max(1.0, 2.0 * float(positive.sum()) - 1.0)
