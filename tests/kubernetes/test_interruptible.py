"""Whatever takes minutes, the end of a run does not wait for it."""

from __future__ import annotations

import threading

import pytest

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks.kubernetes.interruptible import interruptibly


def test_what_an_action_gives_or_raises_is_given_or_raised() -> None:
    assert interruptibly(lambda: 3, threading.Event(), "it") == 3
    with pytest.raises(ValueError, match="wrong"):
        interruptibly(lambda: int("wrong"), threading.Event(), "it")


def test_an_interrupt_is_answered_while_the_action_still_runs() -> None:
    interrupted, forever = threading.Event(), threading.Event()
    interrupted.set()
    with pytest.raises(StandupError, match="it: the run ended"):
        interruptibly(lambda: forever.wait(60), interrupted, "it")
    forever.set()
