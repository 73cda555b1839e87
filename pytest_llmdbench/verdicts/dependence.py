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

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

    #: Numbers, or which of some are bad.
    Values = np.ndarray[Any, Any]
#: How much more than estimated dependence counts for a PASS.
WIDER: Final = 1.75
#: Values that differ by less, as a share of them, are equal.
ROUNDING: Final = 1e-9
#: So many autocorrelations are made at once, from so many values at once: a spectrum of all would take ten columns.
BLOCK: Final = 16_384


def careful(*factors: float) -> float:
    """The factor that a PASS is given by, from the estimated ones."""
    return 1 + (max(factors) - 1) * WIDER


def dependence(values: Values) -> float:
    """The factor by which values in the order of time count less than independent ones: 1 or more."""
    import numpy as np

    number = len(values)
    if number < 4:
        return 1.0
    low, high = float(values.min()), float(values.max())
    if high - low <= ROUNDING * max(abs(low), abs(high)):
        return 1.0
    mean, variance, total = float(values.mean()), 0.0, 0.0
    size = min(BLOCK, 1 << (number - 1).bit_length())
    for lag in range(0, number - 1, size):
        covariances = _covariances(values, mean, lag, size)[: number - lag]
        variance = variance or float(covariances[0])
        pairs = covariances[:-1:2] + covariances[1::2]
        ends = np.flatnonzero(pairs <= 0)
        total += float(pairs[: ends[0]].sum() if len(ends) else pairs.sum())
        if len(ends):
            break
    return max(1.0, 2.0 * total / variance - 1.0)


def _covariances(values: Values, mean: float, lag: int, size: int) -> Any:
    """The sums of products of values that are ``lag`` and up to ``size`` - 1 more apart, by their spectra."""
    import numpy as np

    spectrum = np.zeros(size + 1, dtype=complex)
    for begin in range(0, len(values) - lag, size):
        earlier = values[begin : begin + size] - mean
        later = values[begin + lag : begin + lag + 2 * size] - mean
        spectrum += np.conj(np.fft.rfft(earlier, 2 * size)) * np.fft.rfft(later, 2 * size)
    return np.fft.irfft(spectrum, 2 * size)[:size]
