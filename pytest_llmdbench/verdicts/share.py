"""What a sample says of a share: a percentile objective is a statement on the share of bad requests.

``ttft.p99 <= 500ms`` allows one request in a hundred to be over the bound. Of n requests of which t were bad, exact
binomial bounds (Clopper and Pearson 1934; MLPerf's early stopping uses the same) tell whether the true share is proven
to be within what is allowed, proven to be over it, or neither. n and t may be fractions: what requests that depend on
each other are worth.
"""

from __future__ import annotations

import math
from typing import Final, Literal

#: How sure a verdict has to be.
CONFIDENCE: Final = 0.95

Proof = Literal["PASS", "FAIL", "INCONCLUSIVE"]


def upper_bound(bad: float, number: float, confidence: float = CONFIDENCE) -> float:
    """The share, 0..1, that the true one is below with ``confidence``; 1 where nothing was seen."""
    from scipy.stats import beta

    if number <= bad:
        return 1.0
    return float(beta.ppf(confidence, bad + 1, number - bad))


def lower_bound(bad: float, number: float, confidence: float = CONFIDENCE) -> float:
    """The share, 0..1, that the true one is above with ``confidence``; 0 where nothing bad was seen."""
    from scipy.stats import beta

    if bad <= 0:
        return 0.0
    return float(beta.ppf(1 - confidence, bad, number - bad + 1))


def proof(
    bad: float,
    number: float,
    allowed: float,
    *,
    factor: float = 1.0,
    caution: float = 1.0,
    confidence: float = CONFIDENCE,
) -> Proof:
    """Whether the true share of bad requests is proven to be at most ``allowed``, or over it.

    Args:
        bad: bad requests, of ``number``.
        number: all requests.
        allowed: the share that may be bad, 0..1.
        factor: what bad requests depend on each other by (see :mod:`pytest_llmdbench.verdicts.dependence`).
        caution: the same for a PASS, where there is reason to count them for less.
        confidence: how sure.
    """
    careful = max(factor, caution)
    if number and upper_bound(bad / careful, number / careful, confidence) <= allowed:
        return "PASS"
    return "FAIL" if lower_bound(bad / factor, number / factor, confidence) > allowed else "INCONCLUSIVE"


def requests_to_prove(allowed: float, bad: int = 0, confidence: float = CONFIDENCE) -> int:
    """The fewest independent requests that can prove a share of at most ``allowed`` when ``bad`` of them are bad."""
    if bad == 0:
        return math.ceil(math.log(1 - confidence) / math.log1p(-allowed))
    from scipy.stats import binom

    few, many = bad + 1, max(2 * bad, 16)
    while binom.cdf(bad, many, allowed) > 1 - confidence:
        few, many = many, many * 2
    while few < many:
        middle = (few + many) // 2
        if binom.cdf(bad, middle, allowed) <= 1 - confidence:
            many = middle
        else:
            few = middle + 1
    return many
