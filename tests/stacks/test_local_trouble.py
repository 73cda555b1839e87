"""An engine that ends under a load ends the load, with the reason: nothing it would measure from then on is sound."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.harness import Command, Place, Profile, Progress
from pytest_llmdbench.harnesses.nop import STANDUP, Nop
from pytest_llmdbench.send import Load, send
from pytest_llmdbench.stacks.http import Server
from pytest_llmdbench.stacks.local import LocalDeployment
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec


class Idle(Nop):
    """In the place of a load program: it does nothing for a minute."""

    def command(self, profile: Profile, endpoint: Endpoint, place: Place) -> Command:
        return Command((sys.executable, "-c", "import time; time.sleep(60)"), place.folder)

    def watch(self, folder: Path) -> Callable[[], Progress]:
        return Progress


def simulator() -> LocalDeployment:
    config = {
        "model": {"name": "some/model", "tokenizer": None},
        "simulator": {"max_model_len": 4096},
        "timeouts": {"standup_s": None},
    }
    return LocalDeployment(StackSpec("local", "local", config), lambda line: None)


def test_a_simulator_that_crashes_under_a_load_ends_it_with_the_reason(tmp_path: Path) -> None:
    deployment = simulator()
    try:
        endpoint = deployment.up()
        assert deployment.trouble() is None
        Server(endpoint.url).post("/sim/faults", {"crash_after_s": 1})
        load = Load(Idle(), {}, endpoint, tmp_path, "a case")
        with pytest.raises(HarnessError, match=r"^a case: the simulator ended with status 70 during the load"):
            send(load, timeout_s=50, say=lambda line: None, trouble=deployment.trouble)
    finally:
        deployment.down()


def test_trouble_is_asked_for_about_once_a_second_while_a_load_runs(tmp_path: Path) -> None:
    asked: list[float] = []

    def trouble() -> str | None:
        asked.append(time.monotonic())
        return "the engine is gone" if len(asked) >= 3 else None

    load = Load(Idle(), {}, Endpoint("http://127.0.0.1:1", "m", "m", {STANDUP: 1}), tmp_path, "a case")
    with pytest.raises(HarnessError, match=r"^a case: the engine is gone"):
        send(load, timeout_s=50, say=lambda line: None, trouble=trouble)
    assert len(asked) == 4
    assert asked[2] - asked[0] >= 1
