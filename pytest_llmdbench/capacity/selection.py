"""Which modules a list of a ``quantization_config`` means: names, parts of names, wildcards and expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Final

from pytest_llmdbench.capacity.matrices import Matrix

#: What stands before ``layers`` in the names of checkpoints.
_BEFORE: Final = ("", "model.", "model.language_model.", "language_model.model.", "backbone.")
#: Classes of modules that stand for all that is quantized.
_ALL: Final = frozenset({"Linear", "LinearBase", "FusedMoE", "*"})
#: Longer lists of expressions, and longer or repeated ones, are none that a program wrote.
_MOST_EXPRESSIONS: Final = 200
_MOST_LETTERS: Final = 500
_MOST_REPEATED: Final = 5


@dataclass(frozen=True, slots=True)
class Selection:
    """What a list selects: ``everything``, whole names from ``layers`` on, parts of names, and expressions."""

    everything: bool
    names: frozenset[str]
    parts: tuple[str, ...]
    expressions: tuple[re.Pattern[str], ...]

    def has(self, matrix: Matrix) -> bool:
        """Whether it selects a matrix by name."""
        return any(self._has(name) for name in matrix.names)

    def _has(self, name: str) -> bool:
        if any(one in self.names for one in _above(name)) or any(f".{part}." in f".{name}." for part in self.parts):
            return True
        return any(one.match(before + name) for one in self.expressions for before in _BEFORE)


def select(words: Iterable[object]) -> Selection:
    """Read a list.

    Raises:
        ValueError: an expression that is none, or too many of them.
    """
    names, parts, expressions, everything = set(), [], [], False
    for word in words:
        if not isinstance(word, str):
            raise ValueError(f"{word!r:.60} is no name")  # noqa: TRY004 - what a file holds, no mistake of a caller
        if word in _ALL:
            everything = True
        elif word.startswith("re:"):
            expressions.append(_expression(word[3:]))
        elif "*" in (short := _short(word)):
            expressions.append(_expression(translate(short), trusted=True))
        elif short.startswith("layers."):
            names.add(short)
        else:
            parts.append(short)
    if len(expressions) > _MOST_EXPRESSIONS or len(parts) > _MOST_EXPRESSIONS:
        raise ValueError(f"more than {_MOST_EXPRESSIONS} expressions")
    return Selection(everything, frozenset(names), tuple(parts), tuple(expressions))


def _short(word: str) -> str:
    """A name from ``layers`` on, of one expert for all; ``layers.N`` is any layer. Those of towers stay whole."""
    before = next((one for one in sorted(_BEFORE, key=len, reverse=True) if word.startswith(f"{one}layers.")), None)
    short = word if before is None else word.removeprefix(before)
    return re.sub(r"experts\.(?:\d+|\*)(?=\.|$)", "experts.0", re.sub(r"^layers\.N\.", "layers.*.", short))


def _above(name: str) -> Sequence[str]:
    """A name and those of the modules that it is in, up to its layer."""
    words = name.split(".")
    return [".".join(words[:end]) for end in range(len(words), 1, -1)] or [name]


def _expression(text: str, *, trusted: bool = False) -> re.Pattern[str]:
    """Compile one; those that could run for ever are refused."""
    plain = re.sub(r"(?:\.\*\??){2,}", ".*", text)
    repeated = len(re.findall(r"(?<!\\)[*+{]", plain))
    if not trusted and (len(plain) > _MOST_LETTERS or repeated > _MOST_REPEATED or re.search(r"\)[*+{]", plain)):
        raise ValueError(f"the expression {text!r:.60} is too complex")
    try:
        return re.compile(plain)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"the expression {text!r:.60} is none: {error}") from error
