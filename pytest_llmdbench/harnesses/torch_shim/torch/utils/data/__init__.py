"""The data loader; see :mod:`torch_shim`."""

from __future__ import annotations

from .dataloader import DataLoader
from .dataset import IterableDataset

__all__ = ["DataLoader", "IterableDataset", "get_worker_info"]


def get_worker_info() -> None:
    """What a data loader's worker process knows of itself: there are none here."""
