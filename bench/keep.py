"""Trained deltas, kept on request: one safetensors file per trial, and back to a model in three lines.

    from bench.keep import load_delta
    model, tokenizer = load_delta("results/quickstart/deltas/1f0c….safetensors", "path/to/the/base/model")
    logits = model(**tokenizer("a sentence", return_tensors="pt")).logits

A file holds the trained tensors at the checkpoint chosen on `select`; its header holds the trial and the head's shape.
"""

import json
from pathlib import Path
from typing import Any

from bench.errors import ModelError
from bench.results import Done, ResultsFolder
from bench.trial import Trial

HEADER = "finebench"


def save_delta(folder: ResultsFolder, trial: Trial, tensors: Any, num_labels: int, regression: bool) -> None:
    """Write RESULTS/deltas/<trial_id>.safetensors whole."""
    from safetensors.torch import save

    header = {"trial": trial.to_json(), "num_labels": num_labels, "regression": regression}
    data = save({name: tensor.contiguous() for name, tensor in tensors.items()}, {HEADER: json.dumps(header)})
    folder.write_bytes(f"deltas/{trial.id}.safetensors", data)


def load_delta(path: str | Path, model: str | Path) -> tuple[Any, Any]:
    """The fine-tuned model (evaluation mode, CPU) and its tokenizer, from a delta and the base model's folder or id.

    Raises ModelError where the file is not a finebench delta, or was trained on another revision of the model.
    """
    import torch
    from safetensors import SafetensorError, safe_open

    from bench.hub import resolve_model
    from bench.model import build, load_backbone
    from bench.registry import method

    try:
        with safe_open(str(path), "pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: cannot be read as safetensors: {error}") from error
    if not isinstance(header, dict):
        raise ModelError(f"{path}: its header names no finebench trial")
    trial = Trial.from_json(header["trial"])
    found = resolve_model(str(model))
    if found.revision != trial.model.revision:
        raise ModelError(f"{path}: trained on {trial.model.name} at {trial.model.revision}, not on {found.revision}")
    backbone = load_backbone(found.folder, header["num_labels"], header["regression"])
    tuned = build(backbone, method(trial.method)(**trial.hyperparameters), trial.seeds.stream("init"))
    own = dict(tuned.named_parameters())
    if not tensors.keys() <= own.keys():
        raise ModelError(
            f"{path}: holds tensors that the method does not train: {sorted(tensors.keys() - own.keys())[:3]}"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
    return tuned.eval(), backbone.tokenizer


def keep_best(folder: ResultsFolder) -> list[str]:
    """Delete all deltas but the best trial's of each cell (highest `select` score; ties: lowest seed); returns those
    kept."""
    best: dict[tuple[Any, ...], Done] = {}
    kept_names = set(folder.names("deltas", ".safetensors"))
    for row in folder.done().values():
        if row.status == "ok" and row.select_score is not None and f"{row.trial_id}.safetensors" in kept_names:
            now = best.get(row.cell)
            if now is None or (row.select_score, -row.seed) > (now.select_score or 0.0, -now.seed):
                best[row.cell] = row
    kept = {f"{row.trial_id}.safetensors" for row in best.values()}
    for name in kept_names - kept:
        folder.delete(f"deltas/{name}")
    return sorted(kept)
