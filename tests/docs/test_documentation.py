"""What the documentation shows works: commands, YAML, links, and reference pages made from the code."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_llmdbench.declared.layers import Layers
from pytest_llmdbench.declared.scenario import Scenario
from pytest_llmdbench.declared.source import parse_yaml
from pytest_llmdbench.declared.strict import read_model
from pytest_llmdbench.declared.treatments import load_treatments
from pytest_llmdbench.declared.workload import load_workload
from pytest_llmdbench.harnesses.registry import Harnesses
from pytest_llmdbench.reference import pages

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "tests/data/benchmark-reports/inference-perf"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def fenced(language: str) -> list[tuple[str, str]]:
    """Page and text of every fenced block of a language."""
    return [
        (page.name, block)
        for page in PAGES
        for block in re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    ]


def commands(program: str) -> list[str]:
    lines = [line.removeprefix("$ ") for _, block in fenced("console") for line in block.splitlines()]
    return sorted({line for line in lines if line.startswith(program + " ")})


def run(command: str, results: Path) -> subprocess.CompletedProcess[str]:
    """A pytest command, dry, in this project and without what the environment says."""
    arguments = [*shlex.split(command)[1:], "--llmd-dry-run", "-p", "no:cacheprovider", f"--llmd-results={results}"]
    arguments += ["-o", "testpaths=benchmarks"]  # a user's project has not five thousand tests of its own
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("LLMDBENCH_", "PYTEST_"))}
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments], cwd=ROOT, env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", commands("pytest"))
def test_a_pytest_command_in_the_documentation_is_accepted_and_selects_something(command: str, tmp_path: Path) -> None:
    # A dry run reads, merges and plans everything that the command asks for; the loads themselves take minutes.
    # What earlier commands would have left stands for itself in the tests' data.
    command = re.sub(r"(--llmd-from-results|--llmd-baseline)[ =]\S+", rf"\1={RECORDED}", command)
    command = re.sub(r"--llmd-compare[ =]\S+", f"--llmd-compare={RECORDED},{RECORDED.parent}", command)
    done = run(command.replace("--llmd-render-to=", f"--llmd-render-to={tmp_path}/"), tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("command", commands("make"))
def test_a_make_command_in_the_documentation_has_its_target(command: str) -> None:
    done = subprocess.run(
        ["make", "--dry-run", *shlex.split(command)[1:]], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_other_command_in_the_documentation_is_known_to_these_tests() -> None:
    shown = [line for _, block in fenced("console") for line in block.splitlines() if line.startswith("$ ")]
    assert {line.split()[1] for line in shown} <= {"pytest", "make", "curl", "pip", "python", "llmdbench-explore"}


@pytest.mark.parametrize(("page", "text"), fenced("yaml"), ids=lambda value: None)
def test_yaml_in_the_documentation_is_valid_as_what_it_shows(page: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "shown.yaml"
    file.write_text(text)
    if page == "treatments.md":
        assert load_treatments(file).run
    elif page == "workloads.md":
        inference_perf = Harnesses()("inference-perf")
        assert inference_perf.stages(load_workload(file, inference_perf.name).profile)
    else:
        layers = Layers()
        layers.add_source(parse_yaml(text, page))
        read_model(Scenario, layers)


@pytest.mark.parametrize(
    "text", [text for page, text in fenced("yaml") if page == "workloads.md"], ids=lambda text: None
)
def test_a_workload_in_the_documentation_can_be_run_as_it_stands_and_prove_its_objectives(
    text: str, tmp_path: Path
) -> None:
    (tmp_path / "shown.yaml").write_text(text)
    done = run(f"pytest benchmarks/test_sanity.py --scenario=local --llmd-workload={tmp_path}/shown.yaml", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "local-inference-perf-shown" in done.stdout
    assert all(one.text in done.stdout for one in load_workload(tmp_path / "shown.yaml", "it").objectives)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_in_the_documentation_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("name", pages())
def test_the_reference_pages_are_those_of_the_code(name: str) -> None:
    assert (ROOT / "docs" / "reference" / name).read_text() == pages()[name], "make docs"
