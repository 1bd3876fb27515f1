"""Trained deltas, kept on request: one safetensors file per trial, and back to a model in three lines.

    from bench.keep import load_delta
    model, tokenizer = load_delta("results/quickstart/deltas/1f0c….safetensors", "path/to/the/base/model")
    logits = model(**tokenizer("a sentence", return_tensors="pt")).logits

A file holds the trained tensors at the checkpoint chosen on `select`; its header holds the trial and the head's shape.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import ModelError
from bench.registry import method
from bench.results import Done, ResultsFolder
from bench.sources import TaskData
from bench.trial import Trial


def save_delta(folder: ResultsFolder, trial: Trial, tensors: Any, task: TaskData) -> None:
    """Write RESULTS/deltas/<trial_id>.safetensors whole."""
    from bench.delta import delta_bytes

    regression = task.task.kind == "regression"
    about = {"trial": trial.to_json(), "num_labels": str(task.num_labels), "regression": json.dumps(regression)}
    about["classes"] = json.dumps(task.label_names)
    tuned = method(trial.method)(**trial.hyperparameters)
    folder.write_bytes(f"deltas/{trial.id}.safetensors", delta_bytes(tensors, tuned, trial.seeds.stream("init"), about))


def load_delta(path: str | Path, model: str | Path) -> tuple[Any, Any]:
    """The fine-tuned model (evaluation mode, CPU) and its tokenizer, from a delta and the base model's folder or id.

    Raises ModelError where the file is not a finebench delta, or was trained on another revision of the model.
    """
    from bench import delta
    from bench.hub import resolve_model
    from bench.model import load_backbone

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


def keep_best(folder: ResultsFolder) -> Kept:
    """Delete all deltas but the best of each cell and precision (highest `select` score; ties: lowest seed)."""
    there = set(folder.names("deltas", ".safetensors"))
    best: dict[tuple[Any, ...], Done] = {}
    best_there: dict[tuple[Any, ...], Done] = {}
    for row in folder.done().values():
        if row.status == "ok" and row.select_score is not None:
            _improve(best, row)
            if _name(row) in there:
                _improve(best_there, row)
    kept = {_name(row) for row in best_there.values()}
    for name in there - kept:
        folder.delete(f"deltas/{name}")
    return Kept(sorted(kept), sum(best[cell] != row for cell, row in best_there.items()))


def _name(row: Done) -> str:
    return f"{row.trial_id}.safetensors"


def _improve(best: dict[tuple[Any, ...], Done], row: Done) -> None:
    cell = (row.cell, row.precision)
    now = best.get(cell)
    if now is None or _rank(row) > _rank(now):
        best[cell] = row


def _rank(row: Done) -> tuple[float, int]:
    return (-math.inf if row.select_score is None else row.select_score), -row.seed
