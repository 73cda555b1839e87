"""Code completion: a file's worth of context in, a few lines out, quickly."""

import pytest


@pytest.mark.workload("code-completion")
def test_code_completion(result, slo):
    slo.verify(result)
