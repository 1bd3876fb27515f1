"""`finebench rerun`: one stored trial again, in this process and outside Ray, and whether its score is bit-equal."""

import json
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer

from finebench.bench.cli.exit_codes import EXIT_FAILED_TRIALS
from finebench.bench.cli.one_trial import find_row
from finebench.bench.cli.terminal.console import finite, print_json
from finebench.bench.driver.validate import prepare
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.record import Record, record_name
from finebench.bench.study.load import build_study, method_resources
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.search import UntilSettled, number_of
from finebench.bench.study.parts.seeds import from_code
from finebench.bench.study.plan import Cell
from finebench.bench.study.schema import Study
from finebench.bench.study.search_space import as_space
from finebench.bench.study.trial_id import Trial
from finebench.bench.tasks import tasks
from finebench.bench.training.worker.messages import Pack
from finebench.bench.util.errors import ResultsError, shown
from finebench.bench.util.safe_yaml import MAX_BYTES, parse_yaml

PACKED_TOLERANCE = 1e-2
"""By how much a score may differ from the one of a pack: rounding in float32, which training amplifies."""
COMPARED = ("score", "score_last", "select_score", "steps")


def rerun_command(results: str, trial_id: str, as_json: bool = False) -> int:
    """Repeat a trial and compare; returns 0 when bit-equal (one from a pack: equal up to rounding), 3 when not."""
    folder = ResultsFolder(results)
    row = find_row(folder, trial_id)
    trial, record = repeat(folder, row)
    packed = (row["pack_size"] or 1) > 1
    found = _compare_packed(row, record) if packed else _compare(folder, row, record)
    notes = [*_changes(row, trial, record), *found.notes]
    if as_json:
        told = {key: {"stored": finite(row[key]), "now": finite(record.trial[key])} for key in COMPARED}
        status = {"stored": row["status"], "now": record.trial["status"]}
        about = {"trial_id": row["trial_id"], "equal": found.equal, "up_to": PACKED_TOLERANCE if packed else 0.0}
        print_json(about | {"status": status, **told, "notes": notes})
    else:
        lines = [f"{key}: {row[key]!r} stored, {record.trial[key]!r} now" for key in COMPARED]
        said = f"{'' if found.equal else 'NOT '}{found.words} (status {record.trial['status']})"
        typer.echo("\n".join([*(f"note: {note}" for note in notes), *lines, f"{row['trial_id']}: {said}"]))
    return 0 if found.equal else EXIT_FAILED_TRIALS


@dataclass(frozen=True)
class RerunResult:
    """Whether a trial came out the same, in the words for what the same means here."""

    equal: bool
    words: str
    notes: tuple[str, ...] = ()


def _changes(row: dict[str, Any], trial: Trial, record: Record) -> list[str]:
    """What is no longer as it was when the trial was stored."""
    notes = []
    if trial.id != row["trial_id"]:
        notes.append(f"model, data or code have changed since; this is now trial {trial.id}")
    if row["device"] not in (None, record.trial["device"]):
        notes.append(f"stored from {row['device']}, run now on {record.trial['device']}; rounding may differ")
    return notes


def _compare(folder: ResultsFolder, row: dict[str, Any], record: Record) -> RerunResult:
    equal = row["status"] == record.trial["status"] and all(_same(row[key], record.trial[key]) for key in COMPARED)
    return RerunResult(equal and _same_predictions(folder, row, record), "bit-equal")


def _compare_packed(row: dict[str, Any], record: Record) -> RerunResult:
    """A trial stored from a pack, whose sums were taken in another order than alone."""
    alike = row["status"] == record.trial["status"] and all(_near(row[key], record.trial[key]) for key in COMPARED)
    note = f"stored from a pack of {row['pack_size']}; alone a trial is the same up to rounding only"
    return RerunResult(alike, f"equal to {PACKED_TOLERANCE:g}", (note,))


def _near(a: Any, b: Any) -> bool:
    return _same(a, b) or (a is not None and b is not None and abs(a - b) <= PACKED_TOLERANCE)


def repeat(folder: ResultsFolder, row: dict[str, Any]) -> tuple[Trial, Record]:
    """Train a stored trial again; a pruned one up to where it was stopped."""
    from finebench.bench.driver.local import own_share
    from finebench.bench.scheduling.calibration import FILE, Calibration
    from finebench.bench.study.precision import gpus_here, of_gpus
    from finebench.bench.training.worker.messages import Shipment
    from finebench.bench.training.worker.pack_runner import PackRun
    from finebench.bench.training.worker.worker_cache import WorkerCache, has_gpu
    from finebench.bench.util.machine import device_name

    study_bytes, plan = folder.read_bytes("study.yaml", MAX_BYTES), folder.plan()
    if study_bytes is None or plan is None:
        raise ResultsError(f"results folder {folder.uri!r} holds no study.yaml and plan.json")
    where = folder.shown("study.yaml")
    study = build_study(parse_yaml(study_bytes.decode("utf-8", errors="replace"), where), where, Path("."))
    resources = method_resources(study, row["method"]) if row["method"] in study.methods else study.resources
    try:
        point, budget = json.loads(row["hyperparameters"]), Budget(**json.loads(row["budget"]))
    except (ValueError, TypeError) as error:
        raise ResultsError(
            f"{folder.uri}: trial {row['trial_id']}: its budget is none: {shown(row['budget'])}"
        ) from error
    data = None if plan["data"] is None else Path(plan["data"])
    ready = prepare(_narrowed(study, row, point, budget, f"{folder.uri}: trial {row['trial_id']}"), data)
    cell = Cell(row["task"], row["method"], row["fraction"], budget)
    whole = ready.plan.complete(cell, point)
    on_cpu = row["device"] in (None, device_name("cpu"))
    known = replace(ready.known, precision=row["precision"] or ("fp32" if on_cpu else of_gpus([gpus_here()])))
    trial = ready.plan.trial(cell, row["stage"], whole, from_code(row["seed"]), known)
    shipment = Shipment(study.name, str(ready.model.folder), ready.tasks, study.trial_timeout)
    cache = WorkerCache(shipment, own_share(resources, has_gpu() and not on_cpu))
    pack = Pack((trial,))
    rate = Calibration(folder).rate(pack)
    if budget.seconds is not None and rate is None:
        raise ResultsError(f"{folder.path(FILE)}: the speed of {trial.id} is not there, nor its steps")
    with closing(cache):
        run = PackRun(cache, pack, rate)
        pruned = row["status"] == "pruned"
        while (rung := run.advance()) is not None:
            if pruned and run.members[0].progress.steps >= row["steps"]:
                break
            del rung
        run.check_device()
        record = run.records(pruned=pruned)[0]
        run.close()
    return trial, record


def _narrowed(study: Study, row: dict[str, Any], point: dict[str, Any], budget: Budget, where: str) -> Study:
    """The study of this one trial: its task, method, fraction and budget may have left the study since.

    Raises StudyError where the row names what no study may have: it may be a stranger's.
    """
    entries = [entry for entry, name in zip(study.tasks, study.task_names, strict=True) if name == row["task"]]
    if not entries and row["task"] not in tasks():
        raise ResultsError(f"task {row['task']!r} is no longer in the study, so its files are not known")
    own: dict[str, Any] = {
        "tasks": entries or [row["task"]],
        "methods": {row["method"]: as_space(point)},
        "fractions": [row["fraction"]],
    }
    if row["method"] in study.methods:
        own["resources"] = method_resources(study, row["method"])  # on how many ranks
    if isinstance(study.seeds, UntilSettled):  # there is no claim to settle
        own["seeds"] = number_of(study.seeds)
    kind = "optuna" if study.search.optuna else "grid"
    search = study.search.model_dump()[kind] | {"confirm_seeds": study.search.confirm_seeds}
    own |= {"search": {kind: search}, "budget": [budget], "claims": []}
    return build_study(dict(study) | own, where, Path("."))


def _same(a: Any, b: Any) -> bool:
    return bool(a == b) or (a is None and b is None) or (a != a and b != b)


def _same_predictions(folder: ResultsFolder, row: dict[str, Any], record: Record) -> bool:
    stored = folder.record_rows("predictions", record_name(row["trial_id"], row["status"]))
    again = record.predictions
    if row["schema_version"] < 2:  # it holds the probability of the predicted class alone
        again = again.set_column(again.schema.get_field_index("probability"), "probability", _of_predicted(again))
    wanted = ["example", "label", "prediction", "probability"]
    return bool(stored.select(wanted).equals(again.select(wanted)))


def _of_predicted(predictions: pa.Table) -> pa.Array:
    """The probability of each predicted class, as a list of one; null for numbers."""
    kind = predictions.schema.field("probability").type
    both = zip(predictions["prediction"].to_pylist(), predictions["probability"].to_pylist(), strict=True)
    return pa.array([None if some is None else [some[int(label)]] for label, some in both], kind)
