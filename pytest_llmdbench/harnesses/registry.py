"""Which harness a name means."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pytest_llmdbench.errors import DeclarationError, nearest

if TYPE_CHECKING:
    from pytest_llmdbench.harnesses.harness import Harness


def harness(name: str, others: Iterable[Harness] = ()) -> Harness:
    """The harness of that name: one of ``others``, which come first, or a built-in one.

    Raises:
        DeclarationError: there is none; names the nearest.
    """
    from pytest_llmdbench.harnesses.inference_perf import InferencePerf

    built_in: tuple[Harness, ...] = (InferencePerf(),)
    known = {one.name: one for one in (*built_in, *others)}
    if name not in known:
        raise DeclarationError(f"no harness {name!r}; {nearest(name, known)}")
    return known[name]
