"""How MXFP4 experts are padded: every kernel has its own granule, and which kernel it is depends on the GPU."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.tensors import Tensor

_GRANULE: Final = 256
#: That of the width of a rank's share for Marlin, and for Triton's layout before it is laid out.
_MARLIN: Final = 128
_LOADED: Final = 64
#: Bits of a value, and its part of the scale of 8 bits that 32 of them share.
_VALUE: Final = 4
_SCALE: Final = 8 / 32


def packed(config: Configuration, own: int, width: int, layers: int) -> Iterator[Tensor]:
    """The tensors of ``own`` experts on this GPU, each of ``width``: up and gate together, down, and their scales.

    Triton's layout for Hopper pads what a product sums over, the rows of the scales, and since 0.19 the rows of up and
    gate as well; ROCm and Blackwell pad both dimensions alike; the others run on Marlin.
    """
    gpu, hidden = config.gpu, config.model.hidden
    if gpu.vendor == "nvidia" and int(gpu.capability) == 9:
        width = _up(width, _LOADED)
        rows = _up(2 * width, _GRANULE) if config.release >= (0, 19) else 2 * width
        values = (rows * _up(hidden, _GRANULE), hidden * _up(width, _GRANULE))
        scales = _up(2 * width, _GRANULE) * hidden + _up(hidden, _GRANULE) * width
    else:
        own_kernels = gpu.vendor == "amd" or int(gpu.capability) == 10
        width, hidden = _up(width, _GRANULE if own_kernels else _MARLIN), _up(hidden, _GRANULE)
        values = (2 * width * hidden, width * hidden)
        scales = 3 * width * hidden
    for one in values:
        yield Tensor(own * one, _VALUE, layers)
    yield Tensor(own * scales, _SCALE, layers, loose=True)


def _up(size: int, granule: int) -> int:
    return math.ceil(size / granule) * granule
