"""What one finished trial leaves behind: one `trials` row, its `evals` rows and its `predictions` rows."""

import io
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from bench.schema import EVALS, PREDICTIONS, TRIALS


@dataclass(frozen=True)
class Record:
    """Three tables of the results schema, all of one trial; `trial` holds the single row as Python values."""

    trial: dict[str, Any]
    evals: pa.Table
    predictions: pa.Table

    @property
    def trials(self) -> pa.Table:
        """The row as a table of one row."""
        return pa.Table.from_pylist([self.trial], schema=TRIALS)

    def encode(self) -> bytes:
        """Arrow IPC bytes that `decode` reads back: what a worker sends to the driver."""
        sink = io.BytesIO()
        for table in (self.trials, self.evals, self.predictions):
            with pa.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
        return sink.getvalue()

    @classmethod
    def decode(cls, data: bytes) -> "Record":
        """Read what `encode` wrote."""
        source = io.BytesIO(data)
        tables = [pa.ipc.open_stream(source).read_all() for _ in range(3)]
        return cls(tables[0].to_pylist()[0], tables[1], tables[2])


def empty_evals() -> pa.Table:
    """No evaluations."""
    return EVALS.empty_table()


def empty_predictions() -> pa.Table:
    """No predictions."""
    return PREDICTIONS.empty_table()
