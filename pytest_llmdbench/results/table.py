"""The file of single requests: one row a request, columns in canonical units, Parquet.

Written and read in pieces, so that a million requests take hardly more memory than a thousand; a column of numbers is
read whole, at 8 bytes a request.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_llmdbench.results.request import Outcome, Request
from pytest_llmdbench.results.result import UNLABELLED

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    #: Numbers of a column; of gaps in single precision.
    Numbers = np.ndarray[tuple[int], np.dtype[np.float64]]

#: The table's name in the folder of a case.
TABLE: Final = "requests.parquet"
#: Rows that are held in memory at once: with answers of 1,000 events a piece takes 16 MB.
PIECE: Final = 4096
#: What may become of a request, as numbers in memory.
_OUTCOMES: Final[tuple[Outcome, ...]] = ("completed", "failed", "unfinished")


def write_table(path: Path, requests: Iterable[tuple[int, Request]]) -> None:
    """Write requests, each with the number of the program that sent it, from 0; whole or not at all."""
    import pyarrow.parquet as pq

    rows = iter(requests)
    schema = _schema()
    temporary = path.with_name(f".{path.name}")
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            while piece := list(islice(rows, PIECE)):
                writer.write_batch(_batch(piece, schema))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def pool_tables(path: Path, tables: Sequence[Path]) -> None:
    """Write the requests of several runs as one table, whole or not at all; ``run`` counts the runs from 0."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema()
    temporary = path.with_name(f".{path.name}")
    try:
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for number, table in enumerate(tables):
                with pq.ParquetFile(table) as file:
                    for batch in file.iter_batches(PIECE):
                        run = pa.array([number] * len(batch), schema.field("run").type)
                        columns = [
                            run if field.name == "run" else batch.column(field.name).cast(field.type)
                            for field in schema
                        ]
                        writer.write_batch(pa.record_batch(columns, schema=schema))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
    """The single requests of one run, or of the runs of one repeated load, read a column at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __len__(self) -> int:
        return len(self._stages)

    def values(self, name: str, stage: int | None = None, outcome: Outcome | None = "completed") -> Numbers:
        """The numbers of one column, of the requests of a stage (None: of all) with an outcome; absent ones left out.

        ``e2e`` and ``normalized_tpot`` are made from the columns that they are defined by.
        """
        import numpy as np

        chosen = self.chosen(stage, outcome)
        if name == "e2e":
            found = self.column("ended")[chosen] - self.column("sent")[chosen]
        elif name == "normalized_tpot":
            tokens = self.column("output_tokens")[chosen]
            with np.errstate(divide="ignore", invalid="ignore"):
                found = (self.column("ended")[chosen] - self.column("sent")[chosen]) / np.where(
                    tokens > 0, tokens, np.nan
                )
        else:
            found = self.column(name)[chosen]
        kept: Numbers = found[~np.isnan(found)]
        return kept

    @cached_property
    def runs(self) -> Any:
        """The run of each request, from 0."""
        return self._read("run").to_numpy()

    def chosen(self, stage: int | None = None, outcome: Outcome | None = None, run: int | None = None) -> Any:
        """Which rows are of a stage, an outcome and a run, as an array of booleans."""
        import numpy as np

        chosen = np.ones(len(self), dtype=bool)
        if run is not None:
            chosen &= self.runs == run
        if stage is not None:
            chosen &= self._stages == stage
        if outcome is not None:
            chosen &= self._outcomes == _OUTCOMES.index(outcome)
        return chosen

    def count(self, stage: int | None, outcome: Outcome) -> int:
        """How many requests of a stage had an outcome."""
        return int(self.chosen(stage, outcome).sum())

    def errors(self, stage: int | None = None) -> dict[str, int]:
        """Kind of failure -> how many requests of a stage failed so."""
        import pyarrow.compute as pc

        kinds = self._read("error").filter(self.chosen(stage, "failed"))
        counted = pc.value_counts(kinds.cast("string"))
        return {str(one["values"].as_py() or UNLABELLED): one["counts"].as_py() for one in counted}

    def gaps(self, stage: int | None = None) -> Iterator[Numbers]:
        """The gaps between the events of completed requests, some thousand requests at a time."""
        import pyarrow.parquet as pq

        chosen, begin = self.chosen(stage, "completed"), 0
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(PIECE, columns=["gaps"]):
                part = batch.column(0).filter(chosen[begin : begin + len(batch)])
                begin += len(batch)
                yield part.flatten().to_numpy()

    def gap_counts(self, chosen: Callable[[Numbers], Any]) -> tuple[Any, Any]:
        """For every request, how many of its gaps are ``chosen``, and how many it has."""
        import numpy as np
        import pyarrow.parquet as pq

        found, numbers = [np.zeros(0, dtype=int)], [np.zeros(0, dtype=int)]
        with pq.ParquetFile(self.path) as file:
            for batch in file.iter_batches(PIECE, columns=["gaps"]):
                ends = np.cumsum(batch.column(0).value_lengths().to_numpy(zero_copy_only=False))
                marked = np.concatenate([[0], np.cumsum(chosen(batch.column(0).flatten().to_numpy()))])
                begins = np.concatenate([[0], ends[:-1]]).astype(int)
                found.append(marked[ends.astype(int)] - marked[begins])
                numbers.append(ends.astype(int) - begins)
        return np.concatenate(found), np.concatenate(numbers)

    @cached_property
    def _stages(self) -> Any:
        return self._read("stage").to_numpy()

    @cached_property
    def _outcomes(self) -> Any:
        import numpy as np
        import pyarrow.compute as pc

        words = self._read("outcome").cast("string")
        codes = pc.index_in(words, value_set=_words())
        return codes.to_numpy().astype(np.int8)

    def column(self, name: str) -> Any:
        """A column of numbers of all requests; NaN where one has none."""
        return self._read(name).cast("double", safe=False).to_numpy(zero_copy_only=False)

    def _read(self, name: str) -> Any:
        import pyarrow.parquet as pq

        return pq.read_table(self.path, columns=[name]).column(0)


def _words() -> Any:
    import pyarrow as pa

    return pa.array(_OUTCOMES)
