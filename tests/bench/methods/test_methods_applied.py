"""Every method on every family of models: applied and right, or refused with a reason."""

import copy
from functools import cache
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from finebench.bench.methods import Method, method, methods
from finebench.bench.models.freeze_check import FreezeAudit
from finebench.bench.models.parameters import base_name, head_parameter_names, trainable_counts
from finebench.bench.util.errors import MethodError
from tests.bench.tiny_models import CONFIGS, DECODERS, tiny_architecture, tiny_batch, tiny_model

NAMES = [name for name in methods() if not name.endswith(":")]
OPTIONS: dict[str, dict[str, Any]] = {"prefix": {"tokens": 5}, "prompt": {"tokens": 5}, "vera": {"r": 8}}
NO_ADAPTER = ("modernbert", *DECODERS)
REFUSED = (
    {("adapter", kind) for kind in NO_ADAPTER}
    | {("bitfit", kind) for kind in ("modernbert", "llama")}
    | {("prefix", kind) for kind in ("distilbert", "albert", "deberta-v2", "modernbert")}
    | {("prompt", kind) for kind in DECODERS}
    | {("layerwise", "albert")}
)
"""What cannot be; a pair leaves this list by being made to work."""
PAIRS = [(name, kind) for name in NAMES for kind in CONFIGS if (name, kind) not in REFUSED]


@cache
def pristine(kind: str) -> Any:
    return tiny_model(kind)


def tuned(name: str, kind: str, seed: int = 3, **options: Any) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return method(name)(**OPTIONS.get(name, {}) | options).apply(copy.deepcopy(pristine(kind)))


def step(model: nn.Module, kind: str, lr: float = 1e-2) -> None:
    """One AdamW step."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=lr)
    cross_entropy(model(**tiny_batch(kind)).logits, torch.tensor([0, 1, 0])).backward()
    optimizer.step()


@pytest.mark.parametrize(("name", "kind"), sorted(REFUSED))
def test_what_cannot_be_is_refused_before_and_at_building(name: str, kind: str) -> None:
    made: Method = method(name)(**OPTIONS.get(name, {}))
    with pytest.raises(MethodError, match=kind):
        made.check(tiny_architecture(kind))
    with pytest.raises(MethodError):
        tuned(name, kind)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_one_step_changes_what_is_trained_and_nothing_else(name: str, kind: str) -> None:
    method(name)(**OPTIONS.get(name, {})).check(tiny_architecture(kind))
    model = copy.deepcopy(tuned(name, kind))
    names = head_parameter_names(pristine(kind))
    encoder, head, total = trainable_counts(model, names)
    assert head == sum(p.numel() for n, p in pristine(kind).named_parameters() if n in names)
    assert (encoder == 0) == (name == "head")
    assert total >= encoder + head
    trained = {base_name(n) for n, p in model.named_parameters() if p.requires_grad}
    assert names <= trained
    audit = FreezeAudit(model)
    step(model, kind)
    assert audit.check(model) == []
    idle = audit.idle(model)
    if name in ("lora", "dora", "vera"):  # one factor starts at zero, so the other has no gradient yet
        idle = [n for n in idle if not any(part in n for part in ("lora_A", "vera_lambda_d"))]
    if kind == "deberta-v2":  # no head reads the last layer's positions other than the first
        idle = [n for n in idle if "rel_embeddings" not in n]
    assert idle == []


@pytest.mark.parametrize(("name", "kind"), [(name, "bert") for name in NAMES])
def test_the_same_seed_builds_the_same_model(name: str, kind: str) -> None:
    one, two = tuned(name, kind), tuned(name, kind)
    assert [n for n, _ in one.named_parameters()] == [n for n, _ in two.named_parameters()]
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))


@pytest.mark.parametrize("kind", [kind for kind in CONFIGS if kind not in NO_ADAPTER])
@pytest.mark.parametrize("variant", ["pfeiffer", "houlsby", "parallel"])
def test_adapters_start_as_the_identity_up_to_their_initialisation(kind: str, variant: str) -> None:
    if (variant, kind) == ("parallel", "albert"):
        with pytest.raises(MethodError, match="stand beside"):
            tuned("adapter", kind, variant=variant)
        return
    model = tuned("adapter", kind, variant=variant)
    with torch.no_grad():
        before, after = (one(**tiny_batch(kind)).logits for one in (pristine(kind), model))
    scale = {"pfeiffer": 0.02, "houlsby": 1e-4, "parallel": 0.0}[variant]
    assert (before - after).abs().max() <= scale
    assert (before - after).abs().max() > 0 or variant == "parallel"
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("adapter.up.bias"):
                parameter.add_(1.0 + torch.arange(32) / 8)
        assert (before - model(**tiny_batch(kind)).logits).abs().max() > 1e-3  # the adapters are on the path


def test_published_initialisations() -> None:
    houlsby, pfeiffer = tuned("adapter", "bert", variant="houlsby"), tuned("adapter", "bert", bottleneck=32)
    for model, std, bound in ((houlsby, 0.00088, 0.002), (pfeiffer, 0.02, 0.1)):
        weights = torch.cat(
            [p.flatten() for n, p in model.named_parameters() if n.endswith(("down.weight", "up.weight"))]
        )
        assert weights.std().item() == pytest.approx(std, rel=0.1)
        assert weights.abs().max() <= bound


def test_pfeiffer_is_adapterhubs_formula() -> None:
    """norm(s + up(relu(down(norm(s))))) with s the sum of feed-forward output and residual."""
    from finebench.bench.methods._bottleneck import AdaptedNorm

    place = tuned("adapter", "bert").bert.encoder.layer[0].output.LayerNorm  # type: ignore[union-attr]
    assert isinstance(place, AdaptedNorm)
    s, inner = torch.randn(2, 5, 32), place.adapter
    want = place.norm(s + inner.up(torch.relu(inner.down(place.norm(s)))))
    torch.testing.assert_close(place(s), want)


@pytest.mark.parametrize("kind", ["bert", "roberta", "electra", *DECODERS])
def test_a_prefix_does_not_care_about_padding(kind: str) -> None:
    model, ids = tuned("prefix", kind).eval(), torch.arange(3, 9)[None]
    padded = torch.cat([ids, torch.zeros(1, 4, dtype=torch.long)], 1)
    mask = (padded != 0).long()
    with torch.no_grad():
        alone = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        torch.testing.assert_close(model(input_ids=padded, attention_mask=mask).logits, alone, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("kind", ["bert", "roberta", *DECODERS])
def test_a_prefix_learns(kind: str) -> None:
    """With the head frozen, the prefix alone brings the loss down (in a model whose attention is not near-uniform)."""
    model = method("prefix")(tokens=5).apply(tiny_model(kind, initializer_range=0.3))
    batch = tiny_batch(kind)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("prompt_encoder" in name)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for _ in range(20):
        loss = cross_entropy(model(**batch).logits, torch.tensor([0, 1, 0]))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_ia3_scales_the_feed_forward_input_and_not_attentions_output() -> None:
    names = [n for n, p in tuned("ia3", "bert").named_parameters() if "ia3_" in n]
    assert len(names) == 6
    assert not any("attention.output" in n for n in names)
    assert "bert.encoder.layer.1.output.dense.ia3_l.default" in names


def test_bitfit_trains_what_the_authors_code_trains() -> None:
    trained = {n for n, p in tuned("bitfit", "bert").named_parameters() if p.requires_grad}
    assert trained == {n for n, _ in pristine("bert").named_parameters() if "bias" in n} | {"classifier.weight"}
    some = {n for n, p in tuned("bitfit", "bert", terms="query").named_parameters() if p.requires_grad}
    biases = {f"bert.encoder.layer.{i}.attention.self.query.bias" for i in (0, 1)}
    assert some == biases | {"bert.pooler.dense.bias", "classifier.weight", "classifier.bias"}
    bare = {n for n, p in tuned("bitfit", "albert", terms="query").named_parameters() if p.requires_grad}
    assert "albert.pooler.bias" in bare  # its pooler is a bare matrix


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("peft:LOHAA", {}, "did you mean 'LOHA'"),
        ("peft:LOHA", {"rank": 4}, "unknown hyperparameter of peft's LOHA 'rank'"),
        ("peft:XLORA", {}, "not offered"),
        ("peft:ROAD", {"target_modules": "nowhere"}, "cannot be applied to a bert model"),
    ],
)
def test_peft_refuses_in_one_message(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(MethodError, match=message):
        tuned(name, "bert", **options)


@pytest.mark.parametrize("kind", ["LOHA", "LOKR", "OFT", "HRA", "FOURIERFT", "BEFT", "P_TUNING", "TINYLORA", "OSF"])
def test_other_tuners_of_peft_train_too(kind: str) -> None:
    options = {"num_virtual_tokens": 4, "encoder_hidden_size": 16} if kind == "P_TUNING" else {}
    model = copy.deepcopy(tuned(f"peft:{kind}", "bert", **options))
    audit = FreezeAudit(model)
    encoder, head, _ = trainable_counts(model, head_parameter_names(pristine("bert")))
    assert encoder > 0
    assert head == 66
    step(model, "bert")
    assert audit.check(model) == []
