"""An action that may take minutes, given up at once when the run ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final, TypeVar

from pytest_llmdbench.errors import StandupError

#: Seconds between two looks at an interrupt.
LOOK_S: Final = 0.3

T = TypeVar("T")


def interruptibly(action: Callable[[], T], interrupted: threading.Event, name: str) -> T:
    """What ``action`` gives; it goes on by itself, in a thread of its own, if nobody waits for it any more.

    Raises:
        StandupError: the run ended meanwhile; and whatever the action raises.
    """
    given: list[T] = []
    raised: list[BaseException] = []

    def run() -> None:
        try:
            given.append(action())
        except BaseException as error:  # raised where the answer is waited for
            raised.append(error)

    thread = threading.Thread(target=run, name=name, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(LOOK_S)
        if interrupted.is_set() and thread.is_alive():
            raise StandupError(f"{name}: the run ended before it was up")
    if raised:
        raise raised[0]
    return given[0]
