"""How a real engine ends: with a run that is killed, and by itself under a load, which is the end of these tests."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pytest_llmdbench.stacks.local_vllm import LocalVllm
from pytest_llmdbench.stacks.spec import Endpoint, StackSpec
from tests.engine.engine_processes import alive, below, core_of, words

#: Generous: three engines' worth of processes may share two processors.
SOON_S = 240.0
RUN = """
import json, sys
from pathlib import Path
from pytest_llmdbench.stacks.local_vllm import LocalVllm
from pytest_llmdbench.stacks.processes import new_mark
from pytest_llmdbench.stacks.reaper import Reaper
from pytest_llmdbench.stacks.spec import StackSpec
new_mark()
reaper = Reaper()
spec = StackSpec("cpu", "local", json.loads(sys.argv[1]))
LocalVllm(spec, lambda line: print(line, flush=True), Path(sys.argv[2])).up()
"""


@pytest.mark.thorough
def test_a_run_that_is_killed_leaves_no_process_of_the_engine(spec: StackSpec, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", RUN, json.dumps(dict(spec.config)), str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, start_new_session=True) as run:
        deadline = time.monotonic() + SOON_S
        try:
            while core_of(run.pid) is None:
                assert run.poll() is None
                assert time.monotonic() < deadline, "the engine's core did not start"
                time.sleep(0.2)
            server = next(one for one in below(run.pid) if "serve" in words(one))
            started = below(server.pid)
        finally:
            run.send_signal(signal.SIGKILL)
    assert len(started) > 1
    deadline = time.monotonic() + SOON_S
    while left := alive(started):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


@pytest.mark.thorough
def test_an_engine_whose_core_dies_is_trouble_and_its_log_is_kept(
    deployment: tuple[LocalVllm, Endpoint], diagnostics: Path
) -> None:
    one, _ = deployment
    assert one._process is not None
    assert one.trouble() is None
    core = core_of(one._process.pid)
    assert core is not None
    core.kill()
    deadline = time.monotonic() + SOON_S
    while (trouble := one.trouble()) is None and time.monotonic() < deadline:
        time.sleep(0.2)
    assert trouble is not None
    assert "vLLM ended with status" in trouble
    assert str(diagnostics / "engine.log") in trouble
    assert "Application startup complete" in (diagnostics / "engine.log").read_text()
