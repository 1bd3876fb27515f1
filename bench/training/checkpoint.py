"""Checkpoints of trials in flight: RESULTS/checkpoints/<trial_id>.safetensors, deleted when the trial's row is written.

A file holds the trained tensors, the optimiser's state, that of a tuner which is called at every step, the progress so
far and what was measured; batches, dropout and
the learning rate follow from the step. It is written whole every `FINEBENCH_CHECKPOINT_SECONDS` (half a minute; rarer
where writing takes long, so that it costs at most 2 % of the time) and when a run is told to stop. Workers write it
themselves, wherever they reach RESULTS: a worker knows that it does when it reads its driver's own token there. One
that does not reach it trains without checkpoints, and a trial lost there starts anew.

A file that is damaged, or was made for another trial, by other versions or on another device, is not used.
"""

import hashlib
import json
from dataclasses import asdict
from datetime import datetime
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from finebench.bench.models.each_step import calls_of
from finebench.bench.models.parameters import trained_parameters, whole
from finebench.bench.training.evaluation import Evaluation, Predictions, Progress
from finebench.bench.training.measured import Measured
from finebench.bench.util.errors import FinebenchError

COUNTERS = ("steps", "examples", "tokens", "squares", "train_seconds", "eval_seconds")
MEASURED = ("startup_seconds", "peak_memory_bytes", "peak_allocated_bytes", "energy_joules", "pack_size", "alone")
_CALLS = "each_step/"
SCALARS = ("step", "examples", "train_seconds", "train_flops", "lr", "improved")


class BadCheckpoint(FinebenchError):
    """A checkpoint that cannot be used, and why."""


def encode(
    identity: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    measured: Measured,
    started_at: datetime,
) -> bytes:
    """A run's state as the content of a safetensors file. `identity`: what must be equal for a run to go on from it."""
    tensors: dict[str, Tensor] = {}
    for name, parameter in trained_parameters(model).items():
        tensors[f"model/{name}"] = parameter
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer/{key}/{name}"] = value
    for name, tensor in (progress.best_tensors or {}).items():
        tensors[f"best/{name}"] = tensor
    if (calls := calls_of(model)) is not None:
        tensors |= {f"{_CALLS}{name}": tensor for name, tensor in calls.state().items()}
    about = {
        "identity": identity,
        "counters": {key: getattr(progress, key) for key in COUNTERS},
        "evaluations": [_describe(one, index, tensors) for index, one in enumerate(progress.evaluations)],
        "best": next((i for i, one in enumerate(progress.evaluations) if one is progress.best), None),
        "measured": {key: value for key, value in asdict(measured).items() if key in MEASURED},
        "started_at": started_at.isoformat(),
    }
    tensors["about"] = _bytes(json.dumps(about).encode())
    content = {name: whole(tensor.detach()).cpu().contiguous() for name, tensor in tensors.items()}
    return save(content | {"digest": _bytes(_digest(content))})


def restore(
    data: bytes,
    identity: dict[str, Any],
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    measured: Measured,
) -> datetime:
    """Put a run's state back into freshly made objects; returns when the trial was started.

    Raises BadCheckpoint, and then has changed nothing.
    """
    about, tensors = _read(data, identity)
    try:
        before = _progress(about, tensors)
        kept = {key: about["measured"][key] for key in MEASURED}
        if any(not isinstance(value, int | float | None) for value in kept.values()):
            raise ValueError("what was measured is no number")
        started_at = datetime.fromisoformat(about["started_at"])
        state = _state(tensors, trained_parameters(model))
        if (calls := calls_of(model)) is not None:
            calls.restore({name.removeprefix(_CALLS): t for name, t in tensors.items() if name.startswith(_CALLS)})
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise BadCheckpoint(f"not as this version writes it: {type(error).__name__} {error}") from error
    with torch.no_grad():
        for name, parameter in trained_parameters(model).items():
            parameter.copy_(_placed(parameter, tensors[f"model/{name}"]))
            if name in state:
                optimizer.state[parameter] = {key: _like(parameter, value) for key, value in state[name].items()}
    vars(progress).update(vars(before))
    vars(measured).update(kept)
    return started_at


def _bytes(data: bytes) -> Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _digest(tensors: dict[str, Tensor]) -> bytes:
    """BLAKE2b over names, types, shapes and bytes."""
    digest = hashlib.blake2b(digest_size=32)
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _read(data: bytes, identity: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The file's JSON and tensors; raises BadCheckpoint where it is damaged or another run's."""
    try:
        tensors = load(data)
        digest = tensors.pop("digest").numpy().tobytes()
        about = json.loads(tensors["about"].numpy().tobytes())
        intact = digest == _digest(tensors) and isinstance(about, dict)
    except (SafetensorError, KeyError, ValueError, TypeError, RecursionError) as error:
        raise BadCheckpoint(f"damaged: {' '.join(str(error).split())[:200]}") from error
    if not intact:
        raise BadCheckpoint("damaged: its checksum is wrong")
    there = about.get("identity")
    if there != identity:
        keys = [k for k in identity if not isinstance(there, dict) or there.get(k) != identity[k]]
        raise BadCheckpoint(f"made by another run: {', '.join(keys)} differ")
    return about, tensors


def _describe(one: Evaluation, index: int, tensors: dict[str, Tensor]) -> dict[str, Any]:
    """An evaluation as JSON; its arrays go to `tensors`."""
    described: dict[str, Any] = {key: getattr(one, key) for key in SCALARS}
    for split, found in (("select", one.select), ("score", one.score)):
        if found is not None:
            tensors[f"evaluations/{index}/{split}/values"] = torch.from_numpy(found.values)
            if found.probability is not None:
                tensors[f"evaluations/{index}/{split}/probability"] = torch.from_numpy(found.probability)
            described[split] = {"loss": found.loss, "metrics": found.metrics}
    return described


def _progress(about: dict[str, Any], tensors: dict[str, Tensor]) -> Progress:
    counters = {key: about["counters"][key] for key in COUNTERS}
    evaluations = [
        Evaluation(
            **{key: one[key] for key in SCALARS},
            select=_predictions(one["select"], f"evaluations/{index}/select", tensors),
            score=_predictions(one["score"], f"evaluations/{index}/score", tensors) if "score" in one else None,
        )
        for index, one in enumerate(about["evaluations"])
    ]
    best = None if about["best"] is None else evaluations[about["best"]]
    kept = {name.removeprefix("best/"): tensor for name, tensor in tensors.items() if name.startswith("best/")}
    return Progress(**counters, evaluations=evaluations, best=best, best_tensors=kept or None)


def _predictions(one: dict[str, Any], place: str, tensors: dict[str, Tensor]) -> Predictions:
    probability: np.ndarray | None = (
        tensors[f"{place}/probability"].numpy() if f"{place}/probability" in tensors else None
    )
    return Predictions(tensors[f"{place}/values"].numpy(), probability, float(one["loss"]), dict(one["metrics"]))


def _state(tensors: dict[str, Tensor], trained: dict[str, nn.Parameter]) -> dict[str, dict[str, Tensor]]:
    """The optimiser's state by parameter and key; raises ValueError where tensors do not fit the model."""
    state: dict[str, dict[str, Tensor]] = {}
    for place, tensor in tensors.items():
        kind, _, rest = place.partition("/")
        if kind == "optimizer":
            key, _, name = rest.partition("/")
            state.setdefault(name, {})[key] = tensor
    there = {name.removeprefix("model/"): t.shape for name, t in tensors.items() if name.startswith("model/")}
    if there != {name: parameter.shape for name, parameter in trained.items()} or state.keys() - trained.keys():
        raise ValueError("the trained tensors are not this model's")
    if any(t.ndim and t.shape != trained[name].shape for name, own in state.items() for t in own.values()):
        raise ValueError("the optimiser's state does not fit the trained tensors")
    return state


def _like(parameter: nn.Parameter, value: Tensor) -> Tensor:
    """A tensor of the optimiser's on the parameter's device and, where it has its shape, in its memory layout."""
    if value.ndim == 0:
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(_placed(parameter, value))


def _placed(parameter: Tensor, value: Tensor) -> Tensor:
    """A whole tensor as it is copied into a parameter: of one in shards, this rank's shard."""
    if not hasattr(parameter, "full_tensor"):
        return value
    from torch.distributed.tensor import distribute_tensor

    there: Any = parameter
    return distribute_tensor(value.to(there.device), there.device_mesh, there.placements, src_data_rank=None)
