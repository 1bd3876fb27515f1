"""The results folder: who is finished, what is damaged, and one way to store a trial.

`bench.util.storage` writes each file whole; a trial's `trials` row is written last: it marks the other two as complete.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from finebench.bench.results.lookup import Lookup
from finebench.bench.results.parquet_tables import encode, read_parts, read_records
from finebench.bench.results.plan_file import MAX_BYTES, parse_plan
from finebench.bench.results.record import Record, record_name
from finebench.bench.results.schema import TABLES
from finebench.bench.results.segments import own_name
from finebench.bench.study.selection import Scored
from finebench.bench.study.trial_id import CellKey
from finebench.bench.util.errors import DamagedFile, ResultsError
from finebench.bench.util.storage import Store

KEPT = ("ok", "diverged")
"""Statuses that are results. A failed trial (oom, timeout, error) is run again when the study is; a pruned row counts
for its search only."""

DAMAGED = "_damaged"
"""Where `run` puts a damaged file, under its table's name."""

MAX_JSON = 2**26
"""Bytes that another JSON document of the folder may have."""


@dataclass(frozen=True)
class Done:
    """What a driver needs to know of a finished trial."""

    trial_id: str
    stage: str
    status: str
    cell: CellKey
    configuration: str
    seed: int
    select_score: float | None
    steps: int | None
    peak_memory_bytes: int | None
    device: str | None
    exclusive: bool | None = True
    precision: str | None = None

    @property
    def costs(self) -> bool:
        """Whether its times and memory are a trial's own: it ended well and had its device to itself."""
        return self.status == "ok" and self.exclusive is True

    @property
    def scored(self) -> Scored:
        """What a choice may see of it."""
        return Scored(self.configuration, self.seed, self.status, self.select_score)

    @property
    def record(self) -> str:
        """Its name in the tables."""
        return record_name(self.trial_id, self.status)


DONE = (
    "trial_id", "stage", "status", "task", "method", "fraction", "budget", "hyperparameters", "seed", "select_score",
    "steps", "peak_memory_bytes", "device", "exclusive", "precision",
)  # fmt: skip
"""Columns of `trials` that `Done` is made of."""


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
        exclusive=row["exclusive"],
        precision=row["precision"],
    )


@dataclass
class Stock:
    """What a folder holds. `incomplete` are rows whose evaluations or predictions are gone: those trials run again."""

    done: dict[tuple[str, bool], Done] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)

    @property
    def notes(self) -> list[str]:
        """A sentence for each damaged file and incomplete trial, for the user."""
        moved = [f"{why}; set aside in {DAMAGED}/, its trials run again" for why in self.damaged.values()]
        return [
            *moved,
            *(f"trial {one}: its evaluations or predictions are gone; it runs again" for one in self.incomplete),
        ]


class ResultsFolder(Store):
    """A results folder, local or remote. Nothing is written outside it."""

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self._lookups: dict[str, Lookup] = {}

    def create(self) -> None:
        """Make the folder and its three tables' folders; raises StorageError where that cannot be done."""
        self.make(list(TABLES))

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON document whole."""
        self.write_bytes(name, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Read a JSON document, or None where there is none; raises ResultsError naming a broken file."""
        data = self.read_bytes(name, MAX_JSON)
        if data is None:
            return None
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ResultsError(f"{self.shown(name)}: not valid JSON: {error}") from error

    def plan(self) -> dict[str, Any] | None:
        """What plan.json says, or None where there is none; raises ResultsError where it says it wrongly."""
        data = self.read_bytes("plan.json", MAX_BYTES)
        return None if data is None else parse_plan(data, self.shown("plan.json"))

    def write(self, record: Record) -> None:
        """Store one trial in files of its own: predictions and evaluations first, the trial's row last."""
        name = own_name(record.name)
        for table, rows in record.tables.items():
            self.write_bytes(f"{table}/{name}", encode(rows))

    def finished(self, damaged: dict[str, str] | None = None, columns: Sequence[str] = DONE) -> Iterator[pa.Table]:
        """Some columns, among them `trial_id` and `status`, of every trial's row, once (a pruned and a whole run of one
        trial are two), file by file.

        A damaged file is passed over and noted in `damaged` (name -> message); without one it is raised, as is a file
        of a newer schema.
        """
        seen: set[tuple[str, bool]] = set()
        for part in read_parts(self, "trials", columns):
            if isinstance(part, DamagedFile):
                if damaged is None:
                    raise part
                damaged[part.file] = str(part)
                continue
            yield _fresh(part.rows, seen)

    def rows(self, damaged: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Every trial's whole row; `damaged` as in `finished`."""
        for rows in self.finished(damaged, TABLES["trials"].names):
            yield from rows.to_pylist()

    def done(self, damaged: dict[str, str] | None = None) -> dict[tuple[str, bool], Done]:
        """Finished trials by (trial_id, whether pruned); `damaged` as in `finished`."""
        found = (done_of(row) for rows in self.finished(damaged) for row in rows.to_pylist())
        return {(one.trial_id, one.status == "pruned"): one for one in found}

    def read_stock(self) -> Stock:
        """Read every byte of every file, as a run does before it starts; changes nothing (`set_aside` does)."""
        stock = Stock()
        stock.done = self.done(stock.damaged)
        there = [self.records(table, stock.damaged) for table in ("evals", "predictions")]
        for key, one in list(stock.done.items()):
            if any(one.record not in records for records in there):
                stock.incomplete.append(one.record)
                del stock.done[key]
        return stock

    def set_aside(self, stock: Stock) -> None:
        """Move what is damaged to `_damaged`."""
        for name in stock.damaged:
            self.move(name, f"{DAMAGED}/{name}")

    def records(self, table: str, damaged: dict[str, str]) -> set[str]:
        """Names of the records that a table holds; damaged files are noted in `damaged`."""
        found: set[str] = set()
        for held in read_records(self, table):
            if isinstance(held, DamagedFile):
                damaged[held.file] = str(held)
            else:
                found |= held
        return found

    def record_rows(self, table: str, record: str) -> pa.Table:
        """One trial's rows of `evals` or `predictions`; raises ResultsError where there are none, or a damaged file."""
        return self._lookup(table).rows(record)

    def record_file(self, table: str, record: str) -> str:
        """The file, as people see it, that holds these rows; raises ResultsError as `record_rows` does."""
        return self.shown(f"{table}/{self._lookup(table).file(record)}")

    def _lookup(self, table: str) -> Lookup:
        if table not in self._lookups:
            self._lookups[table] = Lookup(self, table)
        return self._lookups[table]


def _fresh(rows: pa.Table, seen: set[tuple[str, bool]]) -> pa.Table:
    """The rows of trials that were not `seen`, which now are."""
    keys = list(zip(rows["trial_id"].to_pylist(), pc.equal(rows["status"], "pruned").to_pylist(), strict=True))
    before = len(seen)
    if seen.isdisjoint(keys):
        seen.update(keys)
        if len(seen) == before + len(keys):
            return rows
        seen.difference_update(keys)
    mask = []
    for key in keys:
        mask.append(key not in seen)
        seen.add(key)
    return rows.filter(pa.array(mask))
