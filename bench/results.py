"""The results folder: who is finished, what is damaged, and one way to store a trial.

`bench.store` writes each file whole; a trial's `trials` row is written last: it marks the other two as complete.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from bench.choice import Scored
from bench.errors import DamagedFile, ResultsError
from bench.plan_file import MAX_BYTES, parse_plan
from bench.record import Record
from bench.schema import TABLES
from bench.store import Store
from bench.tables import Part, encode, generation, list_files, read_part, read_parts

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
    cell: tuple[str, str, float, str]
    configuration: str
    seed: int
    select_score: float | None
    steps: int | None
    peak_memory_bytes: int | None
    device: str | None
    exclusive: bool | None = True

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


def record_name(trial_id: str, status: str) -> str:
    """The name of a trial's files: a trial that a search stopped may also be run whole."""
    return trial_id + (".pruned" if status == "pruned" else "")


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
        self._kept: dict[tuple[str, str], Part] = {}

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
        """Store one trial: predictions and evaluations first, the trial's row last."""
        name = record_name(record.trial["trial_id"], record.trial["status"])
        for table, rows in (("predictions", record.predictions), ("evals", record.evals), ("trials", record.trials)):
            self.write_bytes(f"{table}/{name}.parquet", encode(rows))

    def rows(self, damaged: dict[str, str] | None = None) -> Iterator[dict[str, Any]]:
        """Every trial's row, once (a pruned and a whole run of one trial are two).

        A damaged file is passed over and noted in `damaged` (name -> message); without one it is raised, as is a file
        of a newer schema.
        """
        seen: set[str] = set()
        for part in read_parts(self, "trials"):
            if isinstance(part, DamagedFile):
                if damaged is None:
                    raise part
                damaged[part.file] = str(part)
                continue
            for row in part.rows.to_pylist():
                name = record_name(row["trial_id"], row["status"])
                if name not in seen:
                    seen.add(name)
                    yield row

    def done(self, damaged: dict[str, str] | None = None) -> dict[tuple[str, bool], Done]:
        """Finished trials by (trial_id, whether pruned); `damaged` as in `rows`."""
        found = (done_of(row) for row in self.rows(damaged))
        return {(one.trial_id, one.status == "pruned"): one for one in found}

    def take_stock(self) -> Stock:
        """`read_stock`; what is damaged is moved to `_damaged`."""
        stock = self.read_stock()
        self.set_aside(stock)
        return stock

    def read_stock(self) -> Stock:
        """Read every file whole, as a run does before it starts; changes nothing."""
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
        """Names of the records that a table holds, every file read whole; damaged files are noted in `damaged`."""
        found: set[str] = set()
        for part in read_parts(self, table):
            if isinstance(part, DamagedFile):
                damaged[part.file] = str(part)
            else:
                found.update(part.records)
        return found

    def record_rows(self, table: str, record: str) -> pa.Table:
        """One trial's rows of `evals` or `predictions`; raises ResultsError where there are none, or a damaged file."""
        while True:
            own = read_part(self, table, f"{record}.parquet")
            if own is not None:
                return own.rows
            parts = [self._merged(table, name) for name in list_files(self, table) if generation(name)]
            for part in parts:
                if part is not None and record in part.records:
                    return part.rows.filter(pc.equal(part.rows["trial_id"], record.partition(".")[0]))
            if None not in parts:  # else a file went while we looked: it has been merged into another one
                raise ResultsError(f"{self.shown(table)}: holds nothing of trial {record}")

    def _merged(self, table: str, name: str) -> Part | None:
        """A merged file, kept in memory: a resumed search asks for every trial of a cell."""
        if (table, name) not in self._kept:
            part = read_part(self, table, name)
            if part is None:
                return None
            self._kept[table, name] = part
        return self._kept[table, name]
