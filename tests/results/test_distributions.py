"""Statistics of single values: exact for requests, within 0.1 % for gaps too many to hold."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_llmdbench.results.distributions import PIECE, distribution, histogram_distribution
from pytest_llmdbench.results.result import PERCENTILES


def test_no_values_have_no_statistics() -> None:
    assert distribution(np.array([])) is None
    assert histogram_distribution([]) is None
    assert histogram_distribution([np.array([])]) is None


def test_percentiles_are_linear_between_neighbours() -> None:
    made = distribution(np.array([4.0, 1.0, 2.0]))
    assert made is not None
    assert made.mean == pytest.approx(7 / 3)
    assert (made.minimum, made.maximum, made.count) == (1.0, 4.0, 3)
    assert (made.statistic("median"), made.statistic("p75")) == (2.0, 3.0)


def test_so_many_values_that_they_are_computed_with_in_pieces_say_what_numpy_says_of_all() -> None:
    values = np.random.default_rng(7).lognormal(size=2 * PIECE + 3)
    made = distribution(values.copy())
    assert made is not None
    assert made.percentiles == dict(zip(PERCENTILES, np.percentile(values, PERCENTILES), strict=True))
    assert (made.mean, made.minimum, made.maximum, made.count) == (
        values.mean(), values.min(), values.max(), len(values),
    )  # fmt: skip
    assert made.stddev == pytest.approx(values.std(), rel=1e-12)


@given(st.lists(st.floats(1e-6, 1e4), min_size=1, max_size=300), st.integers(1, 50))
def test_a_histogram_of_pieces_says_what_the_values_say(values: list[float], piece: int) -> None:
    pieces = [np.array(values[begin : begin + piece]) for begin in range(0, len(values), piece)]
    made, exact = histogram_distribution(pieces), distribution(np.array(values))
    assert made is not None
    assert exact is not None
    assert (made.count, made.minimum, made.maximum) == (exact.count, exact.minimum, exact.maximum)
    assert made.mean == pytest.approx(exact.mean)
    for one, value in exact.percentiles.items():
        assert made.percentiles[one] == pytest.approx(value, rel=0.0011), one


def test_gaps_of_nothing_between_events_that_came_together_count_as_the_shortest() -> None:
    made = histogram_distribution([np.array([0.0, 0.0, 0.01, 0.01, 0.01])])
    assert made is not None
    assert made.minimum == 0.0
    assert made.statistic("p10") == pytest.approx(0.0, abs=1e-6)
    assert made.statistic("p50") == pytest.approx(0.01, rel=0.001)
