"""Results on disk: ``<place>/<run>/<case>/``, one folder per case with all that a report or a new verdict needs."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

from pytest_llmdbench.errors import ResultsError
from pytest_llmdbench.results.loading import load_json
from pytest_llmdbench.results.result import Result
from pytest_llmdbench.results.whole_file import whole_file

#: The canonical result in the folder of a case.
RESULT: Final = "result.json"
#: What a session says of all its cases, beside their folders.
RUN: Final = "run.json"
#: Why a folder of a case may have none.
NO_RESULT: Final = "the run ended before its result was written"
#: The version of its form; raised when a reader of the old form could go wrong.
FORM: Final = 2
#: Runs of one case in one session that have a folder each.
_MOST: Final = 9_999


def new_run_id() -> str:
    """A name for one session's results that sorts by time and is unique: ``20261123-114502-9f3a``."""
    return f"{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def case_folder(run_folder: Path, nodeid: str) -> Path:
    """A new folder for one run of a case; a repeated case gets ``.2``, ``.3`` ... Raises ResultsError."""
    for folder in _folders(run_folder, nodeid):
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            if folder.is_dir():
                continue
            raise ResultsError(f"{folder}: is a file, where results were to go") from None
        except OSError as error:
            raise ResultsError(
                f"{folder}: cannot be made: {error.strerror}; --llmd-results says where results go"
            ) from error
        return folder
    raise ResultsError(f"{run_folder}: holds {_MOST} runs of {nodeid}, and has no name for a further one")


def case_folders(run_folder: Path, nodeid: str) -> list[Path]:
    """The folders that :func:`case_folder` made for one case, the first first; tests of one name share them."""
    return list(takewhile(Path.is_dir, _folders(run_folder, nodeid)))


def _folders(run_folder: Path, nodeid: str) -> Iterator[Path]:
    name = re.sub(r"[^\w.+-]+", "_", nodeid.rpartition("/")[2]).strip("_")[:200]
    return (run_folder / (name if number == 1 else f"{name}.{number}") for number in range(1, _MOST + 1))


def pooled_folder(folder: Path) -> Path:
    """The folder of what a repeated load's runs are pooled into, beside that of the first run; made on first use."""
    pooled = folder.with_name(f"{folder.name}.pooled")
    pooled.mkdir(exist_ok=True)
    return pooled


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all: readers never see half a file."""
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(data, indent=2, default=str) + "\n", encoding="utf-8")


def write_result(folder: Path, result: Result) -> None:
    """Keep a result in the folder of its case; tables of single requests are named relative to it."""
    write_json(folder / RESULT, {"form": FORM, **asdict(_with_tables(result, lambda path: _relative(path, folder)))})


def read_result(folder: Path) -> Result:
    """The result that :func:`write_result` kept in ``folder``.

    Raises:
        ResultsError: there is none, it was cut short, it is of another form, or a field is not what it should be.
    """
    from pydantic import ValidationError

    path = folder / RESULT
    if not path.exists():
        raise ResultsError(f"{folder}: has no {RESULT}: {NO_RESULT}")
    data = load_json(path)
    form = data.pop("form", None) if isinstance(data, dict) else None
    if form != FORM:
        raise ResultsError(f"{path}: is of form {form!r}; this version of pytest-llmdbench reads form {FORM}")
    try:
        result: Result = _adapter().validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise ResultsError(f"{path}: '{place}': {first['msg']}") from error
    return _with_tables(result, lambda path: folder / path)


def _with_tables(result: Result, named: Callable[[Path], Path]) -> Result:
    """A result, and the single runs that it is made of, with its tables named otherwise."""
    runs = tuple(_with_tables(one, named) for one in result.runs)
    return replace(result, table=named(result.table) if result.table else None, runs=runs)


def _relative(path: Path, folder: Path) -> Path:
    return Path(os.path.relpath(path, folder))


@cache
def _adapter() -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(Result)
