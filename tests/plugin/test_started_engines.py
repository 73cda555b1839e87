"""How far the memory of an engine that started is from its estimate is told in every report, and kept where asked for.

No engine starts here: the simulator answers in its place, and the log of its start is made up.
"""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path

import pytest

from tests.capacity.made_up_log import made_up_log
from tests.plugin.conftest import QUICK_LOAD

SCENARIO = """
deploy: standalone
harness: quick-load
model: {name: meta-llama/Llama-3.1-8B-Instruct, tokenizer: none}
accelerator: {product: NVIDIA-H100-80GB-HBM3}
vllm: {max_model_len: 8192, gpu_memory_utilization: 0.95}
simulator: {itl: 0.05}
load: {where: here, scrape_s: 0}
"""
LINE = re.compile(r"^stack h100, server: KV cache 57\.00 GiB, estimated ([\d.]+) \(([+-][\d.]+)%\); concurrency", re.M)
STORE = "--llmd-store-corrections"


@pytest.fixture
def made_up(project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.Pytester:
    """The project, with a scenario whose engine left a log of a start."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    shutil.copy(QUICK_LOAD.with_name("made_up_start.py"), project.path)
    project.makeconftest("pytest_plugins = ['quick_load', 'made_up_start']")
    (project.path / "scenarios/h100.yaml").write_text(SCENARIO)
    (project.path / "engine.log").write_text(made_up_log(kv_gib=57.0))
    return project


def run(project: pytest.Pytester, *words: str) -> str:
    # Whether the case passes is a matter of how busy the machine is.
    done = project.runpytest_subprocess("--scenario=h100", "--llmd-allow=invalid", *words)
    assert done.ret == 0
    return done.stdout.str()


def corrections(tmp_path: Path) -> Path:
    return tmp_path / "data" / "llmdbench" / "capacity.json"


def test_the_terminal_tells_it_in_a_line_for_each_engine_with_a_made_up_log(
    made_up: pytest.Pytester, tmp_path: Path
) -> None:
    out = run(made_up)
    summary = out[out.index("= llmdbench =") :]
    assert len(LINE.findall(summary)) == 1
    assert "Llama-3.1-8B-Instruct on" not in summary
    assert not corrections(tmp_path).exists()
    more = run(made_up, "-v").splitlines()
    at = next(number for number, line in enumerate(more) if "on 1 x H100-SXM-80GB, vLLM 0.19.0" in line)
    assert more[at + 1].split() == ["estimated", "log", "error"]
    assert more[at + 2].split()[0] == "weights"


def test_the_page_the_summary_and_the_results_tell_it_with_a_made_up_log(made_up: pytest.Pytester) -> None:
    run(made_up, "--html=r.html", "--self-contained-html", "--llmd-summary=s.md")
    page = html.unescape((made_up.path / "r.html").read_text())
    assert "stack h100, server: meta-llama/Llama-3.1-8B-Instruct on 1 x H100-SXM-80GB, vLLM 0.19.0" in page
    assert re.search(r"<td>KV cache, GiB</td><td>[\d.]+</td><td>57\.00</td><td>[+-][\d.]+%</td>", page)
    assert "- stack h100, server: KV cache" in (made_up.path / "s.md").read_text()
    (case,) = (made_up.path / "llmdbench-results").rglob("case.json")
    (engine,) = json.loads(case.read_text())["stack_facts"]["capacity"]
    assert {one["name"]: one["measured"] for one in engine["compared"]}["KV cache"] == 57.0


def test_what_a_start_showed_is_kept_where_asked_for_and_the_next_estimate_has_it_with_a_made_up_log(
    made_up: pytest.Pytester, tmp_path: Path
) -> None:
    out = run(made_up, STORE)
    assert f"kept in {corrections(tmp_path)}" in out.replace("\n  ", " ")
    ((estimated, error),) = set(LINE.findall(out))
    (kept,) = json.loads(corrections(tmp_path).read_text()).values()
    assert kept["kv_gib"] == pytest.approx(57.0 - float(estimated), abs=0.01)
    assert float(error) != 0
    ((estimated, error),) = set(LINE.findall(run(made_up)))
    assert (float(estimated), abs(float(error))) == (57.0, 0)


def test_recorded_runs_tell_it_again_and_can_be_kept_with_a_made_up_log(
    made_up: pytest.Pytester, tmp_path: Path
) -> None:
    run(made_up)
    words = ("--llmd-from-results=llmdbench-results", "--html=r.html", "--self-contained-html")
    done = made_up.runpytest_subprocess(*words, STORE)
    assert len(LINE.findall(done.stdout.str())) == 1
    assert "<td>57.00</td>" in (made_up.path / "r.html").read_text()
    assert corrections(tmp_path).is_file()


def test_a_gpu_that_the_scenario_does_not_name_is_that_of_a_made_up_log_in_recorded_runs_as_well(
    made_up: pytest.Pytester, tmp_path: Path
) -> None:
    scenario = made_up.path / "scenarios/h100.yaml"
    scenario.write_text(scenario.read_text().replace("accelerator:", "huggingface: {}\n# accelerator:"))
    (made_up.path / "engine.log").write_text(made_up_log(kv_gib=57.0, device="NVIDIA_H100_80GB_HBM3"))
    assert len(LINE.findall(run(made_up, "-v"))) == 2
    (made_up.path / "engine.log").unlink()
    again = made_up.runpytest_subprocess("--llmd-from-results=llmdbench-results", "-v", STORE).stdout.str()
    assert len(LINE.findall(again)) == 1
    assert "on 1 x H100-SXM-80GB, vLLM 0.19.0; its GPU is known by its own log" in re.sub(r"\n +", " ", again)
    assert "H100-SXM-80GB" in corrections(tmp_path).read_text()


def test_stacks_of_whose_start_nothing_is_known_have_no_word_of_it(made_up: pytest.Pytester, tmp_path: Path) -> None:
    done = made_up.runpytest_subprocess("--scenario=one", STORE, "-v", "--html=r.html", "--self-contained-html")
    assert "stack one: up in" in done.stdout.str()
    assert "KV cache" not in done.stdout.str()
    assert "Memory of each engine" not in (made_up.path / "r.html").read_text()
    assert not corrections(tmp_path).exists()
