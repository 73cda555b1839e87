"""The file of single requests, read a piece at a time: of a million requests some thousand are in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.results.request import Outcome

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from pytest_llmdbench.results.table import Numbers

#: Rows that are held in memory at once: with answers of 1,000 events a piece takes 16 MB.
PIECE: Final = 4096
#: The same of plain numbers, at an eighth of a megabyte a column.
ROWS: Final = 16_384
#: What may become of a request, as numbers in memory.
OUTCOMES: Final[tuple[Outcome, ...]] = ("completed", "failed", "unfinished")


def open_table(path: Path, footer: Any = None) -> pq.ParquetFile:
    """The file, to be closed by the caller; ``footer`` is its metadata, where that was read before."""
    import pyarrow.parquet as pq

    # By default a column of the whole file is in memory before its first piece is there.
    return pq.ParquetFile(path, metadata=footer, pre_buffer=False)


def chosen_rows(
    file: pq.ParquetFile, names: Sequence[str], rows: int, stage: int | None, outcome: Outcome | None
) -> Iterator[pa.RecordBatch]:
    """The named columns of the requests of a stage with an outcome (None: of any), from ``rows`` rows at a time."""
    import numpy as np
    import pyarrow as pa

    columns = [*names, *(["stage"] if stage is not None else []), *(["outcome"] if outcome is not None else [])]
    # Threads would each keep memory of their own, for columns that take milliseconds.
    for piece in file.iter_batches(rows, columns=columns, use_threads=False):
        chosen = np.ones(len(piece), dtype=bool)
        if stage is not None:
            chosen &= numbers(piece.column("stage")) == stage
        if outcome is not None:
            chosen &= codes(piece.column("outcome")) == OUTCOMES.index(outcome)
        yield piece.filter(pa.array(chosen))


def numbers(column: pa.Array) -> Numbers:
    """A column of numbers; NaN where there is none."""
    found: Numbers = column.cast("double", safe=False).to_numpy(zero_copy_only=False)
    return found


def codes(column: pa.Array) -> Any:
    """A column of outcomes, each as its place in :data:`OUTCOMES`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.index_in(column.cast("string"), value_set=pa.array(OUTCOMES)).to_numpy(zero_copy_only=False)


def joined(pieces: Iterable[Numbers], most: int) -> Numbers:
    """Pieces as one array, at no time in memory twice; together they are ``most`` numbers or fewer."""
    import numpy as np

    found, end = np.empty(most), 0
    for piece in pieces:
        found[end : end + len(piece)] = piece
        end += len(piece)
    return found[:end]


def _itself(found: Numbers) -> Numbers:
    return found


def _e2e(ended: Numbers, sent: Numbers) -> Numbers:
    return ended - sent


def _normalized_tpot(ended: Numbers, sent: Numbers, tokens: Numbers) -> Numbers:
    import numpy as np

    return _e2e(ended, sent) / np.where(tokens > 0, tokens, np.nan)


#: Latencies that are no columns -> the columns that they are defined by, and how.
_DEFINED: Final[Mapping[str, tuple[tuple[str, ...], Callable[..., Numbers]]]] = {
    "e2e": (("ended", "sent"), _e2e),
    "normalized_tpot": (("ended", "sent", "output_tokens"), _normalized_tpot),
}


def definition(name: str) -> tuple[tuple[str, ...], Callable[..., Numbers]]:
    """The columns that the numbers of a name are made from, and how; mostly it is a column itself."""
    return _DEFINED.get(name, ((name,), _itself))
