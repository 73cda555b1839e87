"""Keeps secrets out of what is written about a cluster: values by their name, and tokens by their shape. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

HIDDEN: Final = "***"
#: Names whose value nobody needs to see; ``max-num-batched-tokens`` and ``tokenizer`` are none of them.
_NAME: Final = r"[\w.-]{0,60}(?:token|passwd|password|secret|credentials?|api[-_]?key|access[-_]?key|private[-_]?key)"
_SECRET_NAME: Final = re.compile(rf"(?i)(?:--?)?{_NAME}")
_IN_TEXT: Final = (
    (re.compile(rf"(?i)(\b{_NAME}['\"]?[ \t]*[=:][ \t]*['\"]?)[^\s,'\"}}]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)(\bauthorization['\"]?[ \t]*[=:][ \t]*['\"]?(?:basic |bearer )?)[^\s,'\"}]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?i)(\bbearer )[\w.~+/=-]{16,}"), rf"\1{HIDDEN}"),
    (re.compile(r"\bhf_[A-Za-z0-9]{10,}"), HIDDEN),
    (re.compile(r"(\w+://)[^/@\s]+(?=@)"), rf"\1{HIDDEN}"),
)
#: Says nothing about what happened, and repeats every value.
_LEFT_OUT: Final = ("managedFields", "kubectl.kubernetes.io/last-applied-configuration")


def hide_text(text: str) -> str:
    """Free text, a log say, with what looks like a secret's value replaced."""
    for pattern, kept in _IN_TEXT:
        text = pattern.sub(kept, text)
    return text


def hide(thing: Any) -> Any:
    """An object of Kubernetes without secret values: environment variables, arguments, annotations, any text."""
    if isinstance(thing, dict):
        kept = {key: hide(value) for key, value in thing.items() if key not in _LEFT_OUT}
        name, value = thing.get("name"), thing.get("value")
        if isinstance(name, str) and isinstance(value, str) and _SECRET_NAME.fullmatch(name):
            kept["value"] = HIDDEN
        return kept
    if isinstance(thing, list):
        made: list[Any] = []
        for index, one in enumerate(thing):
            before = thing[index - 1] if index else None
            follows = isinstance(before, str) and before.startswith("-") and _SECRET_NAME.fullmatch(before)
            made.append(HIDDEN if follows and isinstance(one, str) and not one.startswith("-") else hide(one))
        return made
    return hide_text(thing) if isinstance(thing, str) else thing
