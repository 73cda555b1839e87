"""The wheel holds everything that an installed plugin needs, far from the source tree."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = "import sys; from hatchling.build import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run([sys.executable, "-c", build, str(folder)], cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.parametrize(
    "name",
    [
        "pytest_llmdbench/py.typed",
        "pytest_llmdbench/shipped/scenarios/local.yaml",
        "pytest_llmdbench/shipped/scenarios/cpu.yaml",
        "pytest_llmdbench/shipped/workloads/inference-perf/chatbot_synthetic.yaml",
        "pytest_llmdbench/shipped/workloads/lm-eval/tasks/sanity.jsonl",
        "pytest_llmdbench/shipped/workloads/nop/nop.yaml",
        "pytest_llmdbench/harnesses/locks/inference-perf-0.7.0.txt",
        "pytest_llmdbench/harnesses/inference_perf_keys.json",
        "pytest_llmdbench/data/gpu_prices.yaml",
        "pytest_llmdbench/harnesses/torch_shim/torch/__init__.py",
        "pytest_llmdbench/reports/page/page.css",
        "pytest_llmdbench/simulator/__main__.py",
    ],
)
def test_the_wheel_holds_what_is_needed_at_run_time(wheel: Path, name: str) -> None:
    assert name in zipfile.ZipFile(wheel).namelist()


def test_the_installed_plugin_finds_its_scenarios_and_workloads_from_an_empty_folder(
    wheel: Path, tmp_path: Path
) -> None:
    site, project = tmp_path / "site", tmp_path / "project"
    zipfile.ZipFile(wheel).extractall(site)
    project.mkdir()
    (project / "test_mine.py").write_text((ROOT / "benchmarks" / "test_chatbot.py").read_text())
    # -P and the extracted wheel first on the path: the source tree is not looked at.
    run = f"import sys; sys.path.insert(0, {str(site)!r}); import pytest, pytest_llmdbench"
    run += "; print(pytest_llmdbench.__file__)"
    run += "; sys.exit(pytest.main(['--scenario=local', '--llmd-dry-run', '-p', 'no:cacheprovider']))"
    done = subprocess.run([sys.executable, "-P", "-c", run], cwd=project, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert str(site) in done.stdout.splitlines()[0]
    assert "local-inference-perf-chatbot_synthetic" in done.stdout


def test_no_file_of_the_project_names_a_registry_or_a_place_of_this_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    words = ["pypi" + ".org", "python" + "hosted", "/" + "work/", "/root" + "/"]
    for name in listed:
        path = ROOT / name
        if path.suffix not in (".png",) and path.is_file():
            text = path.read_text(errors="replace")
            assert not [word for word in words if word in text], name
