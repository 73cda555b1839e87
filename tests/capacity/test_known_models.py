"""Every model that comes along, on every GPU, with any release and usual flags: a figure that can be."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import known_gpus
from pytest_llmdbench.capacity.models import find_model, known_models
from pytest_llmdbench.capacity.validation import validate

FLAGS = st.fixed_dictionaries(
    {
        "version": st.sampled_from(["0.6.3", "0.7.3", "0.8.5", "0.11.0", "0.16.0", "0.19.0", "0.24.0", "0.32.0"]),
        "tensor_parallel_size": st.sampled_from([1, 2, 4, 8]),
        "pipeline_parallel_size": st.sampled_from([1, 2]),
        "enable_expert_parallel": st.booleans(),
        "max_model_len": st.sampled_from([None, 1024, 8192]),
        "max_num_seqs": st.sampled_from([None, 8, 1024]),
        "dtype": st.sampled_from(["auto", "half", "float32"]),
        "kv_cache_dtype": st.sampled_from(["auto", "fp8"]),
        "enforce_eager": st.booleans(),
    }
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(known_models()), st.sampled_from(known_gpus()), FLAGS)
def test_a_known_model_is_answered_with_figures_that_can_be(name: str, gpu: Any, flags: dict[str, Any]) -> None:
    found = validate(Configuration(find_model(name), gpu, **flags))
    room = found.memory
    parts = (room.weights, room.activation, room.non_torch, room.cuda_graphs, room.request, room.concurrency)
    assert all(math.isfinite(part) and part >= 0 for part in (*parts, room.tokens))
    assert room.weights > 0
    assert room.activation < 100
    assert room.kv == pytest.approx(room.requested - sum(parts[:4]))
    assert found.verdict != "will start" or room.concurrency >= 1
