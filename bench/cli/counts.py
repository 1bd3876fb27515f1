"""How many trials of a folder ended how, cell by cell, counted column by column: a hundred thousand in a second."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.scope import ROW_COLUMNS, Scope, rows_of
from finebench.bench.results.within import Stored
from finebench.bench.study.precision import of_row
from finebench.bench.study.trial_id import CellKey

COLUMNS = (
    "trial_id", "stage", "status", "task", "method", "fraction", "budget", "hyperparameters", "precision", "device",
    "seed", "select_score",
)  # fmt: skip
TYPES = {"fraction": pa.float64(), "select_score": pa.float64(), "seed": pa.int64()}
CELL = ["task", "method", "fraction", "budget"]


@dataclass(frozen=True)
class StatusCounts:
    """By cell: `statuses` counts how trials ended, `confirmed` those of the confirm stage by configuration. A trial
    that was run whole after a search had stopped it is counted as that alone.

    `other_precision` counts trials trained in another precision than asked for, `outside` those that are no part of the
    study (None: not known); they are in no other number.
    """

    statuses: defaultdict[CellKey, Counter[str]]
    confirmed: dict[CellKey, Counter[str]]
    other_precision: int
    outside: int | None
    _ids: pa.ChunkedArray

    def not_done(self, trial_ids: Iterable[str]) -> list[str]:
        """Those of some trials that have no row."""
        asked = list(trial_ids)
        there = pc.is_in(pa.array(asked, pa.string()), value_set=self._ids).to_pylist() if asked else []
        return [one for one, done in zip(asked, there, strict=True) if not done]


def count(folder: ResultsFolder, damaged: dict[str, str], now: str | None, stored: Stored) -> StatusCounts:
    """Count a folder's rows, those trained in the precision that its study trains in `now` (None: all), and of them
    those in the scope of the study as `stored`; damaged files are noted in `damaged`."""
    schema = pa.schema([(name, TYPES.get(name, pa.string())) for name in COLUMNS])
    parts = [rows.cast(schema) for rows in folder.finished(damaged, COLUMNS)]
    rows = pa.concat_tables([schema.empty_table(), *parts]).combine_chunks()
    pruned = pc.equal(rows["status"], "pruned")
    whole = rows.filter(pc.invert(pruned))
    stopped = rows.filter(pruned)
    rows = pa.concat_tables(
        [whole, stopped.filter(pc.invert(pc.is_in(stopped["trial_id"], value_set=whole["trial_id"])))]
    )
    every = len(rows)
    if now is not None:
        pairs = zip(rows["precision"].to_pylist(), rows["device"].to_pylist(), strict=True)
        rows = rows.filter(pa.array([of_row(*pair, stored.precision) == now for pair in pairs], pa.bool_()))
    known = len(rows)
    if stored.scope is not None:
        rows = _within(rows, stored.scope)
    statuses: defaultdict[CellKey, Counter[str]] = defaultdict(Counter)
    confirmed: dict[CellKey, Counter[str]] = {}
    for row in _grouped(rows, "status"):
        statuses[_cell(row)][row["status"]] = row["n"]
    for row in _grouped(rows.filter(pc.equal(rows["stage"], "confirm")), "hyperparameters"):
        confirmed.setdefault(_cell(row), Counter())[row["hyperparameters"]] = row["n"]
    outside = None if stored.scope is None else known - len(rows)
    return StatusCounts(statuses, confirmed, every - known, outside, rows["trial_id"])


def _within(rows: pa.Table, scope: Scope) -> pa.Table:
    """The rows that are part of a study, configurations as it writes them now."""
    places = scope.places(rows_of(rows[name].to_pylist() for name in ROW_COLUMNS))
    written = pa.array([place.configuration if place else None for place in places], pa.string())
    at = rows.schema.get_field_index("hyperparameters")
    return rows.set_column(at, "hyperparameters", written).filter(
        pa.array([one is not None for one in places], pa.bool_())
    )


def _grouped(rows: pa.Table, by: str) -> list[dict[str, Any]]:
    """The number `n` of rows of each cell and value of `by`, in the order in which they are first met."""
    made = rows.group_by([*CELL, by], use_threads=False).aggregate([([], "count_all")])
    return list(made.rename_columns([*CELL, by, "n"]).to_pylist())


def _cell(row: dict[str, Any]) -> CellKey:
    return row["task"], row["method"], row["fraction"], row["budget"]
