"""The charts of a rate search and of a comparison with a baseline, as a real browser draws them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.reports import browser
from tests.reports.recorded_cases import case
from tests.reports.recorded_search import search
from tests.reports.seen import SIZES, report_of, unfold_all

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(browser.program() is None, reason=f"no browser on this machine: none of {browser.NAMES}"),
]

HIGHEST = "[...document.querySelectorAll('.llmd-chart')].find((one) => one.textContent.startsWith('Highest rate'))"
BASELINE = "[...document.querySelectorAll('.llmd-chart')].find((one) => one.textContent.startsWith('Against'))"
#: Pairs of texts in one chart that stand on each other, by more than the room that letters leave.
OVERLAPS = """[...document.querySelectorAll('.llmd-chart-wide .llmd-plot')].flatMap((plot) => {
  const texts = [...plot.querySelectorAll('.xtick text, .ytick text, .annotation text, .xtitle, .ytitle, .legendtext')];
  const boxes = texts.map((one) => [one.textContent, one.getBoundingClientRect()]);
  const both = (a, b, from, to) => Math.min(a[to], b[to]) - Math.max(a[from], b[from]) > 2;
  return boxes.flatMap(([first, a], place) => boxes.slice(place + 1).filter(([, b]) =>
    both(a, b, 'left', 'right') && both(a, b, 'top', 'bottom')
  ).map(([second]) => `${first} | ${second}`));
})"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a search of five runs, and of three runs that are slower than a baseline of six."""
    place = tmp_path_factory.mktemp("second")
    for number in range(6):
        case(place / f"before/{number}/chat", "chat", rates=(2.0, 8.0), seconds=30, seed=number)
    for number in range(3):
        case(place / f"now/{number}/chat", "chat", rates=(2.0, 9.5), seconds=30, seed=100 + number)
    rates = [(24.0, False), (12.5, False), (5.0, False), (10.4, True), (10.9, True)]
    search(place / "now/search", "highest", rates)
    return report_of(place, "--llmd-from-results=now", "--llmd-baseline=before/")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_both_charts_are_drawn_and_no_text_stands_on_another(
    report: Path, page: browser.Page, size: str, dark: bool
) -> None:
    page.complaints.clear()
    width, height = SIZES[size]
    page.show(report, width=width, height=height, dark=dark)
    unfold_all(page)
    assert page.run(f"{HIGHEST}.querySelectorAll('.points path').length") == 5
    assert page.run(f"{BASELINE}.querySelectorAll('.points path').length") >= 7
    assert page.run(OVERLAPS) == []
    assert page.run("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.complaints == []
    if pictures := os.environ.get("LLMDBENCH_TEST_PICTURES"):
        for name, chart in (("search", HIGHEST), ("baseline", BASELINE)):
            page.run(f"{chart}.scrollIntoView()")
            page.picture(Path(pictures) / f"{name}-{size}-{'dark' if dark else 'light'}.png")


def test_runs_bound_and_answer_of_a_search_stand_where_they_were_measured(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    unfold_all(page)
    plot = f"{HIGHEST}.querySelector('.llmd-plot')"
    named = f"Object.fromEntries({plot}.data.filter((one) => one.name).map((one) => [one.name, one.x]))"
    assert page.run(named) == {"SLO proven": [5, 10.4], "missed": [10.9, 12.5, 24]}
    assert page.run(f"{plot}.layout.shapes.map((one) => [one.x0, one.x1])") == [[10.4, 10.9]]
    lines = page.run(f"{plot}.data.filter((one) => one.mode === 'lines').map((one) => [one.x, one.y])")
    assert [10.4, 10.4] in [x for x, _ in lines]
    assert [300, 300] in [y for _, y in lines]
    texts = page.run(f"{plot}.layout.annotations.map((one) => one.text.trim())")
    assert texts == ["<b>highest rate 10.4/s</b>", "ttft.p90 &lt;= 300 ms"]


def test_passed_and_missed_differ_in_more_than_their_colour(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    unfold_all(page)
    for chart in (HIGHEST, BASELINE):
        data = f"{chart}.querySelector('.llmd-plot').data.filter((one) => one.name)"
        shapes = page.run(f"{data}.map((one) => one.marker.symbol)")
        assert len(shapes) == len(set(shapes)) >= 2


def test_both_charts_say_in_words_what_they_show(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    unfold_all(page)
    label = ".querySelector('[role=img]').getAttribute('aria-label')"
    assert "10.4 requests/s, missed at 10.9" in page.run(HIGHEST + label)
    assert "worse than the baseline: ttft.p50" in page.run(BASELINE + label)


def test_what_got_worse_is_right_of_its_margin(report: Path, page: browser.Page) -> None:
    page.show(report, width=1280, height=900)
    unfold_all(page)
    plot = f"{BASELINE}.querySelector('.llmd-plot')"
    worse = page.run(f"{plot}.data.find((one) => one.name === 'regression').x")
    assert worse
    assert all(one > 0.05 for one in worse)
    better = page.run(f"{plot}.data.find((one) => one.name === 'no regression').x")
    assert all(one < 0.05 for one in better)
