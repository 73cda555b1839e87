"""A table of results as a file that other programs read: CSV, Parquet, JSON or YAML, by the ending of its name."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.errors import DeclarationError, ResultsError, nearest
from pytest_llmdbench.results.whole_file import whole_file

if TYPE_CHECKING:
    import pandas as pd


def export(frame: pd.DataFrame, path: Path) -> None:
    """Write ``frame``, as :func:`~pytest_llmdbench.results.frame.frame` gives it; whole or not at all.

    CSV and Parquet have all columns, absent values empty; JSON and YAML are lists of rows, each with what it has.

    Raises:
        DeclarationError: the ending is none of :data:`ENDINGS`.
        ResultsError: the file cannot be written.
    """
    write = writer(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            write(frame, temporary)
    except OSError as error:
        raise ResultsError(f"{path}: cannot be written: {error}") from error


def writer(path: Path) -> Callable[[pd.DataFrame, Path], None]:
    """What writes the format that the ending of a name stands for. Raises DeclarationError where it is none."""
    write = ENDINGS.get(path.suffix.lower())
    if write is None:
        raise DeclarationError(
            f"{path}: the ending of a table's name says its format; {nearest(path.suffix.lower(), ENDINGS)}"
        )
    return write


def _csv(frame: pd.DataFrame, path: Path) -> None:
    frame.to_csv(path, index=False)


def _parquet(frame: pd.DataFrame, path: Path) -> None:
    frame.to_parquet(path, index=False)


def _json(frame: pd.DataFrame, path: Path) -> None:
    path.write_text(json.dumps(_records(frame), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _yaml(frame: pd.DataFrame, path: Path) -> None:
    from pytest_llmdbench.results.plain_yaml import plain_yaml

    path.write_text(plain_yaml(_records(frame)), encoding="utf-8")


#: Ending of a name -> what writes that format.
ENDINGS: Final[Mapping[str, Callable[[pd.DataFrame, Path], None]]] = {
    ".csv": _csv, ".parquet": _parquet, ".json": _json, ".yaml": _yaml,
}  # fmt: skip


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    import pandas as pd

    rows = frame.to_dict(orient="records")
    return [{str(name): _plain(value) for name, value in row.items() if not pd.isna(value)} for row in rows]


def _plain(value: Any) -> Any:
    """A cell as JSON and YAML have it; a moment as ISO 8601."""
    import pandas as pd

    return value.isoformat() if isinstance(value, pd.Timestamp) else value.item() if hasattr(value, "item") else value
