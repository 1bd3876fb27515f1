"""Tensors that several modules share are one parameter: alone, in packs, in checkpoints and in what is kept."""

from datetime import UTC, datetime
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from finebench.bench.models import attention
from finebench.bench.models.dropout import step_keys
from finebench.bench.models.parameters import trained_parameters, trained_tensors
from finebench.bench.training import checkpoint
from finebench.bench.training.evaluation import Progress
from finebench.bench.training.measured import Measured
from finebench.bench.training.optimiser import make_optimizer
from finebench.bench.training.packs.stacked_model import Stack
from tests.bench.tiny_models import tiny_model

BATCH = {
    "input_ids": torch.tensor([[5, 6, 7, 2], [8, 9, 2, 0]]),
    "attention_mask": torch.tensor([[1] * 4, [1, 1, 1, 0]]),
}
LR = 0.01


def t5() -> Any:
    """In evaluation mode, so that nothing is dropped; `shared` is the embedding of encoder and decoder."""
    model = tiny_model("t5")
    assert model.transformer.shared.weight is model.transformer.encoder.embed_tokens.weight
    return model


def tied() -> nn.Module:
    """Two linear layers, one weight."""
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    model[1].weight = model[0].weight
    return model


@pytest.mark.parametrize("make", [t5, tied])
def test_a_shared_parameter_is_optimised_once(make: Any) -> None:
    model = make()
    listed = [p for group in make_optimizer(model, LR, 0.1).param_groups for p in group["params"]]
    assert len(listed) == len(set(listed)) == len(list(model.parameters()))


def test_a_step_moves_a_shared_tensor_by_one_learning_rate() -> None:
    """Adam's first step is the learning rate in each element that has a gradient."""
    model = t5()
    before = model.transformer.shared.weight.detach().clone()
    optimizer = make_optimizer(model, LR, 0.0)
    model(**BATCH).logits.square().sum().mul(1e6).backward()
    optimizer.step()
    moved = (model.transformer.shared.weight.detach() - before).abs().max().item()
    assert moved == pytest.approx(LR, rel=1e-3)


def _alone(model: Any, steps: int) -> tuple[Any, torch.optim.AdamW]:
    optimizer = make_optimizer(model, LR, 0.1)
    for _ in range(steps):
        model(**BATCH).logits.square().sum().backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def _packed(models: list[Any], steps: int) -> list[dict[str, Tensor]]:
    stack = Stack(models, [make_optimizer(model, LR, 0.1) for model in models])
    batch = {name: tensor.expand(len(models), *tensor.shape) for name, tensor in BATCH.items()}
    for step in range(1, steps + 1):
        logits = stack.logits(batch, step_keys([0] * len(models), [step] * len(models)))
        stack.update(logits.square().sum((1, 2)), torch.ones(len(models), dtype=logits.dtype), [LR] * len(models))
    return [trained_tensors(model) for model in models]


def test_a_pack_is_its_members_alone() -> None:
    """Two layers of BERT share a matrix; in float64 to 1e-10."""

    def model() -> Any:
        made = tiny_model("bert").double()
        layers = made.bert.encoder.layer
        layers[1].output.dense.weight = layers[0].output.dense.weight
        attention.use_keyed(made)
        return made

    alone, _ = _alone(model(), 3)
    for found in _packed([model(), model()], 3):
        assert found.keys() == trained_parameters(alone).keys()
        for name, wanted in trained_tensors(alone).items():
            torch.testing.assert_close(found[name], wanted, rtol=0, atol=1e-10, msg=lambda text, n=name: f"{n}: {text}")


def test_a_checkpoint_goes_on_bit_by_bit() -> None:
    model, optimizer = _alone(t5(), 2)
    about = (Progress(), Measured(), datetime.now(UTC))
    data = checkpoint.encode({}, model, optimizer, *about)
    other = t5()
    resumed = make_optimizer(other, LR, 0.1)
    checkpoint.restore(data, {}, other, resumed, Progress(), Measured())
    assert other.transformer.shared.weight is other.transformer.encoder.embed_tokens.weight
    for each, own in ((model, optimizer), (other, resumed)):
        each(**BATCH).logits.square().sum().backward()
        own.step()
    for name, wanted in trained_tensors(model).items():
        assert torch.equal(trained_tensors(other)[name], wanted), name
