"""The names of PyTorch's data loader that load programs use; see :mod:`torch_shim`."""

from __future__ import annotations

from .utils import data as _data  # noqa: F401  (so that torch.utils.data is there)

__all__ = ["Generator"]


class Generator:
    """The source of randomness that a data loader is given; nothing is drawn from it without shuffling."""

    def manual_seed(self, seed: int) -> Generator:
        """Take note of a seed."""
        self.seed = seed
        return self


def __getattr__(name: str) -> object:
    raise AttributeError(
        f"torch.{name} is not here: the load program was installed without PyTorch, for it needs no more of it than a "
        "data loader. Audio is what it could not send; an image with PyTorch in it can."
    )
