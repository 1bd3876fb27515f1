"""Nothing is computed, stored or waited for that training does not need, whatever the method."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
import torch
from safetensors.torch import load
from torch import nn

from finebench.bench.data.tokenize import Tokens
from finebench.bench.methods import Method, method
from finebench.bench.models.parameters import trained_parameters
from finebench.bench.training import loop, prediction
from finebench.bench.training.checkpoint import encode
from finebench.bench.training.evaluation import Progress
from finebench.bench.training.feature_cache import FeatureStore
from finebench.bench.training.job import Job
from finebench.bench.training.linear_probe import on_features
from finebench.bench.training.measured import Measured
from finebench.bench.training.optimiser import make_optimizer
from tests.bench.methods.test_methods_applied import NAMES, OPTIONS
from tests.bench.models.test_frozen_encoder import apart_of, job_of, probe_of
from tests.bench.tiny_models import tiny_batch, tiny_model

LAYERS = 4
ALL = pytest.mark.parametrize("name", NAMES)


def applied(name: str, **config: Any) -> nn.Module:
    made: Method = method(name)(**OPTIONS.get(name, {}))
    return made.apply(tiny_model("bert", num_hidden_layers=LAYERS, **config))


def layers_of(model: nn.Module) -> list[nn.Module]:
    """The transformer layers, and before them the embeddings, also inside PEFT's wrappers."""
    found = dict(model.named_modules())
    prefix = next(name for name in found if name.endswith("bert.encoder")).removesuffix("encoder")
    return [found[f"{prefix}embeddings"], *(found[f"{prefix}encoder.layer.{k}"] for k in range(LAYERS))]


def saved_bytes(model: nn.Module) -> list[int]:
    """Bytes that each of `layers_of` keeps for the backward pass of one batch."""
    layers, inside = layers_of(model), [-1]
    kept = [0] * len(layers)
    hooks = []

    def leave(*_: Any) -> None:
        inside.pop()

    for number, layer in enumerate(layers):
        hooks.append(layer.register_forward_pre_hook(lambda *_, n=number: inside.append(n)))
        hooks.append(layer.register_forward_hook(leave))

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if inside[-1] >= 0:
            kept[inside[-1]] += tensor.nbytes
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        model(**tiny_batch()).logits.sum().backward()
    for hook in hooks:
        hook.remove()
    return kept


@ALL
def test_layers_below_the_lowest_trained_one_keep_nothing(name: str) -> None:
    """With the embeddings and two layers of what the method trains frozen again."""
    model = applied(name)
    for layer in layers_of(model)[:3]:
        layer.requires_grad_(False)
    prompts = [n for n, p in model.named_parameters() if p.requires_grad and "prompt" in n]
    kept = saved_bytes(model)
    lowest = 0 if prompts else 3  # a trained prompt enters below all layers
    trains = any(p.requires_grad for layer in layers_of(model)[3:] for p in layer.parameters())
    assert not any(kept[:lowest])
    assert any(kept[lowest:]) == (trains or bool(prompts))


def test_the_embeddings_keep_nothing_where_only_layers_are_trained() -> None:
    kept = saved_bytes(applied("lora"))
    assert kept[0] == 0
    assert min(kept[1:]) > 0
    assert saved_bytes(applied("full"))[0] > 0


@ALL
def test_gradients_and_optimiser_state_exist_for_what_is_trained_alone(name: str) -> None:
    model = applied(name)
    optimizer = make_optimizer(model, 1e-3, 0.01)
    model(**tiny_batch()).logits.square().sum().backward()
    optimizer.step()
    for parameter in model.parameters():
        assert (parameter.grad is not None) == parameter.requires_grad
        assert (parameter in optimizer.state) == parameter.requires_grad
    state = sum(value.nbytes for own in optimizer.state.values() for value in own.values() if value.ndim)
    assert state == 2 * sum(parameter.nbytes for parameter in trained_parameters(model).values())


@ALL
def test_checkpoints_hold_what_is_trained_alone(name: str) -> None:
    model = applied(name)
    optimizer = make_optimizer(model, 1e-3, 0.01)
    model(**tiny_batch()).logits.square().sum().backward()
    optimizer.step()
    tensors = load(encode({}, model, optimizer, Progress(), Measured(), datetime.now(UTC)))
    stored = {key.removeprefix("model/") for key in tensors if key.startswith("model/")}
    assert stored == set(trained_parameters(model))
    big = [key for key, tensor in tensors.items() if tensor.numel() > 1 and key not in ("about", "digest")]
    trained = stored
    assert {key.split("/", 1 if key.startswith("model/") else 2)[-1] for key in big} <= trained


def on_meta(job: Job) -> Job:
    """The job on a device whose values cannot be read: whatever waits for one raises."""
    return dataclasses.replace(job, model=job.model.to("meta"), device=torch.device("meta"))


@pytest.mark.parametrize("cached", [True, False])
def test_a_step_waits_for_no_value_of_the_device(cached: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """A whole step, batch and learning rate included, on the meta device; reading a value there is an error.

    The mask is left out where the encoder runs: transformers looks for padding in a mask of two dimensions
    (masking_utils), which is a wait inside the model, not in the loop around it.
    """
    model = probe_of("bert", {}, False)
    job = job_of(model)
    if cached:
        job = on_features(job, apart_of(model), FeatureStore(), "key")
    else:
        real = Tokens.batch
        monkeypatch.setattr(Tokens, "batch", lambda *a: {"input_ids": real(*a)["input_ids"]})
    job = on_meta(job)
    with pytest.raises((RuntimeError, NotImplementedError)):
        torch.ones(1, device="meta").item()
    trained = list(trained_parameters(job.model).values())
    optimizer = torch.optim.AdamW(trained, foreach=False)
    batches = loop.batches(job)
    losses = [loop._step(job, optimizer, trained, next(batches), step) for step in (1, 2)]
    assert all(loss.device.type == "meta" for loss in losses)


def test_batches_reach_a_gpu_from_pinned_memory_without_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, Any]] = []

    class Fake(torch.Tensor):
        def pin_memory(self, *_: Any) -> "Fake":  # type: ignore[override]
            seen.append(("pin", None))
            return self

        def to(self, *args: Any, **kwargs: Any) -> "Fake":  # type: ignore[override]
            seen.append((str(args[0]), kwargs.get("non_blocking")))
            return self

    prediction.on_device({"input_ids": torch.zeros(2).as_subclass(Fake)}, torch.device("cuda"))
    assert seen == [("pin", None), ("cuda", True)]
    seen.clear()
    prediction.on_device({"input_ids": torch.zeros(2).as_subclass(Fake)}, torch.device("cpu"))
    assert ("pin", None) not in seen


def test_tokens_are_cut_to_the_longest_of_a_batch() -> None:
    import numpy as np

    tokens = Tokens(np.arange(9, dtype=np.int32), np.array([0, 2, 5, 9]), None)
    assert tokens.batch(np.array([0, 1]), 0)["input_ids"].shape == (2, 3)
