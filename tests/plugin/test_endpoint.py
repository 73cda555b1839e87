"""``--llmd-endpoint``: what is there already is benchmarked as it is; no cluster is asked for anything."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

OPTIONS = ("--scenario=one", "--llmd-set=simulator.itl=0.01")


@pytest.fixture
def server() -> Iterator[str]:
    """The URL of a simulator that somebody else started."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest_llmdbench.simulator", "--host", "127.0.0.1", "--port", "0", "--model", "theirs"],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    yield json.loads(process.stdout.readline())["url"]
    process.terminate()
    process.wait(10)
    process.stdout.close()


def test_a_url_is_loaded_and_stays(project: pytest.Pytester, server: str) -> None:
    for path in (server, f"{server}/", f"{server}/v1"):
        done = project.runpytest_subprocess(*OPTIONS, f"--llmd-endpoint={path}", "--llmd-model=theirs")
        done.assert_outcomes(passed=1)


def test_another_model_than_it_serves_is_refused_with_the_one_it_does(project: pytest.Pytester, server: str) -> None:
    done = project.runpytest_subprocess(*OPTIONS, f"--llmd-endpoint={server}", "--llmd-model=mine")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*it serves theirs, not mine (model.name). Say which with --llmd-model NAME*"])


def test_nobody_there_is_an_error_with_the_url_and_no_traceback(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess(*OPTIONS, "--llmd-endpoint=http://127.0.0.1:9", "--llmd-model=mine")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*http://127.0.0.1:9*"])
    done.stdout.no_fnmatch_line("*Traceback*")


def test_an_endpoint_without_a_place_is_refused(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-set=deploy=endpoint")
    done.assert_outcomes(errors=1)
    done.stdout.fnmatch_lines(["*needs endpoint.url (--llmd-endpoint URL) or endpoint.stack (--llmd-stack NAME)*"])
