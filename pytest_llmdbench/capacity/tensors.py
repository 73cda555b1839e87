"""What tensors take on a GPU: their elements, their scales, and what PyTorch's allocator adds to a large one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

_MIB: Final = 2**20
#: From this size on a tensor has a segment of its own, a multiple of the step; smaller ones share segments.
_OWN_SEGMENT: Final = 10 * _MIB
_STEP: Final = 2 * _MIB
#: What is left of a segment is given back only where it is more.
_KEPT: Final = _MIB


@dataclass(frozen=True, slots=True)
class Tensor:
    """``count`` equal tensors of ``elements`` each, of so many ``bits``; what is beyond whole bits are their scales.

    ``loose``: a mean over layers that differ, or many small ones: no size that an allocator would see.
    """

    elements: float
    bits: float
    count: float = 1
    loose: bool = False

    @property
    def held(self) -> float:
        """Bytes that all of them keep from others."""
        whole = self.elements * self.bits / 8
        if self.loose or not self.elements:
            return self.count * whole
        scales = self.elements * (self.bits % 1) / 8
        return self.count * (allocated(whole - scales) + scales)


def allocated(size: float) -> float:
    """Bytes that PyTorch's caching allocator sets aside for one tensor of ``size`` bytes."""
    left = -size % _STEP
    return size + left if size >= _OWN_SEGMENT and left <= _KEPT else size


def held(tensors: Iterable[Tensor]) -> float:
    """Bytes of all of them."""
    return sum(one.held for one in tensors)
