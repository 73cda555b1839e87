"""Sanity: a light load that every working stack must answer."""

import pytest


@pytest.mark.workload("sanity_random")
def test_sanity(result, slo):
    slo.verify(result)
