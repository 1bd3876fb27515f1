"""Trained deltas, kept on request: one safetensors file per trial, and back to a model in three lines.

    from bench.training.worker.weights import load_delta
    model, tokenizer = load_delta("results/quickstart/deltas/1f0c….safetensors", "path/to/the/base/model")
    logits = model(**tokenizer("a sentence", return_tensors="pt")).logits

A file holds the trained tensors at the checkpoint chosen on `select`; its header holds the trial and the head's shape.
"""

import json
import math
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finebench.bench.data.task_data import TaskData
from finebench.bench.methods import method
from finebench.bench.results.folder import Done, ResultsFolder
from finebench.bench.results.within import stored_scope, within
from finebench.bench.study.trial_id import Trial
from finebench.bench.util.errors import ModelError

FOLDER = "deltas"


def save_delta(folder: ResultsFolder, trial: Trial, tensors: Any, task: TaskData) -> None:
    """Write RESULTS/deltas/<trial_id>.safetensors whole."""
    from finebench.bench.training.worker.delta import delta_bytes

    regression = task.task.kind == "regression"
    about = {"trial": trial.to_json(), "num_labels": str(task.num_labels), "regression": json.dumps(regression)}
    about["classes"] = json.dumps(task.label_names)
    tuned = method(trial.method)(**trial.hyperparameters)
    folder.write_bytes(
        f"{FOLDER}/{trial.id}.safetensors", delta_bytes(tensors, tuned, trial.seeds.stream("init"), about)
    )


def load_delta(path: str | Path, model: str | Path) -> tuple[Any, Any]:
    """The fine-tuned model (evaluation mode, CPU) and its tokenizer, from a delta and the base model's folder or id.

    Raises ModelError where the file is not a finebench delta, or was trained on another revision of the model.
    """
    from finebench.bench.models.hub import resolve_model
    from finebench.bench.models.load import load_backbone
    from finebench.bench.training.worker import delta

    about = delta.read_about(Path(path))
    try:
        trial = Trial.from_json(about["trial"])
        num_labels, regression = int(about["num_labels"]), bool(json.loads(about["regression"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: does not say which trial it is of ({type(error).__name__})") from error
    found = resolve_model(str(model))
    if found.revision != trial.model.revision:
        raise ModelError(f"{path}: trained on {trial.model.name} at {trial.model.revision}, not on {found.revision}")
    backbone = load_backbone(found.folder, num_labels, regression)
    tuned = delta.load_delta(Path(path), backbone)
    _name_classes(tuned.config, about)
    return tuned, backbone.tokenizer


def _name_classes(config: Any, about: dict[str, str]) -> None:
    """Write the names of the classes into a model's config, where the file has them."""
    names = json.loads(about.get("classes", "[]"))
    if names:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: index for index, name in config.id2label.items()}


@dataclass(frozen=True)
class Kept:
    """File names of the deltas kept, and how many cells have a better trial that left none."""

    names: list[str]
    beaten: int


class BestDeltas:
    """Of each cell and precision the delta of the best trial (highest `select` score; ties: lowest seed), and no other.

    A delta is written before its trial's row, and deleted after the row that beats it: a run that is killed at any
    moment has lost no best one, and the next one deletes what it should have. Deltas of trials that the study no longer
    contains (`outside`) stay.
    """

    def __init__(self, folder: ResultsFolder, done: Iterable[Done], outside: Collection[str] = ()) -> None:
        """`done` are the finished trials of the study; deletes what is beaten, or of no trial."""
        self.folder = folder
        there, rows = self._there(), [row for row in done if _counts(row)]
        self._best = _best_of(row for row in rows if _name(row) in there)
        every = _best_of(rows)
        kept = {_name(row) for row in self._best.values()}
        for name in there - kept - {f"{one}.safetensors" for one in outside}:
            folder.delete(f"{FOLDER}/{name}")
        self.kept = Kept(sorted(kept), sum(every[cell] != row for cell, row in self._best.items()))

    def saw(self, row: Done) -> None:
        """Take in a row that has been stored: one of the two deltas, its own and the best so far, goes."""
        best = self._best.get(_place(row))
        if not _counts(row):
            if row.status != "pruned":  # that left none, and may have been run whole before
                self._delete(row)
        elif best is None or best.trial_id == row.trial_id:
            self._best[_place(row)] = row
        elif _rank(row) < _rank(best):
            self._delete(row)
        elif _name(row) in self._there():
            self._best[_place(row)] = row
            self._delete(best)

    def _there(self) -> set[str]:
        return set(self.folder.names(FOLDER, ".safetensors"))

    def _delete(self, row: Done) -> None:
        self.folder.delete(f"{FOLDER}/{_name(row)}")


def keep_best(folder: ResultsFolder) -> Kept:
    """Delete all deltas of a folder but the best of each cell and precision."""
    every = folder.done()
    scope = stored_scope(folder, folder.plan()).scope
    done = every if scope is None else within(scope, every)
    return BestDeltas(folder, done.values(), {every[key].trial_id for key in every.keys() - done.keys()}).kept


def _place(row: Done) -> tuple[Any, ...]:
    """What has one best trial: a cell, of one precision."""
    return row.cell, row.precision


def _name(row: Done) -> str:
    return f"{row.trial_id}.safetensors"


def _counts(row: Done) -> bool:
    return row.status == "ok" and row.select_score is not None and math.isfinite(row.select_score)


def _best_of(rows: Iterable[Done]) -> dict[tuple[Any, ...], Done]:
    best: dict[tuple[Any, ...], Done] = {}
    for row in rows:
        now = best.setdefault(_place(row), row)
        if _rank(row) > _rank(now):
            best[_place(row)] = row
    return best


def _rank(row: Done) -> tuple[float, int, str]:
    """Sorts the trials of a cell that count, no two alike; the best comes last."""
    return row.select_score or 0.0, -row.seed, row.trial_id
