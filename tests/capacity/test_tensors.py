"""What a tensor takes on a GPU: its bits, the padding of a kernel, and what PyTorch's allocator keeps beside it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.gpus import find_gpu
from pytest_llmdbench.capacity.models import find_model
from pytest_llmdbench.capacity.tensors import Tensor, allocated
from pytest_llmdbench.capacity.weights import weights_bytes

MIB = 2**20


def weights_gib(model: str, gpu: str = "h100", **flags: Any) -> float:
    return weights_bytes(Configuration(find_model(model), find_gpu(gpu), **flags), 0) / 2**30


@pytest.mark.parametrize(
    ("size", "taken"),
    [
        (9.5, 9.5),  # shares a segment with others
        (12.0, 12.0),
        (13.5, 14.0),  # the half MiB that is left is not given back
        (13.0, 14.0),
        (12.5, 12.5),  # a MiB and a half is
    ],
)
def test_a_large_tensor_keeps_what_is_left_of_its_segment_up_to_a_mib(size: float, taken: float) -> None:
    assert allocated(size * MIB) == taken * MIB


def test_scales_are_no_part_of_the_tensor_that_they_belong_to() -> None:
    weights = Tensor(27 * MIB, 4.125, count=3)
    assert weights.held == 3 * (14 * MIB + 27 * MIB / 64)


def test_many_small_ones_take_what_they_are() -> None:
    assert Tensor(13 * MIB, 8, count=2, loose=True).held == 26 * MIB


def test_each_kernel_for_mxfp4_pads_in_its_own_way() -> None:
    sizes = {gpu: weights_gib("openai/gpt-oss-20b", gpu, version="0.19.0") for gpu in ("h100", "A100-80GB", "B200")}
    assert sizes["h100"] < sizes["A100-80GB"] < sizes["B200"]
    assert weights_gib("openai/gpt-oss-20b", version="0.14.0") < sizes["h100"]


def test_latent_attention_has_a_workspace_since_012() -> None:
    before, since = (weights_gib("deepseek-ai/DeepSeek-V2-Lite", version=version) for version in ("0.11.0", "0.12.0"))
    assert since - before == pytest.approx(0.125)


def test_the_tower_of_a_quantized_copy_is_split_and_that_of_its_maker_is_not() -> None:
    name = "Mistral-Small-3.1-24B-Instruct-2503"
    whole, split = (find_model(one).vision for one in (f"mistralai/{name}", f"RedHatAI/{name}-FP8-dynamic"))
    assert whole
    assert whole.replicated
    assert split
    assert not split.replicated
