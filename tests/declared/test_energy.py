"""Whether the energy of a load will be known is told before the load."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmdbench.declared.prices import metered
from pytest_llmdbench.declared.scenario import Scenario


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        ({}, "dcgm-exporter in a cluster, and this stack is on this machine"),
        ({"engine": {"kind": "vllm"}, "accelerator": {"gpus": 1}}, "this stack is on this machine"),
        ({"deploy": "endpoint", "endpoint": {"url": "http://there:8000"}}, "only the URL is known; say endpoint.stack"),
        ({"deploy": "standalone", "load": {"scrape_s": 0}}, "say load.scrape_s above 0"),
        ({"deploy": "endpoint", "endpoint": {"stack": "mine"}}, None),
        ({"deploy": "standalone"}, None),
        ({"deploy": "modelservice"}, None),
        ({"deploy": "another-way"}, None),
    ],
)
def test_energy_that_nobody_reads_is_told_before_the_load(scenario: dict[str, Any], said: str | None) -> None:
    found = metered(Scenario.model_validate(scenario))
    assert found is None if said is None else said in str(found)
