"""`finebench verify`: is every file of a results folder whole, and does it say what it should?

A *problem* is something that a sound folder cannot hold: a damaged or foreign file, a row whose trial_id does not
follow from its contents, two results of one trial, a trial without its evaluations or predictions. A *note* is what an
interrupted run or compaction leaves behind and the next one cleans up, or what is still to be run.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, deserialize

from finebench.bench.results.folder import DAMAGED, KEPT, ResultsFolder, done_of
from finebench.bench.results.leftovers import HALF_WRITTEN
from finebench.bench.results.parquet_tables import Part, read_parts
from finebench.bench.results.recompute_id import Identifier
from finebench.bench.results.record import record_name
from finebench.bench.results.segments import segment_of
from finebench.bench.results.within import outside_note, stored_scope, within
from finebench.bench.study.load import build_study
from finebench.bench.study.precision import of_row
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import DamagedFile, InputError, PluginNotHere, ResultsError, StorageError
from finebench.bench.util.safe_yaml import MAX_BYTES, parse_yaml

SCIENCE = ("status", "score", "score_last", "select_score", "steps")
"""Columns in which two results of one trial must agree."""

Rows = dict[str, dict[str, Any]]
"""By record name: the row that counts."""


@dataclass(frozen=True)
class Remark:
    """One thing to know; `where` is a file or a trial."""

    kind: str
    where: str
    what: str


@dataclass
class Verification:
    """What was looked at and what was found. `unchecked` counts rows whose id could not be recomputed, by reason."""

    files: int = 0
    trials: int = 0
    planned: int | None = None
    ids: int = 0
    unchecked: Counter[str] = field(default_factory=Counter)
    problems: list[Remark] = field(default_factory=list)
    notes: list[Remark] = field(default_factory=list)

    def problem(self, kind: str, where: str, what: str) -> None:
        """Something is wrong."""
        self.problems.append(Remark(kind, where, what))

    def note(self, kind: str, where: str, what: str) -> None:
        """Something is worth knowing."""
        self.notes.append(Remark(kind, where, what))

    def to_json(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {
            "ok": not self.problems,
            "files": self.files,
            "trials": self.trials,
            "planned": self.planned,
            "ids_checked": self.ids,
            "ids_unchecked": dict(self.unchecked),
            "problems": [vars(one) for one in self.problems],
            "notes": [vars(one) for one in self.notes],
        }


def verify(folder: ResultsFolder) -> Verification:
    """Read every file of a results folder and check it; changes nothing. Raises ResultsError where there is none."""
    if not folder.exists():
        raise ResultsError(f"results folder {folder.uri!r} does not exist")
    found = Verification()
    study, plan = _study(folder, found), _read(found, "plan.json", folder.plan)
    rows = _trials(folder, found, Identifier.of(study, plan))
    for table in ("evals", "predictions"):
        _complete(folder, found, table, rows)
    _counts(folder, found, plan, rows)
    _others(folder, found, rows)
    return found


def _study(folder: ResultsFolder, found: Verification) -> Study | None:
    try:
        data = folder.read_bytes("study.yaml", MAX_BYTES)
        if data is None:
            found.problem("missing", "study.yaml", "the folder does not say what study it holds")
            return None
        found.files += 1
        where = folder.shown("study.yaml")
        return build_study(parse_yaml(data.decode("utf-8", errors="replace"), where), where, Path("."))
    except StorageError:
        raise
    except PluginNotHere as error:
        found.note("plugin", "study.yaml", str(error))
        return None
    except InputError as error:
        found.problem("damaged", "study.yaml", str(error))
        return None


def _read(found: Verification, name: str, read: Callable[[], Any]) -> Any:
    try:
        value = read()
    except StorageError:
        raise
    except ResultsError as error:
        found.problem("damaged", name, str(error))
        return None
    if value is None:
        found.problem("missing", name, "there is no such file")
    else:
        found.files += 1
    return value


def _parts(folder: ResultsFolder, found: Verification, table: str) -> Iterator[Part]:
    """A table's sound files, one after the other; the others become problems."""

    def foreign(error: ResultsError) -> None:
        found.files += 1
        found.problem("foreign", table, str(error))

    for part in read_parts(folder, table, foreign=foreign):
        if isinstance(part, DamagedFile):
            found.files += 1
            found.problem("damaged", part.file, str(part))
            continue
        found.files += 1
        stem = part.name.removesuffix(".parquet")
        if segment_of(part.name) is None and part.records != {stem} and len(stem.partition(".")[0]) == 20:
            held = ", ".join(sorted(part.records)[:3])
            found.problem("name", f"{table}/{part.name}", f"holds {held} and is named after another trial")
        yield part


def _trials(folder: ResultsFolder, found: Verification, identifier: Identifier) -> Rows:
    """Every trial's row, its id and its contents checked, and compared with any other row of the same trial."""
    rows: Rows = {}
    for part in _parts(folder, found, "trials"):
        own = part.rows.to_pylist()
        where = f"trials/{part.name}"
        absent = part.records - {record_name(row["trial_id"], row["status"]) for row in own}
        if own and absent:
            found.problem("records", where, f"should hold {', '.join(sorted(absent)[:3])}, and does not")
        for row in own:
            record = record_name(row["trial_id"], row["status"])
            if record in rows:
                _twice(found, where, record, rows[record], row)
                continue
            rows[record] = row
            sound, reason = identifier.check(row)
            found.ids += sound is not None
            if sound is None:
                found.unchecked[reason] += 1
            elif not sound:
                found.problem("id", where, f"trial {row['trial_id']}: {reason}")
    found.trials = len(rows)
    return rows


def _twice(found: Verification, where: str, record: str, counts: dict[str, Any], row: dict[str, Any]) -> None:
    different = [key for key in SCIENCE if counts[key] != row[key] and counts[key] == counts[key]]
    if different and counts["status"] in KEPT and row["status"] in KEPT:
        found.problem("duplicate", where, f"trial {record} has another result in another file: {different[0]} differs")
    else:
        what = "an earlier failure of it" if different else "the same row"
        found.note("superseded", where, f"trial {record}: {what}; readers take one, `compact` drops the other")


def _complete(folder: ResultsFolder, found: Verification, table: str, rows: Rows) -> None:
    """Every trial has its file of a table, and every file its trial."""
    held: set[str] = set()
    for part in _parts(folder, found, table):
        held |= part.records
        foreign = set(part.rows["trial_id"].unique().to_pylist()) - {r.partition(".")[0] for r in part.records}
        if foreign:
            found.problem("records", f"{table}/{part.name}", f"holds rows of {min(foreign)}, which it does not name")
    for record in sorted(rows.keys() - held):
        what = f"status {rows[record]['status']}, but nothing in {table}/; `run` runs it again"
        found.problem("incomplete", record, what)
    for record in sorted(held - rows.keys()):
        found.note("orphan", f"{table}/{record}", "no row in trials/: the trial had not ended; `run` writes it anew")


def _counts(folder: ResultsFolder, found: Verification, plan: dict[str, Any] | None, rows: Rows) -> None:
    """Finished trials of the study against the plan, per cell and stage; those that are no part of it are counted."""
    if plan is None:
        return
    planned: Counter[tuple[Any, ...]] = Counter()
    for cell in plan["cells"]:
        planned[cell["task"], cell["method"], cell["fraction"], cell["budget"], cell["stage"]] += cell["planned"]
    now, stored = plan["precision"], stored_scope(folder, plan)
    known = {name: of_row(row["precision"], row["device"], stored.precision) for name, row in rows.items()}
    mine = {name: row for name, row in rows.items() if now is None or known[name] == now}
    if len(mine) < len(rows):
        others = len(rows) - len(mine)
        found.note("other precision", "trials", f"{others} trials were not trained in {now}, as the last run's are")
    done = {record: done_of(row) for record, row in mine.items()}
    part = done if stored.scope is None else within(stored.scope, done)
    outside = Counter((*done[record].cell, done[record].stage) for record in done.keys() - part.keys())
    for key, count in sorted(outside.items(), key=str):
        found.note("beyond the plan", " · ".join(map(str, key)), outside_note(count))
    found.planned = sum(planned.values())
    present = Counter((*one.cell, one.stage) for one in part.values())
    for key, count in sorted(present.items(), key=str):
        if count > planned[key]:
            what = f"{count} trials, {planned[key]} in the last run's plan; the others are of an earlier, wider one"
            found.note("beyond the plan", " · ".join(map(str, key)), what)
    pending = sum(max(0, count - present[key]) for key, count in planned.items())
    if pending:
        found.note("pending", "plan.json", f"up to {pending} planned trials have no row yet")


def _others(folder: ResultsFolder, found: Verification, rows: Rows) -> None:
    """Suggestions, calibration and deltas can be read; temporary and damaged files are told."""
    for name in folder.files("", recursive=True):
        if name.startswith(f"{DAMAGED}/"):
            found.note("set aside", name, "damaged, and set aside by an earlier run")
        elif HALF_WRITTEN.fullmatch(name):
            what = "was being written when its writer died, or is being written now; `run` removes it once nobody is"
            found.note("unfinished", name, what)
        elif name == "calibration.json" or (name.startswith("search/") and name.endswith(".json")):
            _read(found, name, lambda name=name: folder.read_json(name))  # type: ignore[misc]
        elif name.startswith("deltas/") and name.endswith(".safetensors"):
            _delta(folder, found, name, rows)


def _delta(folder: ResultsFolder, found: Verification, name: str, rows: Rows) -> None:
    try:
        deserialize(folder.read_bytes(name) or b"")
        found.files += 1
    except SafetensorError as error:
        found.problem("damaged", name, f"cannot be read as safetensors: {error}")
    if name.removeprefix("deltas/").removesuffix(".safetensors") not in rows:
        found.note("orphan", name, "no row in trials/")
