"""--html gives one page that has everything in it, however the cases came about."""

from __future__ import annotations

import base64
import gzip
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.reports.recorded_cases import case


def charts(page: str) -> list[dict[str, Any]]:
    found = re.search(r'id="llmd-data">([^<]*)<', page)
    assert found
    return [one["charts"] for one in json.loads(gzip.decompress(base64.b64decode(found[1])))["cases"].values()]


def rows(page: str) -> dict[str, Any]:
    found = re.search(r'data-jsonblob="([^"]*)"', page)
    assert found
    tests: dict[str, Any] = json.loads(html.unescape(found[1]))["tests"]
    return tests


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["alone", "xdist"])
def test_cases_that_ran_are_counted_and_drawn(project: pytest.Pytester, workers: list[str]) -> None:
    # Whether they pass is a matter of how busy the machine is.
    project.runpytest_subprocess("--scenario=one,two", "--html=r.html", "--self-contained-html", *workers)
    page = (project.path / "r.html").read_text()
    assert "2 cases by verdict" in page
    assert len(charts(page)) == 2
    assert all(one["curves"] for one in charts(page))
    assert all("llmd-case" in one[0]["extras"][0]["content"] for one in rows(page).values())


def test_recorded_cases_are_drawn(pytester: pytest.Pytester) -> None:
    case(pytester.path / "run/a", "a", rates=(2.0, 8.0))
    done = pytester.runpytest_subprocess("--llmd-from-results=run", "--html=r.html", "--self-contained-html")
    page = (pytester.path / "r.html").read_text()
    assert {*charts(page)[0]} == {"curves", "load", "requests"}
    assert done.ret in (0, 1)


def test_a_test_that_is_no_benchmark_has_a_row_beside_those_that_are(project: pytest.Pytester) -> None:
    (project.path / "test_other.py").write_text("def test_other():\n    pass\n")
    project.runpytest_subprocess("--scenario=one", "--html=r.html", "--self-contained-html")
    page = (project.path / "r.html").read_text()
    assert "test_other.py::test_other" in page
    assert "1 case by verdict" in page


def test_a_session_without_cases_has_a_page(project: pytest.Pytester) -> None:
    project.runpytest_subprocess("--scenario=one", "-k", "no such", "--html=r.html", "--self-contained-html")
    assert "No benchmark has run." in (project.path / "r.html").read_text()


def test_a_stack_that_does_not_come_up_is_on_the_page_with_its_reason(project: pytest.Pytester) -> None:
    (project.path / "scenarios/one.yaml").write_text(
        "harness: quick-load\nsimulator: {faults: {startup_s: 60}}\ntimeouts: {standup_s: 1}\n"
    )
    assert project.runpytest_subprocess("--scenario=one", "--html=r.html", "--self-contained-html").ret == 1
    page = (project.path / "r.html").read_text()
    assert "<b>1</b> ERROR" in page
    assert "What did not pass, and why" in page


def test_a_benchmark_found_without_an_option_of_ours_is_on_the_page(project: pytest.Pytester) -> None:
    (project.path / "scenarios/local.yaml").write_text("harness: quick-load\n")
    project.runpytest_subprocess("--html=r.html", "--self-contained-html")
    page = (project.path / "r.html").read_text()
    assert "llmd-top" in page


def test_without_html_nothing_of_the_page_is_made(project: pytest.Pytester) -> None:
    (project.path / "conftest.py").write_text(
        "pytest_plugins = ['quick_load']\n"
        "def pytest_runtest_logreport(report):\n"
        "    assert not getattr(report, 'extras', [])\n"
        "def pytest_sessionfinish():\n"
        "    import sys\n"
        "    assert 'pytest_llmdbench.reports.html_page' not in sys.modules\n"
        "    assert 'jinja2' not in sys.modules or 'pytest_html' in sys.modules\n"
    )
    assert "INTERNALERROR" not in project.runpytest_subprocess("--scenario=one").stdout.str()


def test_the_page_is_linked_to_the_files_from_where_it_is(pytester: pytest.Pytester) -> None:
    case(pytester.path / "run/a", "a")
    pytester.runpytest_subprocess("--llmd-from-results=run", "--html=pages/r.html", "--self-contained-html")
    page = (pytester.path / "pages/r.html").read_text()
    found = re.search(r"href=\\&#34;(\.\./[^&\\]*)", page)
    assert found
    assert (Path(pytester.path) / "pages" / found[1]).resolve() == (pytester.path / "run/a").resolve()
