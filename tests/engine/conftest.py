"""One real vLLM on this machine's processors for all tests here, as ``--scenario=cpu`` starts it; and a simulator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.places import shipped_root
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.source import load_yaml
from pytest_llmdbench.declared.strict import read_model
from pytest_llmdbench.errors import HarnessError
from pytest_llmdbench.harnesses.vllm_environment import VllmEnvironment
from pytest_llmdbench.stacks.local import LocalDeployment
from pytest_llmdbench.stacks.local_vllm import LocalVllm
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec
from tests.engine.engine_processes import alive, below


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = [place for place, item in enumerate(items) if Path(__file__).parent in item.path.parents]
    # One engine serves all tests here, so those that end it come last.
    here = sorted((items[place] for place in places), key=lambda item: item.path.name == "test_engine_ends.py")
    for place, item in zip(places, here, strict=True):
        item.add_marker(pytest.mark.engine)
        items[place] = item


@pytest.fixture(scope="package")
def spec() -> StackSpec:
    """What ``--scenario=cpu`` deploys; the tests skip where its vLLM cannot be had."""
    try:
        VllmEnvironment().prepare(print)
    except HarnessError as error:
        pytest.skip(f"no vLLM on this machine: {str(error).splitlines()[0]}")
    layers = Layers()
    layers.add_source(load_yaml(shipped_root() / "scenarios" / "cpu.yaml"))
    return StackSpec("cpu", "local", read_model(Scenario, layers).dump())


@pytest.fixture(scope="package")
def diagnostics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the engine's log is kept if something happens to it."""
    return tmp_path_factory.mktemp("diagnostics")


@pytest.fixture(scope="package")
def deployment(spec: StackSpec, diagnostics: Path) -> Iterator[tuple[LocalVllm, Endpoint]]:
    """The engine, up; nothing of it is left in the end."""
    one = LocalVllm(spec, print, diagnostics)
    started: list[psutil.Process] = []
    try:
        endpoint = one.up()
        assert one._process is not None
        started = below(one._process.pid)
        yield one, endpoint
    finally:
        one.down()
    assert alive(started) == []


@pytest.fixture(scope="package")
def engine(deployment: tuple[LocalVllm, Endpoint]) -> Endpoint:
    """Where the engine answers."""
    return deployment[1]


@pytest.fixture(scope="package")
def simulator(engine: Endpoint) -> Iterator[Endpoint]:
    """A simulator of the same model with the same limits."""
    told = {"deploy": "local", "model": {"name": engine.model}}
    told["simulator"] = {"max_model_len": engine.facts["max_model_len"], "itl": 0.002}
    one = LocalDeployment(StackSpec("local", "local", Scenario.model_validate(told).dump()), print)
    try:
        yield one.up()
    finally:
        one.down()
