"""The highest rate: how many requests a second the stack serves within its SLO."""

import pytest


@pytest.mark.workload("shared_prefix_synthetic_short")
@pytest.mark.max_rate(low=1, high=30)
def test_highest_rate(max_rate):
    max_rate()
