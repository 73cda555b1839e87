"""What to tell of an engine's log: how far its start is, and what it died of."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from pytest_llmdbench.harnesses.startup_log import MOMENTS

#: Moment of a start -> what the engine does from then on.
_UNDER_WAY: Final = {
    "asked": "reads the model's configuration",
    "engine": "starts its workers",
    "loading": "loads weights",
    "loaded": "makes room for its cache",
    "warming": "compiles the model",
    "warm": "makes room for its cache",
    "initialized": "starts its server",
    "serving": "opens its port",
}
#: How much of the end of a log is looked at, in bytes, and how many lines of it go into a message.
LAST_BYTES: Final = 200_000
LAST_LINES: Final = 10
#: How long a line of a message may be, in characters.
_WIDE: Final = 200
_HEAD: Final = re.compile(r"^(?:\([^()]{1,80}\) )?(?:[A-Z]+ )?\d\d-\d\d \d\d:\d\d:\d\d (?:\[[^\]]{1,80}\] ?)?")
#: A line that is an error's own sentence, not part of the way to it: ``RuntimeError: ...``.
_ERROR: Final = re.compile(r"(?:^|\] |\s)((?:\w{1,60}\.)*\w{0,60}(?:Error|Exception|Interrupt)): \S")
_NO_ERROR: Final = re.compile(r"\b(?:DEBUG|INFO|WARNING) \d\d-\d\d |Warning: ")


def under_way(log: Path) -> str:
    """How far the start of an engine is that writes this log."""
    for line in reversed(_lines(log)):
        for moment, words in MOMENTS.items():
            if any(one in line for one in words):
                return _UNDER_WAY[moment]
    return "loads its own code"


def last_words(log: Path) -> str:
    """The last lines of a log, indented, each begun on a line of its own; first the error that it names, if any.

    The first error is the cause: those after it are what became of it in other processes.
    """
    lines = _lines(log)
    errors = [line for line in lines if _ERROR.search(line) and not _NO_ERROR.search(line[:120])]
    cause = [f"\n  {_HEAD.sub('', errors[0]).strip()[:_WIDE]}"] if errors else []
    return "".join([*cause, *(f"\n    {line[:_WIDE]}" for line in lines[-LAST_LINES:])])


def _lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()]
