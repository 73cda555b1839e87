"""A data set that is iterated; see :mod:`torch_shim`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

Item_co = TypeVar("Item_co", covariant=True)


class IterableDataset(Generic[Item_co]):
    """What a load program derives its data sets from."""

    def __iter__(self) -> Iterator[Item_co]:
        raise NotImplementedError
