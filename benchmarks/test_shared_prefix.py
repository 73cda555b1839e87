"""Shared prefix: many questions behind a few system prompts."""

import pytest


@pytest.mark.workload("shared-prefix")
def test_shared_prefix(result, slo):
    slo.verify(result)
