"""Keep what a trial has trained, and put it back: one safetensors file of the trained tensors, a model in three lines.

    from finebench.bench.training.worker.weights import load_delta
    model, tokenizer = load_delta("results/quickstart/deltas/1f0c….safetensors", "path/to/the/base/model")
    logits = model(**tokenizer("a sentence", return_tensors="pt")).logits

A file holds the trained tensors at the checkpoint chosen on `select`. Its metadata says which method, hyperparameters
and seed made it, so that what the method inserts frozen (VeRA's random projections) is made again just so; and the
trial and the head's shape.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from finebench.bench.data.task_data import TaskData
from finebench.bench.methods import Method, method
from finebench.bench.models.hub import resolve_model
from finebench.bench.models.load import Backbone, load_backbone
from finebench.bench.models.parameters import trained_tensors
from finebench.bench.results.deltas import FOLDER
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.build_model import build
from finebench.bench.util.errors import ModelError

_KEY = "finebench"


def delta_bytes(
    tensors: Mapping[str, Tensor], tuned: Method, init_seed: int, about: Mapping[str, str] | None = None
) -> bytes:
    """The content of a delta file: a trial's trained tensors; `about` is kept beside them (task, score, trial id…)."""
    made = {
        "method": tuned.name,
        "version": tuned.version,
        "hyperparameters": tuned.model_dump(),
        "init_seed": init_seed,
        "about": dict(about or {}),
    }
    content = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    return save(content, metadata={"format": "pt", _KEY: json.dumps(made)})


def put_back(path: Path, backbone: Backbone) -> nn.Module:
    """The trained model: built as its trial built it, with the stored tensors; in evaluation mode.

    Raises ModelError where the file is no delta, another version of the method made it, or it belongs to another model.
    """
    made, stored = _read(path)
    family = method(made["method"])
    if family.version != made["version"]:
        raise ModelError(
            f"{path}: made by version {made['version']} of {made['method']}, here is version {family.version}"
        )
    try:
        tuned = family(**made["hyperparameters"])
    except ValueError as error:
        raise ModelError(f"{path}: its hyperparameters are none of {made['method']}: {error}") from error
    model = build(backbone, tuned, made["init_seed"])
    own = trained_tensors(model)
    wrong = sorted(n for n in own.keys() ^ stored.keys()) or sorted(n for n in own if own[n].shape != stored[n].shape)
    if wrong:
        raise ModelError(f"{path}: belongs to another model or number of labels; {wrong[0]!r} differs")
    for name, tensor in own.items():
        tensor.copy_(stored[name])
    return model.eval()


def read_about(path: Path) -> dict[str, str]:
    """What was noted beside the tensors when the file was written; raises ModelError where it is no delta."""
    made, _ = _read(path)
    return dict(made["about"])


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            made = json.loads((file.metadata() or {}).get(_KEY, "null"))
            stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except (OSError, SafetensorError, ValueError, RecursionError) as error:
        raise ModelError(f"{path}: cannot be read as safetensors: {error}") from error
    needed = {"method": str, "version": int, "hyperparameters": dict, "init_seed": int, "about": dict}
    if not isinstance(made, dict) or not all(isinstance(made.get(key), kind) for key, kind in needed.items()):
        raise ModelError(f"{path}: holds no finebench delta (its metadata has no key {_KEY!r})")
    return made, stored


def save_delta(folder: ResultsFolder, trial: Trial, tensors: Any, task: TaskData) -> None:
    """Write RESULTS/deltas/<trial_id>.safetensors whole."""
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
    about = read_about(Path(path))
    try:
        trial = Trial.from_json(about["trial"])
        num_labels, regression = int(about["num_labels"]), bool(json.loads(about["regression"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: does not say which trial it is of ({type(error).__name__})") from error
    found = resolve_model(str(model))
    if found.revision != trial.model.revision:
        raise ModelError(f"{path}: trained on {trial.model.name} at {trial.model.revision}, not on {found.revision}")
    backbone = load_backbone(found.folder, num_labels, regression)
    tuned = put_back(Path(path), backbone)
    _name_classes(tuned.config, about)
    return tuned, backbone.tokenizer


def _name_classes(config: Any, about: dict[str, str]) -> None:
    """Write the names of the classes into a model's config, where the file has them."""
    names = json.loads(about.get("classes", "[]"))
    if names:
        config.id2label = dict(enumerate(names))
        config.label2id = {name: index for index, name in config.id2label.items()}
