"""The load program that docs/own-harness.md shows is a whole one: installed as it stands there, it runs."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from pytest_llmdbench.errors import DeclarationError
from pytest_llmdbench.harnesses.registry import Harnesses
from tests.plugin.quick_load import QuickLoad

PAGE = Path(__file__).parents[2] / "docs" / "own-harness.md"


@pytest.fixture
def installed(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """The package of the page, as pip would have installed it, and a project with its workload."""
    for variable in ("LLMDBENCH_GUARD", "PYTEST_XDIST_WORKER", "PYTEST_ADDOPTS", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(variable, raising=False)
    text = PAGE.read_text(encoding="utf-8")
    shown = dict(re.findall(r"^```\w+\n# (\S+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    site = pytester.mkdir("site")
    for path in ("src/my_load/program.py", "src/my_load/harness.py"):
        file = site / Path(path).relative_to("src")
        file.parent.mkdir(exist_ok=True)
        file.write_text(shown[path], encoding="utf-8")
    project = tomllib.loads(shown["pyproject.toml"])["project"]
    (named,) = project["entry-points"]["pytest11"].items()
    info = site / f"my_load-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: my-load\nVersion: {project['version']}\n")
    (info / "entry_points.txt").write_text(f"[pytest11]\n{named[0]} = {named[1]}\n")
    monkeypatch.setenv("PYTHONPATH", str(site))
    (workload,) = re.findall(r"^```text\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    file = pytester.path / "workloads/my-load/story.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(workload, encoding="utf-8")
    pytester.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("chatbot")
        def test_chat(result, slo):
            slo.verify(result)
        """
    )
    return pytester


def test_the_load_program_of_the_page_runs_as_it_stands_there(installed: pytest.Pytester) -> None:
    words = ["--scenario=local", "--llmd-harness=my-load", "--llmd-overrides=requests=12", "--llmd-set=slo=[]"]
    done = installed.runpytest_subprocess(*words, "--llmd-slo=ttft.mean<=20s")
    assert done.ret == 0
    done.stdout.fnmatch_lines(["*local-my-load-story* PASS*"])
    (file,) = (installed.path / "llmdbench-results").rglob("result.json")
    whole = json.loads(file.read_text(encoding="utf-8"))["whole"]
    assert whole["requests"] == {"completed": 12, "failed": {}, "unfinished": 0}
    assert (whole["output_tokens"], whole["tokens_per_event"]) == (12 * 16, 1)
    assert sorted(whole["latencies"]) == ["e2e", "itl", "normalized_tpot", "tpot", "ttft"]


def test_what_the_profile_of_the_page_has_no_key_for_is_told(installed: pytest.Pytester) -> None:
    done = installed.runpytest_subprocess("--scenario=local", "--llmd-harness=my-load", "--llmd-overrides=request=12")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*'request'*requests*"])


def test_a_harness_that_lacks_a_member_is_told_which() -> None:
    half = type("Half", (), {name: value for name, value in vars(QuickLoad).items() if name not in ("watch", "filled")})
    with pytest.raises(
        DeclarationError, match=r"harness 'quick-load' \(.*Half\) has no 'filled', 'watch', which every"
    ):
        Harnesses([half()])
