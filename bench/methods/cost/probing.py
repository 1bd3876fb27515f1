"""What a method makes of a model: built on the meta device (no weights, no memory), counted, its FLOPs measured.

python -m finebench.bench.methods.cost.probing    # one JSON request a line in, one answer a line out, until nothing
comes for a while
"""

import json
import os
import select
import sys
from dataclasses import asdict, replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForSequenceClassification

from finebench.bench.methods import method
from finebench.bench.methods._peft.effects import Effects, find_effects
from finebench.bench.methods._peft.options import describe
from finebench.bench.methods.cost.answer import Polynomial, ProbeAnswer
from finebench.bench.models.frozen_encoder import head_batch, split
from finebench.bench.models.narrow import LARGEST, narrowed
from finebench.bench.models.parameters import head_parameter_names, mark_fresh, pooler_names, trainable_counts
from finebench.bench.util.doors import Plugin, load_plugin
from finebench.bench.util.errors import InputError, MethodError, ModelError

IDLE_SECONDS = 20.0
_LENGTHS = (8, 16, 32)
"""Lengths at which FLOPs are measured: three, for a polynomial of degree two in the length."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What is asked: the options of a tuner, or what a method makes of a model."""
    for one in request.get("plugins", ()):
        load_plugin(Plugin(*one))
    return _describe(request["describe"]) if "describe" in request else _try(request)


def _describe(kind: str) -> dict[str, Any]:
    try:
        return {"options": describe(kind)}
    except MethodError as error:
        return {"error": str(error)}


def _try(request: dict[str, Any]) -> dict[str, Any]:
    """Build the model, apply the method, count and measure; a ProbeAnswer as a dictionary.

    On the meta device; what computes with values (a tuner's SVD, a model that looks for its end token) is asked again
    on the CPU.
    """
    try:
        found = _measured(request)
        trace, effects = _effects(request)
    except Exception as error:
        return asdict(ProbeAnswer(error=_why(error, request)))
    return asdict(replace(found, trace=trace, effects=effects))


def _why(error: Exception, request: dict[str, Any]) -> str:
    """Why a method cannot be counted on a model: in our words, or in those of the library that failed."""
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split())[:300]
    kind = request["config"].get("model_type")
    return f"{request['method']} does not work on a {kind} model: {type(error).__name__}: {text}"


def _measured(request: dict[str, Any]) -> ProbeAnswer:
    try:
        return _measure(request, "meta")
    except Exception as error:
        if "meta" not in str(error).lower():
            raise
    return _measure(request, "cpu")


def _effects(request: dict[str, Any]) -> Effects:
    """What a family's member, and each of its options, does to this model; raises MethodError where that is nothing."""
    tuned = method(request["method"])(**request["hyperparameters"])
    if tuned.model_extra is None:
        return Effects(None, {})
    config = request["config"]
    if _size(config, request["num_labels"]) > LARGEST:
        config = narrowed(config)
        if config is None or _size(config, request["num_labels"]) > LARGEST:
            return Effects(None, {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_shape(config, request["num_labels"])
    return find_effects(model, tuned)


def _size(config: dict[str, Any], num_labels: int) -> int:
    """Parameters of a model with this config."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_shape(config, num_labels).parameters())


def _measure(request: dict[str, Any], device: str) -> ProbeAnswer:
    tuned = method(request["method"])(**request["hyperparameters"])
    with torch.random.fork_rng(devices=[]), torch.device(device):
        model = build_shape(request["config"], request["num_labels"])
        if not request["pooler"]:
            mark_fresh(model, pooler_names(model))
        names = head_parameter_names(model)
        model = tuned.apply(model)
        single = [_flops(model, 1, length, device) for length in _LENGTHS]
        double = _flops(model, 2, _LENGTHS[0], device)
        step = _head_flops(model, device)
    encoder, head, total = trainable_counts(model, names)
    forward, train = (_polynomial([point[i] for point in single], double[i]) for i in (0, 1))
    return ProbeAnswer(encoder, head, total, forward, train, step)


def build_shape(raw: dict[str, Any], num_labels: int) -> Any:
    """A classification model with this config and eager attention, on the default device.

    Raises ModelError for a model type that transformers cannot build for classification.
    """
    options = {key: value for key, value in raw.items() if key not in ("model_type", "auto_map", "num_labels", "dtype")}
    options = {key: value for key, value in options.items() if key not in ("id2label", "label2id", "torch_dtype")}
    try:
        config = AutoConfig.for_model(raw["model_type"], num_labels=num_labels, **options)
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = 0
        return AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    except (ValueError, KeyError) as error:
        text = " ".join(str(error).split())[:300]
        raise ModelError(
            f"a model of type {raw.get('model_type')!r} cannot be built for classification: {text}"
        ) from error


def _flops(model: Any, batch: int, length: int, device: str) -> tuple[int, int]:
    """FLOPs of one pass: (forward, forward and backward)."""
    with FlopCounterMode(display=False) as counter:
        # no mask: checking one reads values, which meta tensors have none of
        logits = model(input_ids=_text(model.config, batch, length, device)).logits
        forward = counter.get_total_flops()
        logits.sum().backward()
    return forward, counter.get_total_flops()


def _text(config: Any, batch: int, length: int, device: str) -> Any:
    """Token ids [batch, length] of an ordinary token, which is no padding, ended as BART and T5 need it to classify."""
    padding, ending, size = (getattr(config, key, None) for key in ("pad_token_id", "eos_token_id", "vocab_size"))
    plain = next(token for token in range(3) if token not in (padding, ending))
    ids = torch.full((batch, length), plain, dtype=torch.long, device=device)
    if isinstance(ending, int) and isinstance(size, int) and 0 <= ending < size:
        ids[:, -1] = ending
    return ids


def _head_flops(model: Any, device: str) -> tuple[Polynomial, Polynomial, Polynomial] | None:
    """FLOPs where only the head is trained: of the features, of a step on them, of a forward pass on them."""
    apart = split(model)
    if apart is None:
        return None

    def read(batch: int, length: int) -> int:
        ids = _text(model.config, batch, length, device)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            apart.encoder(input_ids=ids)
        return int(counter.get_total_flops())

    features = _polynomial([read(1, length) for length in _LENGTHS], read(2, _LENGTHS[0]))
    values = torch.zeros((1, model.config.hidden_size), device=device)
    with apart.detached(), FlopCounterMode(display=False) as counter:
        logits = model(**head_batch(values, 1)).logits
        forward = counter.get_total_flops()
        logits.sum().backward()
    return features, (0.0, 0.0, float(counter.get_total_flops()), 0.0), (0.0, 0.0, float(forward), 0.0)


def _polynomial(single: list[int], double: int) -> Polynomial:
    """From the FLOPs of one input at each of the three lengths, and of two at the first."""
    (x, y, z), (u, v, w) = _LENGTHS, single
    first, second = (v - u) / (y - x), (w - v) / (z - y)
    square = (second - first) / (z - x)
    token = first - square * (x + y)
    step = 2 * u - double
    return token, square, u - token * x - square * x * x - step, step


def main() -> None:
    """Answer requests from stdin until it closes or nothing has come for a while; libraries' output goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.readline()
        if not line:
            return
        out.write(json.dumps(answer(json.loads(line))) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
