"""A data loader without processes of its own; see :mod:`torch_shim`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from .dataset import IterableDataset

Item_co = TypeVar("Item_co", covariant=True)


class DataLoader(Generic[Item_co]):
    """Gives the items of a data set one by one, each made when it is asked for.

    Of PyTorch's options only ``collate_fn`` means something here: how a batch, always of one item, becomes an item.
    """

    def __init__(self, dataset: IterableDataset[Any], collate_fn: Callable[[list[Any]], Item_co], **_: object) -> None:
        self.dataset = dataset
        self.collate_fn = collate_fn

    def __iter__(self) -> Iterator[Item_co]:
        for item in self.dataset:
            yield self.collate_fn([item])
