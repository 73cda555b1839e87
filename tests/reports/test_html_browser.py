"""What people see and do in the page, in a real browser without a network.

Pictures of the page are put into the folder that ``LLMDBENCH_TEST_PICTURES`` names.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.reports import browser
from tests.reports.recorded_cases import case, metrics, verdict
from tests.reports.seen import SIZES, report_of, unfold_all

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.program() is None, reason=f"no browser on this machine: none of {browser.NAMES}"),
]

HOSTILE = '<img src=x onerror="window.hacked=1">\' & </script>'


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a sweep of six cases, one of them with a hostile name and one that ended in an error."""
    place = tmp_path_factory.mktemp("report")
    for rate in (2.0, 8.0):
        for batch in (4, 64):
            name, factors = f"rate{rate:g}-batch{batch}", {"rate": rate, "batch": batch}
            case(place / f"run/{name}", name, rates=(rate, 2 * rate), server=metrics(2), factors=factors, failed=2)
    hostile: dict[str, Any] = {"model": HOSTILE, "workload": HOSTILE, "factors": {HOSTILE: HOSTILE, "rate": HOSTILE}}
    case(place / "run/hostile", HOSTILE, rates=(1.0,), seconds=1, **hostile)
    case(place / "run/other", "other-program", rates=(2.0, 4.0), single=False, harness="guidellm")
    (place / "run/lost").mkdir()
    (place / "run/lost/case.json").write_text('{"case": "lost", "stack": "local"}')
    (place / "run/lost/result.json").write_text("{")
    return report_of(place, "--llmd-from-results=run")


def enter(page: browser.Page, field: str, value: str, event: str) -> None:
    """Put a value into a field, as typing or choosing does."""
    page.run(
        f"(() => {{ const one = document.querySelector({field!r}); one.value = {value!r};"
        f" one.dispatchEvent(new Event({event!r})); }})()"
    )


def shown(page: browser.Page) -> list[str]:
    """The cases whose rows are seen."""
    rows = "[...document.querySelectorAll('tbody.results-table-row')].filter((one) => one.offsetParent)"
    found: list[str] = page.run(f"{rows}.map((one) => one.querySelector('.col-testId').textContent)")
    return [name.split("::")[1] for name in found]


def unfolded(page: browser.Page) -> list[str]:
    """The tests whose rows are unfolded."""
    script = (
        "[...document.querySelectorAll('tr.collapsible')].filter((one) => !one.nextElementSibling.classList.contains"
    )
    found: list[str] = page.run(f"{script}('hidden')).map((one) => one.querySelector('.col-testId').textContent)")
    return found


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_every_chart_is_drawn_without_a_complaint_or_a_request(
    report: Path, page: browser.Page, size: str, dark: bool
) -> None:
    page.requests.clear()
    page.complaints.clear()
    width, height = SIZES[size]
    page.show(report, width=width, height=height, dark=dark)
    unfold_all(page)
    titles = page.run("[...document.querySelectorAll('.llmd-chart figcaption')].map((one) => one.textContent)")
    assert {title.partition(":")[0] for title in titles} >= {
        "Latency against throughput", "Effect of batch", "Effect of rate", "Load programs side by side",
        "Latencies", "Latency against load", "Requests over time", "Servers over time",
    }  # fmt: skip
    # Every chart has marks or lines in it, not only axes.
    empty = "(one) => !one.querySelector('.trace, .points path, .bars path')"
    assert page.run(f"[...document.querySelectorAll('.llmd-plot')].filter({empty}).length") == 0
    assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.run("window.hacked") is None
    assert page.complaints == []
    assert {url for url in page.requests if not url.startswith(("data:", "blob:"))} == {report.as_uri()}
    if pictures := os.environ.get("LLMDBENCH_TEST_PICTURES"):
        name = f"{size}-{'dark' if dark else 'light'}"
        page.picture(Path(pictures) / f"report-{name}-whole.png", whole=True)
        page.run("scrollTo(0, 0)")
        page.picture(Path(pictures) / f"report-{name}.png")


def test_the_top_of_the_page_tells_the_verdicts_in_one_screen(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    for part in (".llmd-counts", ".llmd-facts", ".llmd-causes"):
        box = page.run(f"document.querySelector('{part}').getBoundingClientRect().bottom")
        assert box <= 900, part


def test_columns_sort_by_their_numbers(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    page.run("document.querySelector('th[data-column-type=e2e_p99]').click()")
    script = "[...document.querySelectorAll('td.col-e2e_p99 data')].map((one) => one.getAttribute('value'))"
    values = page.run(script)
    assert values == sorted(values)
    page.run("document.querySelector('th[data-column-type=e2e_p99]').click()")
    assert page.run(script) == values[::-1]


def test_cases_are_filtered_by_words_and_by_verdict(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    enter(page, "#llmd-words", "batch 64 RATE8", "input")
    assert shown(page) == ["rate8-batch64"]
    enter(page, "#llmd-words", "", "input")
    page.run("document.querySelector('[data-llmd-verdict=ERROR]').click()")
    assert shown(page) == ["lost"]
    page.run("document.querySelector('[data-llmd-verdict=ERROR]').click()")
    assert len(shown(page)) == 7


def test_a_filter_stays_when_a_row_is_folded(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    page.run("document.querySelector('[data-llmd-verdict=ERROR]').click()")
    page.run("[...document.querySelectorAll('td.col-result')].find((one) => one.offsetParent).click()")
    assert shown(page) == ["lost"]


def test_a_case_is_reached_from_what_went_wrong_with_it(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    page.run("document.getElementById('hide_all_details').click()")
    link = "document.querySelector('.llmd-causes a')"
    name = page.run(f"{link}.textContent")
    page.run(f"{link}.click()")
    assert [test.split("::")[1] for test in unfolded(page)] == [name]


def test_a_chart_that_was_zoomed_stays_so_when_another_row_is_unfolded(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    unfold_all(page)
    page.run(
        "(async () => { const plot = document.querySelector('.llmd-more .llmd-plot');"
        " await window.Plotly.relayout(plot, { 'yaxis.range': [0.25, 0.5] }); plot.dataset.zoomed = 'yes'; })()"
    )
    page.run("[...document.querySelectorAll('.col-result')].at(-1).click()")
    assert page.run("document.querySelector('[data-zoomed]').layout.yaxis.range") == [0.25, 0.5]


def test_charts_take_the_colours_of_the_night_when_it_comes(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    unfold_all(page)
    ink = "document.querySelector('.llmd-plot .xtick text, .llmd-plot .ytick text').style.fill"
    before = page.run(ink)
    page.ask("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    page.wait(f"{ink} !== {before!r}")


def test_the_effect_of_a_factor_is_drawn_on_what_is_chosen(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=2000)
    page.wait("document.querySelectorAll('#llmd-across-charts [data-llmd-drawn]').length >= 3")
    title = "[...document.querySelectorAll('#llmd-across-charts .ytitle')].map((one) => one.textContent)"
    assert "TTFT p99, ms" in page.run(title)
    enter(page, "#llmd-choices label:last-child select", "tpot_p50", "change")
    page.wait(f"{title}.includes('TPOT p50, ms')")


def test_the_page_of_no_case_stands(tmp_path: Path, page: browser.Page) -> None:
    (tmp_path / "test_none.py").write_text("def test_none():\n    pass\n")
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--scenario=local", "--llmd-slo=ttft.p99<=1s"]
    subprocess.run(
        [*command, "--html=report.html", "--self-contained-html"],
        cwd=tmp_path,
        capture_output=True,
        timeout=300,
        check=True,
    )
    page.complaints.clear()
    page.show(tmp_path / "report.html", width=390, height=800)
    page.wait("document.querySelector('.llmd-scroll #results-table')")
    assert page.complaints == []


def test_an_objective_that_is_missed_is_said_so_in_its_row(tmp_path: Path, page: browser.Page) -> None:
    from pytest_llmdbench.reports.html_case import details

    record = {"case": "a", "verdict": verdict(0.75)}
    content = details(record, tmp_path / "report.html")["content"]
    (tmp_path / "row.html").write_text(f"<!DOCTYPE html><html><body>{content}</body></html>")
    page.show(tmp_path / "row.html", width=1280, height=800)
    cells = page.run("[...document.querySelectorAll('.llmd-objectives td')].map((one) => one.textContent)")
    assert cells[:5] == ["FAIL", "ttft.p99 <= 500 ms", "750.0 ms", "? .. more", "+50.0%"]
