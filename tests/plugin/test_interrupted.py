"""Ctrl-C while a load is under way: the reports say which, and where its files are."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree

import pytest


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_the_interrupted_case_is_in_every_report_and_its_folder_is_told(
    project: pytest.Pytester, workers: list[str]
) -> None:
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("long")
        def test_chat(result, slo):
            slo.verify(result)

        def test_no_benchmark():
            pass
        """
    )
    reports = ["--junitxml=j.xml", "--html=r.html", "--self-contained-html", "--llmd-summary=s.md"]
    said = interrupted(project.path, "--scenario=one", *reports, *workers)

    (folder,) = (project.path / "llmdbench-results").iterdir()
    assert f"results: {folder}" in said
    row = next(line for line in said if line.startswith("one-quick-load-long  "))
    assert row.split() == ["one-quick-load-long", "INTERRUPTED"]
    assert "1 interrupted" in said[-1]
    assert "## llmdbench: 1 INTERRUPTED" in (project.path / "s.md").read_text()
    page = (project.path / "r.html").read_text()
    assert "No benchmark has run" not in page
    assert 'data-llmd-verdict="INTERRUPTED"' in page
    tests = {one.get("name"): one for one in ElementTree.parse(project.path / "j.xml").iter("testcase")}
    (skipped,) = tests["test_chat[one-quick-load-long]"]
    assert (skipped.tag, str(skipped.get("message")).partition(":")[0]) == ("skipped", "INTERRUPTED")
    (told,) = json.loads((folder / "run.json").read_text())["cases"].values()
    assert (told["case"], told["workload"]) == ("one-quick-load-long", "long")


def interrupted(folder: Path, *arguments: str) -> list[str]:
    """What pytest writes that gets Ctrl-C once the load program is at work."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    log = folder / "session.log"
    with log.open("wb") as out, subprocess.Popen(command, cwd=folder, stdout=out, stderr=subprocess.STDOUT) as session:
        deadline = time.monotonic() + 60
        while not list(folder.glob("llmdbench-results/*/*/stdout.log")):
            assert session.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        session.send_signal(signal.SIGINT)
        assert session.wait(60) == pytest.ExitCode.INTERRUPTED, log.read_text()
    return log.read_text().splitlines()
