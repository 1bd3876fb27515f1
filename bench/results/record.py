"""What one finished trial leaves behind: one `trials` row, its `evals` rows and its `predictions` rows."""

import io
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.ipc

from finebench.bench.results.schema import TRIALS


def record_name(trial_id: str, status: str) -> str:
    """The name of a trial's record: a trial that a search stopped may also be run whole."""
    return trial_id + (".pruned" if status == "pruned" else "")


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

    @property
    def pruned(self) -> bool:
        """Whether a search stopped it."""
        return bool(self.trial["status"] == "pruned")

    @property
    def name(self) -> str:
        """Its name in the tables."""
        return record_name(self.trial["trial_id"], self.trial["status"])

    @property
    def nbytes(self) -> int:
        """Bytes of memory that its evaluations and predictions take."""
        return int(self.evals.nbytes + self.predictions.nbytes)

    @property
    def tables(self) -> dict[str, pa.Table]:
        """The tables by name, in the order in which they are stored: the trial's row marks the others as complete."""
        return {"predictions": self.predictions, "evals": self.evals, "trials": self.trials}

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
