"""The HTML report as people come to see it: made from recorded cases, unfolded, on screens of usual sizes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.reports import browser

SIZES = {"wide": (1280, 900), "narrow": (390, 844)}


def report_of(place: Path, *words: str) -> Path:
    """The page that pytest makes of the results recorded in ``place``."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *words]
    told = subprocess.run(
        [*command, "--html=report.html", "--self-contained-html"],
        cwd=place,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (place / "report.html").is_file(), told.stdout + told.stderr
    return place / "report.html"


def unfold_all(page: browser.Page) -> None:
    """Unfold every row and look at every chart, as somebody who scrolls through the page does."""
    page.run("document.getElementById('show_all_details').click()")
    page.wait("document.querySelectorAll('.llmd-case').length && document.querySelectorAll('.llmd-more figure').length")
    page.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.run(
        "(async () => { for (const plot of document.querySelectorAll('.llmd-plot')) {"
        " plot.scrollIntoView(); await new Promise((done) => setTimeout(done, 60)); } })()"
    )
    page.wait("[...document.querySelectorAll('.llmd-plot')].every((one) => one.hasAttribute('data-llmd-drawn'))")
