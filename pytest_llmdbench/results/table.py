"""The file of single requests: one row a request, columns in canonical units, Parquet.

Written and read in pieces, so that a million requests take hardly more memory than a thousand; what needs all numbers
of a column at once, as a percentile does, has it at 8 bytes a request.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.results.request import Outcome, Request
from pytest_llmdbench.results.result import UNLABELLED
from pytest_llmdbench.results.table_pieces import (
    OUTCOMES,
    PIECE,
    ROWS,
    chosen_rows,
    codes,
    definition,
    joined,
    numbers,
    open_table,
)
from pytest_llmdbench.results.whole_file import whole_file

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    #: Numbers of a column; of gaps in single precision.
    Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]

#: The table's name in the folder of a case.
TABLE: Final = "requests.parquet"


def write_table(path: Path, requests: Iterable[tuple[int, Request]]) -> None:
    """Write requests, each with the number of the program that sent it, from 0; whole or not at all."""
    import pyarrow.parquet as pq

    rows = iter(requests)
    schema = _schema()
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        while piece := list(islice(rows, PIECE)):
            writer.write_batch(_batch(piece, schema))


def pool_tables(path: Path, tables: Sequence[Path]) -> None:
    """Write the requests of several runs as one table, whole or not at all; ``run`` counts the runs from 0."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    with whole_file(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for number, table in enumerate(tables):
            with open_table(table) as file:
                for batch in file.iter_batches(PIECE, use_threads=False):
                    run = pa.array([number] * len(batch), schema.field("run").type)
                    columns = [
                        run if field.name == "run" else batch.column(field.name).cast(field.type) for field in schema
                    ]
                    writer.write_batch(pa.record_batch(columns, schema=schema))


def _schema() -> pa.Schema:
    import pyarrow as pa

    whole, number = pa.int64(), pa.float64()
    return pa.schema(
        {
            "run": pa.int16(),
            "program": pa.int16(),
            "stage": pa.int16(),
            "sent": number,
            "ended": number,
            "outcome": pa.dictionary(pa.int8(), pa.string()),
            "error": pa.dictionary(pa.int32(), pa.string()),
            "prompt_tokens": whole,
            "output_tokens": whole,
            "events": whole,
            "ttft": number,
            "tpot": number,
            "lag": number,
            "gaps": pa.list_(pa.float32()),
        }
    )


def _batch(piece: list[tuple[int, Request]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    columns: list[Any] = []
    for field in schema:
        values: list[Any]
        if field.name == "run":
            values = [0] * len(piece)
        elif field.name == "program":
            values = [program for program, _ in piece]
        else:
            values = [getattr(request, field.name) for _, request in piece]
        kind = field.type
        columns.append(
            pa.array(values, pa.string()).dictionary_encode().cast(kind)
            if pa.types.is_dictionary(kind)
            else pa.array(values, kind)
        )
    return pa.record_batch(columns, schema=schema)


class RequestTable:
    """The single requests of one run, or of the runs of one repeated load, read a column and a piece at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return int(self._footer.num_rows)

    def values(self, name: str, stage: int | None = None, outcome: Outcome | None = "completed") -> Numbers:
        """The numbers of one column, of the requests of a stage (None: of all) with an outcome; absent ones left out.

        ``e2e`` and ``normalized_tpot`` are made from the columns that they are defined by.
        """
        import numpy as np

        columns, made = definition(name)
        found = (made(*piece) for piece in self.pieces(*columns, stage=stage, outcome=outcome))
        return joined((piece[~np.isnan(piece)] for piece in found), len(self))

    def pieces(
        self, *names: str, stage: int | None = None, outcome: Outcome | None = None
    ) -> Iterator[tuple[Numbers, ...]]:
        """Some columns of numbers, some thousand requests at a time; NaN where a request has none."""
        for piece in self._read(names, ROWS, stage, outcome):
            yield tuple(numbers(piece.column(name)) for name in names)

    def column(self, name: str) -> Numbers:
        """A column of numbers of all requests; NaN where one has none."""
        return joined((piece for (piece,) in self.pieces(name)), len(self))

    @cached_property
    def runs(self) -> Any:
        """The run of each request, from 0."""
        return self.column("run").astype("int16")

    def chosen(self, stage: int | None = None, outcome: Outcome | None = None, run: int | None = None) -> Any:
        """Which rows are of a stage, an outcome and a run, as an array of booleans."""
        import numpy as np

        chosen = np.ones(len(self), dtype=bool)
        if run is not None:
            chosen &= self.runs == run
        if stage is not None:
            chosen &= self._stages == stage
        if outcome is not None:
            chosen &= self._outcomes == OUTCOMES.index(outcome)
        return chosen

    def count(self, stage: int | None, outcome: Outcome) -> int:
        """How many requests of a stage had an outcome."""
        return sum(len(piece) for piece in self._read((), ROWS, stage, outcome))

    def errors(self, stage: int | None = None) -> dict[str, int]:
        """Kind of failure -> how many requests of a stage failed so."""
        counted = Counter[str]()
        for piece in self._read(("error",), ROWS, stage, "failed"):
            counted.update(str(kind or UNLABELLED) for kind in piece.column("error").to_pylist())
        return dict(counted)

    def gaps(self, stage: int | None = None) -> Iterator[Numbers]:
        """The gaps between the events of completed requests, some thousand requests at a time."""
        for piece in self._read(("gaps",), PIECE, stage, "completed"):
            yield piece.column("gaps").flatten().to_numpy()

    def gap_counts(self, chosen: Callable[[Numbers], Any]) -> tuple[Any, Any]:
        """For every request, how many of its gaps are ``chosen``, and how many it has."""
        import numpy as np

        found, lengths = np.zeros(len(self), dtype="int32"), np.zeros(len(self), dtype="int32")
        row = 0
        for piece in self._read(("gaps",), PIECE):
            gaps = piece.column("gaps")
            ends = np.cumsum(gaps.value_lengths().to_numpy(zero_copy_only=False)).astype(int)
            marked = np.concatenate([[0], np.cumsum(chosen(gaps.flatten().to_numpy()))])
            begins = np.concatenate([[0], ends[:-1]]).astype(int)
            rows = slice(row, row := row + len(piece))
            found[rows], lengths[rows] = marked[ends] - marked[begins], ends - begins
        return found, lengths

    @cached_property
    def _footer(self) -> Any:
        """Where in the file the pieces are, which takes longer to read than a piece."""
        import pyarrow.parquet as pq

        return pq.read_metadata(self.path)

    @cached_property
    def _stages(self) -> Any:
        return self.column("stage").astype("int16")

    @cached_property
    def _outcomes(self) -> Any:
        found = (codes(piece.column("outcome")) for piece in self._read(("outcome",), ROWS))
        return joined(found, len(self)).astype("int8")

    def _read(
        self, names: Sequence[str], rows: int, stage: int | None = None, outcome: Outcome | None = None
    ) -> Iterator[pa.RecordBatch]:
        with open_table(self.path, self._footer) as file:
            yield from chosen_rows(file, names, rows, stage, outcome)
