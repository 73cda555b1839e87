"""How lines about stacks, from any thread, come onto pytest's terminal: past its capturing, between its own."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from typing import Any

import pytest


class Screen:
    """The terminal of the process that owns the stacks."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._printing = threading.Lock()
        #: Lines of other threads, until the main thread can show them.
        self._lines: deque[str] = deque()
        #: Whether all tests run in xdist's workers: nothing is captured here then, and any thread may show its lines.
        self.tests_elsewhere = False

    def say(self, line: str) -> None:
        """Show one line.

        Where tests run in this process, another thread's line waits for the main thread: shown at once it would end up
        in what the running test prints.
        """
        self._lines.append(line)
        if self.tests_elsewhere or threading.current_thread() is threading.main_thread():
            self.show()

    def show(self) -> None:
        """Show what waits."""
        if not self._lines:
            return
        terminal: Any = self._config.pluginmanager.get_plugin("terminalreporter")
        capture: Any = self._config.pluginmanager.get_plugin("capturemanager")
        captured = capture is not None and not self.tests_elsewhere
        with self._printing, capture.global_and_fixture_disabled() if captured else contextlib.nullcontext():
            while self._lines:
                line = self._lines.popleft()
                if terminal is not None:
                    terminal.ensure_newline()
                    # Under xdist the reporter forgets that it is in the middle of a line of dots.
                    if self._config.get_terminal_writer().width_of_current_line:
                        terminal.write_line("")
                    terminal.write_line(line)
                    terminal.flush()
