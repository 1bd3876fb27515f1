"""Load a results folder: trials, evaluations, predictions, study and plan, checked against the schema.

Files whose names begin with `_` are unfinished and ignored. A trial that stands in several files (a folder being
compacted, a trial run again) is taken once. A damaged file is named and left out: the report goes on without it.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from finebench.analysis.load.part import StudyRows, part_of_study
from finebench.bench.results import plan_file
from finebench.bench.results.parquet_tables import read_parts
from finebench.bench.results.schema import TABLES
from finebench.bench.study import precision
from finebench.bench.study.shards import said_of
from finebench.bench.util.errors import DamagedFile, ResultsError, StudyError
from finebench.bench.util.safe_yaml import MAX_BYTES, parse_yaml
from finebench.bench.util.storage import Store

RANK = {"ok": 0, "diverged": 0, "pruned": 2}
"""Of several rows of one trial a result is kept before a failure (rank 1), and a failure before a pruned row."""


@dataclass(frozen=True)
class Results:
    """A loaded results folder. `trials` has one row per trial; `plan` is None where the folder has no plan.json.

    `damaged` has a sentence for every file that could not be read, and grows as more tables are.
    """

    uri: str
    trials: pd.DataFrame
    study: dict[str, Any]
    plan: dict[str, Any] | None

    damaged: list[str] = field(default_factory=list)
    left_out: tuple[str, ...] = ()
    """A sentence on the trials that are of another precision than the study's last run."""

    @cached_property
    def evals(self) -> pd.DataFrame:
        """All evaluations, one row per trial × step × split, in that order; read when first asked for."""
        frame = _frame(_read_table(Store(self.uri), "evals", self.damaged))
        frame = frame.drop_duplicates(["trial_id", "step", "split"])
        return frame.sort_values(["trial_id", "step", "split"], ignore_index=True)

    @property
    def shards(self) -> list[str]:
        """A sentence where the folder was run as a part of its study."""
        return said_of((self.plan or {}).get("shards", []))

    @cached_property
    def part(self) -> StudyRows:
        """The trials that the study contains as it now is."""
        return part_of_study(self.trials, self.study, self.plan, Store(self.uri).shown("study.yaml"))

    def predictions(
        self, columns: Sequence[str] = tuple(TABLES["predictions"].names), trial_ids: Sequence[str] | None = None
    ) -> Iterator[pd.DataFrame]:
        """Stream the predictions file by file: the named columns, of the named trials (None: of all).

        A trial that stands in several files is given once; a damaged file is left out and said in `damaged`.
        """
        wanted = None if trial_ids is None else set(trial_ids)
        seen: set[str] = set()
        for part in read_parts(Store(self.uri), "predictions", sorted({*columns, "trial_id"}), wanted):
            if isinstance(part, DamagedFile):
                self.damaged.append(str(part))
                continue
            present = part.rows["trial_id"].unique().to_pylist()
            new = {one for one in present if one not in seen and (wanted is None or one in wanted)}
            seen |= new
            rows = part.rows
            if len(new) < len(present):
                rows = rows.filter(pc.is_in(rows["trial_id"], pa.array(sorted(new), pa.string())))
            if rows.num_rows:
                yield _frame(rows)[list(columns)]


def load_results(results: str) -> Results:
    """Load a results folder (local path or URI).

    Trials of another precision than the study's last run are left out, and said. Raises ResultsError where there is no
    folder, no finished trial, a file that cannot be read, a column missing, or a newer schema.
    """
    store = Store(results)
    if not store.exists():
        raise ResultsError(f"results folder {results!r} does not exist; `finebench run STUDY --results DIR` makes one")
    damaged: list[str] = []
    trials = _distinct(_frame(_read_table(store, "trials", damaged)))
    if trials.empty:
        unread = "".join(f"\n{line}" for line in damaged)
        raise ResultsError(
            f"results folder {results!r} holds no finished trial yet: {store.shown('trials')} has no rows{unread}"
        )
    study, plan = _study(store), _plan(store)
    mine, left_out = _of_precision(trials, study, plan)
    if mine.empty:
        raise ResultsError(f"results folder {results!r} holds no finished trial of its study yet: {left_out[0]}")
    return Results(results, mine, study, plan, damaged, tuple(left_out))


def _read_table(store: Store, table: str, damaged: list[str]) -> pa.Table:
    """All rows of a table, in order of precedence; what is damaged is left out and said."""
    parts = []
    for part in read_parts(store, table):
        if isinstance(part, DamagedFile):
            damaged.append(str(part))
        else:
            parts.append(part.rows)
    return pa.concat_tables([TABLES[table].empty_table(), *parts])


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


def _of_precision(
    trials: pd.DataFrame, study: Mapping[str, Any], plan: Mapping[str, Any] | None
) -> tuple[pd.DataFrame, list[str]]:
    """The trials of the precision in which the study was last run, and a sentence on the others: a mean over both would
    be of neither. All, where no plan says a precision."""
    now = plan["precision"] if plan else None
    if now is None:
        return trials, []
    training = study.get("training")
    written = str(training.get("precision", "auto")) if isinstance(training, dict) else "auto"
    pairs = zip(trials["precision"], trials["device"], strict=True)
    found = [precision.of_row(_word(stored), _word(device), written) for stored, device in pairs]
    keep = [one == now for one in found]
    others = Counter(one for one in found if one != now)
    return trials[keep].reset_index(drop=True), precision.apart(others, now)


def _word(value: Any) -> str | None:
    """None where a column has no value, however pandas writes that."""
    return value if isinstance(value, str) else None


def _study(store: Store) -> dict[str, Any]:
    data = store.read_bytes("study.yaml", MAX_BYTES)
    if data is None:
        return {}
    path = store.shown("study.yaml")
    try:
        study = parse_yaml(data.decode("utf-8", errors="replace"), path)
    except StudyError as error:
        raise ResultsError(str(error)) from error
    if not isinstance(study, dict):
        raise ResultsError(f"{path}: a study is a mapping, not {type(study).__name__}")
    return study


def _plan(store: Store) -> dict[str, Any] | None:
    data = store.read_bytes("plan.json", plan_file.MAX_BYTES)
    return None if data is None else plan_file.parse_plan(data, store.shown("plan.json"))
