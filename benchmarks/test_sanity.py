"""Sanity: a light load that every working stack must answer."""

import pytest


@pytest.mark.workload("sanity")
def test_sanity(result, slo):
    slo.verify(result)
