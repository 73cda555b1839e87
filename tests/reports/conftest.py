"""Tests of reports run the same small project as those of the plugin, and look at pages in one browser a file."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.plugin.conftest import project
from tests.reports import browser

__all__ = ["project"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[browser.Page]:
    """A browser's page; tests that ask for it carry the marker ``browser``."""
    with browser.browser(tmp_path_factory.mktemp("browser") / "profile") as page:
        yield page
