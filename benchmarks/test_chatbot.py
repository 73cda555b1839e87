"""Chat: long prompts, long answers, more and more people at once."""

import pytest


@pytest.mark.workload("chatbot")
def test_chatbot(result, slo):
    slo.verify(result)
