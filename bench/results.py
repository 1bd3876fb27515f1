"""The results folder: Parquet files written whole, at any URI that pyarrow.fs opens.

A file is written under a temporary name beginning with `_` and renamed (an object store: one PUT), so that a reader
never sees half a file. A trial's `trials` row is written last: it marks the other two as complete.
"""

import io
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from bench.choice import Scored
from bench.errors import ResultsError
from bench.record import Record
from bench.schema import SCHEMA_VERSION, TABLES

KEPT = ("ok", "diverged")
"""Statuses that are results. A failed trial (oom, timeout, error) is run again when the study is; a pruned row counts
for its search only."""


@dataclass(frozen=True)
class Done:
    """What a driver needs to know of a finished trial."""

    trial_id: str
    stage: str
    status: str
    cell: tuple[str, str, float, str]
    configuration: str
    seed: int
    select_score: float | None
    steps: int | None
    peak_memory_bytes: int | None
    device: str | None

    @property
    def scored(self) -> Scored:
        """What a choice may see of it."""
        return Scored(self.configuration, self.status, self.select_score)


def done_of(row: dict[str, Any]) -> Done:
    """The driver's view of a `trials` row."""
    return Done(
        trial_id=row["trial_id"],
        stage=row["stage"],
        status=row["status"],
        cell=(row["task"], row["method"], row["fraction"], row["budget"]),
        configuration=row["hyperparameters"],
        seed=row["seed"],
        select_score=row["select_score"],
        steps=row["steps"],
        peak_memory_bytes=row["peak_memory_bytes"],
        device=row["device"],
    )


class ResultsFolder:
    """A results folder, local or remote. Nothing is written outside it."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            if "://" in uri:
                self.fs, self.root = fs.FileSystem.from_uri(uri)
            else:
                self.fs, self.root = fs.LocalFileSystem(), str(Path(uri).resolve())
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ResultsError(f"results folder {uri!r} cannot be opened: {error}") from error
        self.local = isinstance(self.fs, fs.LocalFileSystem)

    def path(self, name: str) -> str:
        """Full path of a file in the folder."""
        return f"{self.root}/{name}"

    def create(self) -> None:
        """Make the folder and its three tables' folders; raises ResultsError where that cannot be done."""
        try:
            for table in TABLES:
                self.fs.create_dir(self.path(table), recursive=True)
        except OSError as error:
            raise ResultsError(f"results folder {self.uri!r} cannot be written: {error}") from error

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file whole: temporary name, flush, rename; or a single PUT."""
        final = self.path(name)
        if not self.local:
            with self.fs.open_output_stream(final) as stream:
                stream.write(data)
            return
        folder, _, base = final.rpartition("/")
        os.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/_{base}.{uuid.uuid4().hex[:8]}"
        try:
            with open(temporary, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            os.replace(temporary, final)
        except OSError:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise

    def read_bytes(self, name: str) -> bytes | None:
        """A file's content, or None where there is none."""
        try:
            with self.fs.open_input_stream(self.path(name)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON document whole."""
        self.write_bytes(name, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Read a JSON document, or None where there is none; raises ResultsError naming a broken file."""
        data = self.read_bytes(name)
        if data is None:
            return None
        try:
            return json.loads(data)
        except ValueError as error:
            raise ResultsError(f"{self.path(name)}: not valid JSON: {error}") from error

    def delete(self, name: str) -> None:
        """Delete one file of the folder."""
        self.fs.delete_file(self.path(name))

    def names(self, folder: str, suffix: str) -> list[str]:
        """Names of the finished files in a folder, sorted; temporary ones are left out."""
        selector = fs.FileSelector(self.path(folder), allow_not_found=True)
        names = [info.base_name for info in self.fs.get_file_info(selector) if info.is_file]
        return sorted(name for name in names if name.endswith(suffix) and not name.startswith("_"))

    def write(self, record: Record) -> None:
        """Store one trial: predictions and evaluations first, the trial's row last."""
        name = record.trial["trial_id"] + (".pruned" if record.trial["status"] == "pruned" else "")
        for table, rows in (("predictions", record.predictions), ("evals", record.evals), ("trials", record.trials)):
            sink = io.BytesIO()
            pq.write_table(rows, sink, compression="zstd")
            self.write_bytes(f"{table}/{name}.parquet", sink.getvalue())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Every `trials` row; raises ResultsError naming a file that cannot be read or has a newer schema."""
        for name in self.names("trials", ".parquet"):
            yield from self._read_trials(self.path(f"trials/{name}"))

    def _read_trials(self, path: str) -> list[dict[str, Any]]:
        try:
            rows: list[dict[str, Any]] = pq.read_table(path, filesystem=self.fs).to_pylist()
        except (pa.ArrowException, OSError) as error:
            raise ResultsError(f"{path}: cannot be read: {error}") from error
        for row in rows:
            if row.get("schema_version", 0) > SCHEMA_VERSION:
                raise ResultsError(
                    f"{path}: written with results schema {row['schema_version']}, this finebench reads up to "
                    f"{SCHEMA_VERSION}; update finebench"
                )
        return rows

    def done(self) -> dict[tuple[str, bool], Done]:
        """Finished trials by (trial_id, whether pruned)."""
        found = (done_of(row) for row in self.rows())
        return {(one.trial_id, one.status == "pruned"): one for one in found}
