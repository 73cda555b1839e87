"""Tests of reports run the same small project as those of the plugin."""

from __future__ import annotations

from tests.plugin.conftest import project

__all__ = ["project"]
