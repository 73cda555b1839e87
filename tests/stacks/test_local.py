"""``deploy: local``: the embedded simulator, for real."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any

import psutil
import pytest

from pytest_llmdbench.errors import StandupError
from pytest_llmdbench.stacks import processes
from pytest_llmdbench.stacks.local import LocalDeployment
from pytest_llmdbench.stacks.spec import StackSpec


@pytest.fixture(autouse=True)
def _nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(processes.MARK, "replaced at once")
    token = processes.new_mark()
    yield
    assert processes.end_all(token) == []


def local(standup_s: float = 60.0, **simulator: Any) -> LocalDeployment:
    config = {
        "model": {"name": "some/model", "tokenizer": "a-tokenizer"},
        "simulator": {"max_model_len": 4096, **simulator},
        "timeouts": {"standup_s": standup_s},
    }
    return LocalDeployment(StackSpec("local", "local", config), lambda line: None)


def test_it_is_up_when_a_real_completion_has_been_answered() -> None:
    deployment = local()
    try:
        endpoint = deployment.up()
        assert (endpoint.model, endpoint.tokenizer) == ("some/model", "a-tokenizer")
        with urllib.request.urlopen(f"{endpoint.url}/v1/models") as answer:
            assert json.load(answer)["data"][0]["id"] == "some/model"
        deployment.reset()
        assert deployment.observe()["requests"]["running"] == 0
    finally:
        deployment.down()
        deployment.down()
    assert deployment._process is not None
    assert not psutil.pid_exists(deployment._process.pid)


def test_a_proxy_of_the_environment_is_not_asked_for_what_is_on_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    deployment = local()
    try:
        deployment.up()
        deployment.reset()
        deployment.observe()
    finally:
        deployment.down()


def test_a_server_that_cannot_start_says_why() -> None:
    deployment = local(no_such_key=1)
    try:
        with pytest.raises(StandupError, match=r"(?s)ended with status 2.*no_such_key"):
            deployment.up()
    finally:
        deployment.down()


def test_a_server_that_takes_too_long_is_given_up() -> None:
    deployment = local(standup_s=1.0, faults={"startup_s": 60})
    try:
        with pytest.raises(StandupError, match=r"did not listen within 1 s \(timeouts.standup_s\)"):
            deployment.up()
    finally:
        deployment.down()


def test_its_standup_can_be_cut_short() -> None:
    deployment = local(faults={"startup_s": 60})
    timer = threading.Timer(0.5, deployment.interrupt)
    timer.start()
    try:
        with pytest.raises(StandupError):
            deployment.up()
    finally:
        timer.join()
        deployment.down()


def test_it_can_be_taken_down_before_it_was_ever_up() -> None:
    local().down()
