"""What SIGTERM and Ctrl-C do to a session that has stacks: an orderly end, and no end while they are taken down."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any, Final

_PATIENCE: Final = b"\nllmdbench: taking stacks down; once more leaves it to the reaper and to the cluster\n"


class SigtermAsCtrlC:
    """SIGTERM is what Ctrl-C is, until :meth:`undo`; unless somebody else has a use for it."""

    def __init__(self) -> None:
        self._before: Any = None
        if _in_main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
            self._before = signal.signal(signal.SIGTERM, _interrupt)

    def undo(self) -> None:
        """Leave SIGTERM as it was found."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None


class Patience:
    """From :meth:`begin` to :meth:`end` the first Ctrl-C or SIGTERM is answered with a line; only the second counts."""

    def __init__(self) -> None:
        #: Whether somebody did not want to wait for the end.
        self.lost = False
        self._asked = False
        self._before: dict[int, Any] = {}

    def begin(self) -> None:
        """Safe to call twice."""
        if not self._before and _in_main_thread():
            self._before = {number: signal.signal(number, self._answer) for number in (signal.SIGINT, signal.SIGTERM)}

    def end(self) -> None:
        """Leave both as they were found. Safe to call twice."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _answer(self, *_: object) -> None:
        if self._asked:
            self.lost = True
            raise KeyboardInterrupt
        self._asked = True
        os.write(2, _PATIENCE)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt("SIGTERM")
