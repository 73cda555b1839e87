"""Summarization: long documents in, short answers out."""

import pytest


@pytest.mark.workload("summarization")
def test_summarization(result, slo):
    slo.verify(result)
