"""Models of every family without their encoder: the same logits, and the same training, from cached features."""

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from finebench.bench.data.tokenize import Tokens
from finebench.bench.methods import method, methods
from finebench.bench.methods.cost import method_cost
from finebench.bench.models import frozen_encoder as frozen
from finebench.bench.models.frozen_encoder import Apart, frozen_encoder, head_batch, split, training_mode
from finebench.bench.models.head_input import read_of
from finebench.bench.models.parameters import mark_fresh, pooler_names, trained_tensors
from finebench.bench.study.parts.training import Training
from finebench.bench.training.evaluation import Progress
from finebench.bench.training.feature_cache import FeatureStore
from finebench.bench.training.job import Examples, Job
from finebench.bench.training.linear_probe import on_features
from finebench.bench.training.loop import train
from tests.bench.methods.test_methods_applied import OPTIONS, PAIRS
from tests.bench.tiny_models import CONFIGS, DECODERS, tiny_architecture, tiny_batch, tiny_model

VARIANTS: list[tuple[str, dict[str, Any], bool]] = [(kind, {}, False) for kind in CONFIGS]
VARIANTS += [("modernbert", {"classifier_pooling": "mean"}, False), ("bert", {}, True), ("albert", {}, True)]
"""Family, changes of its config, and whether its pooler is trained with the head."""
EVERY = pytest.mark.parametrize(("kind", "changes", "pooling"), VARIANTS)


def probe_of(kind: str, changes: dict[str, Any], pooling: bool) -> Any:
    """A model of which the head alone is trained."""
    model = tiny_model(kind, **changes)
    if pooling:
        mark_fresh(model, pooler_names(model))
    return method("head")().apply(model)


def apart_of(model: nn.Module) -> Apart:
    found = split(model)
    assert found is not None
    return found


def tokens_of(rows: int = 24) -> Tokens:
    """Random texts of 3 to 12 tokens, none of them the padding."""
    stream = np.random.default_rng(0)
    offsets = np.concatenate([[0], np.cumsum(stream.integers(3, 13, rows))])
    return Tokens(stream.integers(3, 64, offsets[-1]).astype(np.int32), offsets, None)


def job_of(model: nn.Module, steps: int = 6, **training: Any) -> Job:
    tokens, labels = tokens_of(), np.arange(24) % 2
    parts = [Examples(tokens, labels, np.arange(*ends)) for ends in ((0, 14), (14, 19), (0, 24))]
    return Job(
        model, *parts, regression=False, metrics=("accuracy",), steps=steps, lr=1e-2,
        training=Training(batch_size=4, evals=2, **training), order_seed=1, dropout_seed=2, pad_id=0,
        device=torch.device("cpu"), flops=lambda *work: 0.0,
    )  # fmt: skip


def trained(job: Job) -> tuple[dict[str, torch.Tensor], Progress]:
    progress = Progress()
    for _ in train(job, progress):
        pass
    return {name: tensor.clone() for name, tensor in trained_tensors(job.model).items()}, progress


@EVERY
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_logits_from_features_are_the_models_own(
    kind: str, changes: dict[str, Any], pooling: bool, dtype: torch.dtype
) -> None:
    model = probe_of(kind, changes, pooling).to(dtype)
    batch, apart = tiny_batch(kind), apart_of(model)
    assert apart.pooling is pooling
    with torch.no_grad():
        whole = model(**batch).logits
        values = apart.read(batch)
        with apart.detached():
            logits = model(**head_batch(values, 1)).logits
        assert torch.equal(model(**batch).logits, whole)
    assert values.shape == (3, model.config.hidden_size)
    assert (logits - whole).abs().max() <= (1e-10 if dtype == torch.float64 else 1e-6)


@EVERY
def test_training_on_features_is_the_full_forward_with_the_encoder_in_evaluation_mode(
    kind: str, changes: dict[str, Any], pooling: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a family whose head's input is not known gives the same numbers by running the encoder at every step."""
    model = probe_of(kind, changes, pooling).double()
    slow = copy.deepcopy(model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    apart = apart_of(model)
    job = on_features(job_of(model), apart, FeatureStore(), "key")
    assert [name for name, p in model.named_parameters() if p.requires_grad] == names
    fast, progress = trained(job)
    apart.attach()
    monkeypatch.setattr(frozen, "read_of", lambda *arguments: None)
    assert split(slow) is None
    full, other = trained(job_of(slow))
    assert list(fast) == list(full) == names
    for name, tensor in full.items():
        assert (tensor - fast[name]).abs().max() <= 1e-10
        assert not torch.equal(tensor, before[name]) or name.endswith("bias")
    for one, two in zip(progress.evaluations, other.evaluations, strict=True):
        assert one.select.loss == pytest.approx(two.select.loss, abs=1e-10)
        assert one.score is None or one.score.loss == pytest.approx(two.score.loss, abs=1e-10)  # type: ignore[union-attr]
    assert (progress.tokens, progress.squares, progress.examples) == (other.tokens, other.squares, other.examples)


def test_dropout_is_on_in_the_head_and_off_in_the_frozen_encoder() -> None:
    model = probe_of("bert", {"hidden_dropout_prob": 0.5}, False)
    training_mode(model)
    assert model.dropout.training
    assert not any(module.training for module in model.bert.modules())
    whole = method("bitfit")().apply(tiny_model("bert"))
    training_mode(whole)
    assert all(module.training for module in whole.modules())


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_what_the_plan_counts_is_what_the_trainer_does(name: str, kind: str) -> None:
    """Whether a trial runs on features is read off requires_grad there, and off counted parameters here."""
    tuned = method(name)(**OPTIONS.get(name, {}))
    apart = split(tuned.apply(tiny_model(kind)))
    assert (method_cost.head_flops(tuned, tiny_architecture(kind), 2) is None) == (apart is None)


def test_only_head_training_counts_as_frozen() -> None:
    model = probe_of("bert", {}, False)
    assert frozen_encoder(model) is model.bert
    model.bert.encoder.layer[1].output.dense.bias.requires_grad_(True)
    assert frozen_encoder(model) is None
    assert frozen_encoder(tiny_model("bert").requires_grad_(False)) is None
    assert frozen_encoder(nn.Linear(2, 2)) is None


def test_families_are_those_of_the_tests() -> None:
    assert {read_of(kind) for kind in DECODERS} == {"last"}
    assert all(read_of(kind) for kind in CONFIGS)
    assert read_of("modernbert", "mean") == "mean"
    assert read_of("modernbert", "other") is None
    assert read_of("unheard-of") is None


def test_flops_on_features_are_those_of_torchs_counter() -> None:
    """Closed form and probe, with and without a pooler of the model's own."""
    from finebench.bench.methods.cost.probe import probe

    tuned = method("head")()
    for pooler in (True, False):
        arch = replace(tiny_architecture("bert"), pooler=pooler)
        closed = method_cost.head_flops(tuned, arch, 2)
        measured = probe(arch.raw, "head", tuned.model_dump(), 2, pooler=pooler).head_step
        assert closed is not None
        assert measured is not None
        for one, two in zip((closed.features, closed.step, closed.forward), measured, strict=True):
            assert one(160, 6400, 4) == pytest.approx(method_cost.Flops(*two[:3])(160, 6400, 4), rel=1e-6)
        assert closed.training(160, 6400, 4).once == closed.features(160, 6400, 4)
    assert "head" in methods()
