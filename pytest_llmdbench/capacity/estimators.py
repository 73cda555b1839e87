"""What estimates the speed of an engine, by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from pytest_llmdbench.capacity import aiconfigurator, speed
from pytest_llmdbench.capacity.configuration import Configuration
from pytest_llmdbench.capacity.load import Load

#: The speed of one replica; raises DeclarationError where it cannot tell.
Estimator: TypeAlias = Callable[[Configuration, Load], speed.Speed]

ROOFLINE: Final = "roofline"
ESTIMATORS: Final[Mapping[str, Estimator]] = {ROOFLINE: speed.speed, "aiconfigurator": aiconfigurator.speed}


def estimator(name: str) -> Estimator:
    """The one of :data:`ESTIMATORS`. Raises DeclarationError where it is not installed."""
    if name != ROOFLINE:
        aiconfigurator.require()
    return ESTIMATORS[name]


def stated(speeds: Iterable[speed.Speed]) -> list[str]:
    """What made these estimates, each with how far it may be wrong, in a few words."""
    found = sorted({(one.source, one.tpot_error, one.ttft_error) for one in speeds})
    return [
        f"{source}: TPOT and throughput to about {tpot:.0%}, TTFT to about {ttft:.0%}" for source, tpot, ttft in found
    ]
