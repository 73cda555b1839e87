"""How verdicts become pytest's outcomes, and what --llmd-allow changes about it.

The load program here is a stand-in that sends nothing and writes down times that it is told: what is tested is what
pytest makes of verdicts that are known beforehand.
"""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

CONFTEST = '''
import json, sys

pytest_plugins = ["quick_load"]
WRITE = "import json, sys; open('told.json', 'w').write(sys.argv[1])"

def pytest_llmdbench_harnesses():
    from quick_load import QuickLoad

    class ToldLoad(QuickLoad):
        """400 requests, of which every so many-th was slow, all of them sent so late."""

        name = "told-load"
        known_keys = frozenset({"every", "late"})

        def stages(self, profile):
            from pytest_llmdbench.harnesses.harness import PlannedStage
            return [PlannedStage(requests=400)]

        def expected_seconds(self, profile):
            return 1.0

        def command(self, profile, endpoint, place):
            from pytest_llmdbench.harnesses.harness import Command
            return Command([sys.executable, "-c", WRITE, json.dumps(profile)], place.folder)

        def read(self, folder):
            from pytest_llmdbench.results.result import Requests, Result, Stage
            whole = Stage(Requests(400), output_tokens=4000)
            return Result(self.name, "1", whole, (whole,))

        def requests(self, folder, own):
            from pytest_llmdbench.results.request import Request
            told = json.loads((folder / "told.json").read_text())
            for number in range(400):
                time = 1.0 if told["every"] and number % told["every"] == 0 else 0.1
                sent = 1_795_741_700.0 + number * 0.1
                yield Request(0, sent, sent + time, "completed", None, 10, 10, 10, time, 0.0, lag=told["late"])

    return [ToldLoad()]
'''
WORKLOADS = {
    "good": "{every: 0, late: 0.0}",
    "unsure": "{every: 10, late: 0.0}",
    "late": "{every: 0, late: 0.2}",
    "bad": "{every: 1, late: 0.0}",
}
WORKERS = pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])


@pytest.fixture
def told(project: pytest.Pytester) -> pytest.Pytester:
    """A benchmark with four workloads whose verdicts are PASS, INCONCLUSIVE, INVALID and FAIL."""
    project.makeconftest(CONFTEST)
    for name, text in WORKLOADS.items():
        path = project.path / f"workloads/told-load/{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    project.makepyfile(
        test_bench="""
        import pytest

        @pytest.mark.workload("good", "unsure", "late", "bad")
        @pytest.mark.slo("e2e.p90 <= 500ms")
        def test_chat(result, slo):
            slo.verify(result)
        """
    )
    return project


def run(told: pytest.Pytester, *words: str) -> pytest.RunResult:
    fixed = ["--scenario=one", "--llmd-harness=told-load", "--llmd-set=load.scrape_s=0"]
    return told.runpytest_subprocess(*fixed, "--junitxml=junit.xml", *words)


def letters(done: pytest.RunResult) -> str:
    """The letters of all tests; what is said on the way may stand between them."""
    found = (re.fullmatch(r"(?:test_bench\.py )?([.a-zA-Z])+(?:\s+\[ *\d+%\])?", line) for line in done.outlines)
    return "".join(match[0].removeprefix("test_bench.py ").partition(" ")[0] for match in found if match)


def junit(path: Path) -> dict[str, tuple[str, dict[str, str]]]:
    """Workload -> what JUnit calls its case, and its properties."""
    found = {}
    for case in ElementTree.parse(path / "junit.xml").iter("testcase"):
        outcome = next((one.tag for one in case if one.tag in ("failure", "error", "skipped")), "passed")
        properties = {str(one.get("name")): str(one.get("value")) for one in case.iter("property")}
        found[str(case.get("name")).removesuffix("]").rpartition("-")[2]] = (outcome, properties)
    return found


@WORKERS
def test_what_is_not_a_pass_fails_with_letters_and_words_of_its_own(told: pytest.Pytester, workers: list[str]) -> None:
    done = run(told, "-ra", "--html=page.html", "--self-contained-html", *workers)
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.assert_outcomes(passed=1, failed=3)
    assert letters(done) == ".NVF"
    done.stdout.fnmatch_lines(
        [
            "INCONCLUSIVE test_bench.py::test_chat?one-told-load-unsure? - INCONCLUSIVE: 1*",
            "INVALID test_bench.py::test_chat?one-told-load-late? - INVALID: the load prog*",
            "FAILED test_bench.py::test_chat?one-told-load-bad? - FAIL: 1 of 1 objective m*",
        ]
    )
    done.stdout.fnmatch_lines(
        ["*good *400* PASS", "*unsure *400* INCONCLUSIVE", "*late *400* INVALID", "*bad *400* FAIL"]
    )
    done.stdout.no_fnmatch_line("*Traceback*")
    found = junit(told.path)
    assert {name: outcome for name, (outcome, _) in found.items()} == {
        "good": "passed", "unsure": "failure", "late": "failure", "bad": "failure"
    }  # fmt: skip
    page = (told.path / "page.html").read_text()
    assert all(word in page for word in ("INCONCLUSIVE", "INVALID", "FAIL", "PASS"))


@WORKERS
def test_allowed_verdicts_neither_fail_nor_pass(told: pytest.Pytester, workers: list[str]) -> None:
    words = ["--llmd-allow=inconclusive,invalid", "-ra", "--html=page.html", "--self-contained-html", *workers]
    done = run(told, *words, "-k", "not bad")
    assert done.ret == pytest.ExitCode.OK
    assert letters(done) == ".nv"
    done.stdout.fnmatch_lines(["*= 1 passed*, 1 inconclusive, 1 invalid in *"])
    done.stdout.fnmatch_lines(["*unsure *400* INCONCLUSIVE", "*late *400* INVALID"])
    found = junit(told.path)
    assert {name: outcome for name, (outcome, _) in found.items()} == {
        "good": "passed", "unsure": "skipped", "late": "skipped"
    }  # fmt: skip
    page = (told.path / "page.html").read_text()
    assert "INCONCLUSIVE" in page
    assert "INVALID" in page


def test_one_that_is_allowed_does_not_hide_the_other_nor_a_miss(told: pytest.Pytester) -> None:
    (told.path / "pytest.ini").write_text("[pytest]\nllmd_allow =\n    inconclusive\n")
    done = run(told, "-v")
    assert done.ret == pytest.ExitCode.TESTS_FAILED
    done.stdout.fnmatch_lines(
        [
            "*::test_chat?one-told-load-good? PASSED*",
            "*::test_chat?one-told-load-unsure? INCONCLUSIVE*",
            "*::test_chat?one-told-load-late? INVALID*",
            "*::test_chat?one-told-load-bad? FAILED*",
        ]
    )
    done.stdout.fnmatch_lines(["*= 2 failed, 1 passed, 1 inconclusive in *"])


def test_a_miss_cannot_be_allowed(told: pytest.Pytester) -> None:
    done = run(told, "--llmd-allow=fail")
    assert done.ret == pytest.ExitCode.USAGE_ERROR
    done.stderr.fnmatch_lines(["*--llmd-allow: no verdict 'fail' can be allowed; there is inconclusive, invalid"])


def test_junit_has_value_bound_interval_and_outcome_of_every_objective(told: pytest.Pytester) -> None:
    run(told, "--llmd-slo=error_rate<=0.1%", "-k", "bad")
    _, properties = junit(told.path)["bad"]
    assert properties["llmd.verdict"] == "FAIL"
    assert properties["llmd.reason"] == "1 of 2 objectives missed"
    slo = {name.removeprefix("llmd.slo."): value for name, value in properties.items() if name.startswith("llmd.slo.")}
    assert slo["e2e.p90.outcome"] == "FAIL"
    assert float(slo["e2e.p90.value"]) == pytest.approx(1.0)
    assert (slo["e2e.p90.operator"], float(slo["e2e.p90.bound"])) == ("<=", 0.5)
    assert float(slo["e2e.p90.low"]) == pytest.approx(1.0)
    assert float(slo["e2e.p90.margin"]) == pytest.approx(1.0)
    assert (slo["error_rate.outcome"], float(slo["error_rate.value"])) == ("PASS", 0.0)
    assert "error_rate.low" not in slo
