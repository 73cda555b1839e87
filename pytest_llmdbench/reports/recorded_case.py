"""What reports say of a case beyond its record: the facts that were kept in the folder of the case."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pytest_llmdbench.results.recorded import CASE


def recorded_case(folder: Path) -> Mapping[str, Any]:
    """What ``case.json`` holds; empty where that cannot be read, for a report is of many cases."""
    try:
        case = json.loads((folder / CASE).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return case if isinstance(case, dict) else {}
