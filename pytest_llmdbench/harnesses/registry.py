"""Which harness a name means."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Final

from pytest_llmdbench.errors import DeclarationError, nearest

if TYPE_CHECKING:
    from pytest_llmdbench.harnesses.harness import Harness

#: Stands between a name and a version that is not the default: ``inference-perf@0.6.1``.
AT: Final = "@"


#: Name -> module and class, imported when it is asked for; the class takes a version, None for its default one.
_BUILT_IN: Final[Mapping[str, tuple[str, str]]] = {
    "inference-perf": ("inference_perf", "InferencePerf"),
    "guidellm": ("guidellm", "Guidellm"),
    "vllm-benchmark": ("vllm_bench", "VllmBench"),
    "inferencemax": ("inferencemax", "InferenceMax"),
    "aiperf": ("aiperf", "Aiperf"),
    "priority-mix": ("priority_mix", "PriorityMix"),
    "lm-eval": ("lm_eval", "LmEval"),
    "eval-containers": ("eval_containers", "EvalContainers"),
    "nop": ("nop", "Nop"),
}


class Harnesses:
    """The harnesses there are: ``added`` by other packages, whose names come first, and the built-in ones."""

    def __init__(self, added: Iterable[Harness] = ()) -> None:
        """Raises DeclarationError for an added one that lacks a member of the protocol, naming it."""
        self._added = {one.name: one for one in map(_checked, added)}

    @property
    def names(self) -> tuple[str, ...]:
        """All names, the built-in ones first, in the order that tables show them."""
        return tuple(dict.fromkeys([*_BUILT_IN, *self._added]))

    def __call__(self, name: str) -> Harness:
        """The harness that ``NAME`` or ``NAME@VERSION`` means.

        Raises:
            DeclarationError: there is none, or not in that version; names the nearest.
        """
        bare, at, version = name.partition(AT)
        if bare in self._added:
            harness = self._added[bare]
            if at and version != harness.version:
                raise DeclarationError(f"harness '{bare}' is there in version {harness.version}, not {version}")
            return harness
        if bare not in self.names:
            raise DeclarationError(f"no harness {name!r}; {nearest(bare, self.names)}")
        return _built_in(bare, version or None)


def _checked(added: Harness) -> Harness:
    from pytest_llmdbench.harnesses.harness import Harness

    members = [*Harness.__annotations__, *(name for name in vars(Harness) if not name.startswith("_"))]
    missing = [name for name in members if not hasattr(added, name)]
    if missing:
        kind = type(added)
        raise DeclarationError(
            f"harness {getattr(added, 'name', None)!r} ({kind.__module__}.{kind.__qualname__}) has no "
            f"{', '.join(map(repr, missing))}, which every harness has: see pytest_llmdbench.harnesses.harness.Harness"
        )
    return added


@cache
def _built_in(name: str, version: str | None) -> Harness:
    module, made = _BUILT_IN[name]
    make: Callable[[str | None], Harness] = getattr(import_module(f"pytest_llmdbench.harnesses.{module}"), made)
    return make(version)
