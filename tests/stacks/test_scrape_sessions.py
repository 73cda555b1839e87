"""The metrics of a stack's servers in the results of whole sessions."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.plugin.conftest import project

__all__ = ["project"]  # a fixture of the neighbouring folder


#: What lets any run here pass: a busy machine makes the simulator late, which counts nothing otherwise.
PASSES = ("--llmd-slo=e2e.max<=20s", "--llmd-allow=invalid")


def results(project: pytest.Pytester) -> list[tuple[Path, dict[str, Any]]]:
    """The folder and the result of each run of a load."""
    found = sorted((project.path / "llmdbench-results").rglob("result.json"))
    return [(path.parent, json.loads(path.read_text())) for path in found]


def test_a_result_holds_what_the_server_counted(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-set=load.scrape_s=0.05", *PASSES)
    assert done.ret == 0
    ((folder, result),) = results(project)
    metrics = result["server"]["metrics"]
    assert metrics["interval_s"] == 0.05
    assert metrics["totals"]["requests_finished"] == result["whole"]["requests"]["completed"] == 3
    assert metrics["totals"]["generation_tokens"] == 12
    assert metrics["totals"]["running.max"] >= 1
    # What the stack said of itself before is there as well.
    assert result["server"]["lateness"]["overloaded"] is False
    assert {path.name for path in (folder / "server").iterdir()} == {"server.first.prom.gz", "server.last.prom.gz"}


def test_each_worker_of_a_session_gets_the_metrics_of_its_own_stack(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one,two", "-n", "2", *PASSES)
    assert done.ret == 0
    found = [result["server"]["metrics"]["totals"]["requests_finished"] for _, result in results(project)]
    assert found == [3, 3]


def test_nothing_is_read_where_that_is_switched_off(project: pytest.Pytester) -> None:
    done = project.runpytest_subprocess("--scenario=one", "--llmd-set=load.scrape_s=0", *PASSES)
    assert done.ret == 0
    ((folder, result),) = results(project)
    assert "metrics" not in result["server"]
    assert not (folder / "server").exists()


def test_a_url_without_metrics_is_benchmarked_all_the_same(project: pytest.Pytester) -> None:
    project.makeconftest(
        """
        pytest_plugins = ["quick_load"]
        from pytest_llmdbench.stacks.local import LocalDeployment
        from pytest_llmdbench.stacks.scrape_http import from_here
        from pytest_llmdbench.results.server_metrics.scraped import Target

        class Silent(LocalDeployment):
            def look(self):
                return from_here([Target("endpoint", "server", f"{self._server.url}/no/metrics/here")])

        def pytest_llmdbench_deployments():
            return {"silent": Silent}
        """
    )
    done = project.runpytest_subprocess("--scenario=one", "--llmd-set=deploy=silent", *PASSES)
    assert done.ret == 0
    ((_, result),) = results(project)
    assert result["server"]["metrics"]["targets"][0]["error"] == "it answers 404 Not Found"


def test_ctrl_c_during_a_load_ends_the_looking_with_the_session(project: pytest.Pytester) -> None:
    words = ["--scenario=one", "--llmd-workload=long", "--llmd-set=load.scrape_s=0.05", *PASSES]
    with (project.path / "out.log").open("w+") as log:
        session = subprocess.Popen(
            [sys.executable, "-m", "pytest", *words], cwd=project.path, stdout=log, stderr=subprocess.STDOUT
        )
        began = time.monotonic()
        while "quick-load:" not in (project.path / "out.log").read_text():
            assert time.monotonic() - began < 60, (project.path / "out.log").read_text()
            time.sleep(0.05)
        servers = psutil.Process(session.pid).children(recursive=True)
        session.send_signal(signal.SIGINT)
        assert session.wait(60) == pytest.ExitCode.INTERRUPTED
    said = (project.path / "out.log").read_text()
    assert "Traceback" not in said
    assert "Exception in thread" not in said
    _, left = psutil.wait_procs(servers, timeout=10)
    assert not left


@pytest.mark.harness
def test_a_real_load_programs_tokens_are_those_that_the_server_counted(project: pytest.Pytester) -> None:
    workload = project.path / "workloads" / "inference-perf" / "short.yaml"
    workload.parent.mkdir(parents=True)
    workload.write_text(
        """
        load: {type: constant, interval: 0, stages: [{rate: 8, duration: 4}]}
        api: {type: completion, streaming: true}
        server: {type: vllm, ignore_eos: true}
        data:
          type: random
          input_distribution: {min: 10, max: 60, mean: 30, std_dev: 10, total_count: 50}
          output_distribution: {min: 4, max: 16, mean: 8, std_dev: 4, total_count: 50}
        """
    )
    words = ["--llmd-set=harness=inference-perf,load.scrape_s=0.5", *PASSES]
    done = project.runpytest_subprocess("--scenario=one", *words)
    assert done.ret == 0
    ((_, result),) = results(project)
    totals, whole = result["server"]["metrics"]["totals"], result["whole"]
    assert totals["requests_finished"] == whole["requests"]["completed"] == 32
    assert totals["prompt_tokens"] == whole["prompt_tokens"]
    assert totals["generation_tokens"] == whole["output_tokens"]
    # What the client waits for is what the server takes, and the way to it.
    assert totals["ttft.mean"] <= whole["latencies"]["ttft"]["mean"]
    begin, end = result["server"]["metrics"]["loaded"]
    assert 2 <= end - begin <= result["elapsed_s"]
