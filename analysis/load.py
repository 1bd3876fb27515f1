"""Load a results folder: trials, evaluations, predictions, study and plan, checked against the schema.

Files whose names begin with `_` are unfinished and ignored. A trial that stands in several files (a folder being
compacted, a trial run again) is taken once.
"""

import io
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from analysis.folder import Folder
from bench.errors import ResultsError
from bench.schema import SCHEMA_VERSION, STAGES, STATUSES, TABLES

READERS = 8
"""Files read at once: on an object store latency rules, on a disk the decoder does."""

RANK = {"ok": 0, "diverged": 0, "pruned": 2}
"""Of several rows of one trial a result is kept before a failure (rank 1), and a failure before a pruned row."""


@dataclass(frozen=True)
class Results:
    """A loaded results folder. `trials` has one row per trial; `plan` is None where the folder has no plan.json."""

    uri: str
    trials: pd.DataFrame
    study: dict[str, Any]
    plan: dict[str, Any] | None

    @cached_property
    def evals(self) -> pd.DataFrame:
        """All evaluations, one row per trial × step × split, in that order; read when first asked for."""
        frame = _frame(_read_table(Folder(self.uri), "evals"))
        frame = frame.drop_duplicates(["trial_id", "step", "split"], keep="last")
        return frame.sort_values(["trial_id", "step", "split"], ignore_index=True)

    def predictions(
        self, columns: Sequence[str] = tuple(TABLES["predictions"].names), trial_ids: Sequence[str] | None = None
    ) -> Iterator[pd.DataFrame]:
        """Stream the predictions file by file: the named columns, of the named trials (None: of all).

        A trial that stands in several files is given once. Raises ResultsError naming a file that cannot be read.
        """
        folder = Folder(self.uri)
        wanted = None if trial_ids is None else pa.array(trial_ids, pa.string())
        seen: set[str] = set()
        names = folder.list("predictions", ".parquet")
        for name in names if trial_ids is None else _may_hold(names, set(trial_ids)):
            table = _read_file(folder, name, "predictions", sorted({*columns, "trial_id"}))
            if wanted is not None:
                table = table.filter(pc.is_in(table["trial_id"], wanted))
            if seen:
                table = table.filter(pc.invert(pc.is_in(table["trial_id"], pa.array(sorted(seen), pa.string()))))
            seen.update(table["trial_id"].unique().to_pylist())
            if table.num_rows:
                yield _frame(table)[list(columns)]


def _may_hold(names: list[str], trial_ids: set[str]) -> list[str]:
    """Leave out files that are named after one trial which is not wanted (the harness writes <trial_id>.parquet)."""
    single = {name: name.rpartition("/")[2].partition(".")[0] for name in names}
    return [name for name, stem in single.items() if stem in trial_ids or len(stem) != 20]


def load_results(results: str) -> Results:
    """Load a results folder (local path or URI).

    Raises ResultsError where there is no folder, no finished trial, a file that cannot be read, a column missing, or
    a newer schema.
    """
    folder = Folder(results)
    if not folder.exists():
        raise ResultsError(f"results folder {results!r} does not exist; `finebench run STUDY --results DIR` makes one")
    trials = _distinct(_frame(_read_table(folder, "trials")))
    if trials.empty:
        raise ResultsError(
            f"results folder {results!r} holds no finished trial yet: {folder.path('trials')} has no rows"
        )
    return Results(results, trials, _study(folder), _plan(folder))


def _read_table(folder: Folder, table: str) -> pa.Table:
    names = folder.list(table, ".parquet")
    with ThreadPoolExecutor(READERS) as pool:
        parts = list(pool.map(lambda name: _read_file(folder, name, table, TABLES[table].names), names))
    whole = pa.concat_tables([TABLES[table].empty_table(), *parts])
    if table == "trials" and _wrong(whole) is not None:
        raise ResultsError(
            next(f"{folder.path(n)}: {_wrong(part)}" for n, part in zip(names, parts, strict=True) if _wrong(part))
        )
    return whole


def _read_file(folder: Folder, name: str, table: str, columns: Sequence[str]) -> pa.Table:
    path = folder.path(name)
    wanted = pa.schema([TABLES[table].field(column) for column in columns])
    try:
        with folder.fs.open_input_file(path) as stream:
            file = pq.ParquetFile(stream)
            missing = [column for column in columns if column not in file.schema_arrow.names]
            if missing:
                raise ResultsError(f"{path}: not a {table} file: column {missing[0]!r} is missing")
            data = file.read(columns=list(columns), use_threads=False).select(columns)
            if not data.schema.equals(wanted):
                data = data.cast(wanted)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ResultsError(f"{path}: cannot be read: {error}") from error
    return data


def _wrong(trials: pa.Table) -> str | None:
    """What is wrong with rows of `trials`, or None."""
    newest = pc.max(trials["schema_version"]).as_py()
    if newest is not None and newest > SCHEMA_VERSION:
        return f"written with results schema {newest}; this finebench reads up to {SCHEMA_VERSION}: update finebench"
    for column, known in (("status", STATUSES), ("stage", STAGES)):
        foreign = set(trials[column].unique().to_pylist()) - set(known)
        if foreign:
            return f"{column} {min(map(str, foreign))!r} is not one of {', '.join(known)}"
    for text in trials["hyperparameters"].unique().to_pylist():
        if not _is_object(text):
            return f"hyperparameters: a JSON object is needed, not {str(text)[:80]!r}"
    return None


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, TypeError):
        return False


def _frame(table: pa.Table) -> pd.DataFrame:
    """To pandas; integer columns with nulls become floats, text and booleans keep None."""
    frame: pd.DataFrame = table.to_pandas()
    return frame


def _distinct(trials: pd.DataFrame) -> pd.DataFrame:
    """One row per trial_id: results before failures before pruned rows, then the latest; in a stable order."""
    rank = trials["status"].map(lambda status: RANK.get(status, 1))
    order = trials.assign(_rank=rank).sort_values(["trial_id", "_rank", "finished_at"], ascending=[True, True, False])
    kept = order.drop_duplicates("trial_id").drop(columns="_rank")
    keys = ["task", "fraction", "budget", "method", "stage", "hyperparameters", "seed", "trial_id"]
    return kept.sort_values(keys, ignore_index=True)


def _study(folder: Folder) -> dict[str, Any]:
    data = folder.read("study.yaml")
    if data is None:
        return {}
    path = folder.path("study.yaml")
    try:
        study = YAML(typ="safe", pure=True).load(io.StringIO(data.decode()))
    except (YAMLError, ValueError) as error:
        raise ResultsError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(study, dict):
        raise ResultsError(f"{path}: a study is a mapping, not {type(study).__name__}")
    return study


def _plan(folder: Folder) -> dict[str, Any] | None:
    data = folder.read("plan.json")
    if data is None:
        return None
    path = folder.path("plan.json")
    try:
        plan = json.loads(data)
    except ValueError as error:
        raise ResultsError(f"{path}: not valid JSON: {error}") from error
    needed = {"task", "method", "fraction", "budget", "stage", "planned"}
    cells = plan.get("cells") if isinstance(plan, dict) else None
    if not isinstance(cells, list) or not all(isinstance(cell, dict) and needed <= set(cell) for cell in cells):
        raise ResultsError(f"{path}: `cells` must be a list of objects with {', '.join(sorted(needed))}")
    return dict(plan)
