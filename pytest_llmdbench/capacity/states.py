"""Layers that keep a state of fixed size in place of a KV cache: gated DeltaNet, Mamba-2 and Mamba."""

from __future__ import annotations

import math
from typing import Final

from pytest_llmdbench.capacity.architecture import Linear
from pytest_llmdbench.capacity.fields import Fields

_FOUR_BYTES: Final = ("float32", "torch.float32")


def states(text: Fields, layers: int, hidden: int) -> Linear | None:
    """What ``layers`` layers with a state are like; None where there are none.

    Raises:
        DeclarationError: their dimensions are missing or absurd.
    """
    if not layers:
        return None
    wide = text.text("mamba_ssm_cache_dtype", "mamba_ssm_dtype") in _FOUR_BYTES
    if text.count("linear_num_value_heads"):
        keys = ("linear_num_key_heads", "linear_key_head_dim", "linear_value_head_dim", "linear_conv_kernel_dim")
        key_heads, key_dim, value_dim, kernel = (text.count(key, default=-1, least=1) for key in keys)
        heads = text.count("linear_num_value_heads")
        return Linear(layers, key_heads, heads, key_dim, value_dim, kernel, 2, 0, wide)
    state = text.count("ssm_state_size", "mamba_d_state", default=-1, least=1)
    kernel = text.count("conv_kernel", "mamba_d_conv", default=4, least=1)
    inner = text.count("mamba_expand", "expand", default=2, least=1) * hidden
    heads = text.count("mamba_num_heads", "mamba_n_heads")
    if heads:
        size = inner // heads
        if text.data.get("mamba_d_head") != "auto":
            size = text.count("mamba_head_dim", "mamba_d_head", default=size)
        groups = text.count("n_groups", "mamba_n_groups", default=1, least=1)
        return Linear(layers, groups, heads, state, size, kernel, 1, 0, wide)
    rank = math.ceil(hidden / 16) if text.data.get("mamba_dt_rank") in (None, "auto") else text.count("mamba_dt_rank")
    # The projections to and from the step's size, and the matrix of the state.
    return Linear(layers, 0, inner, state, 1, kernel, 0, inner * (2 * rank + 3 * state), wide)
