"""Results on disk: ``<place>/<run>/<case>/``, one folder per case with all that a report or a new verdict needs."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any


def new_run_id() -> str:
    """A name for one session's results that sorts by time and is unique: ``20261123-114502-9f3a``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def case_folder(run_folder: Path, nodeid: str) -> Path:
    """A new folder for one run of a case; a repeated case gets ``.2``, ``.3`` ..."""
    name = re.sub(r"[^\w.+-]+", "_", nodeid.rpartition("/")[2]).strip("_")[:200]
    for number in range(1, 10_000):
        folder = run_folder / (name if number == 1 else f"{name}.{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise FileExistsError(run_folder / name)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all: readers never see half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(data, indent=2, default=str) + "\n", encoding="utf-8")
    temporary.replace(path)
