"""Keyed dropout: masks with the right rate and no structure, that depend on their key and place alone."""

import copy
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from finebench.bench.models import attention
from finebench.bench.models.attention import keyed_attention
from finebench.bench.models.dropout import (
    CALLS,
    KeyedDropout,
    Stream,
    dropout,
    forget,
    keep_mask,
    replay,
    step_keys,
    stream,
    use_keyed,
)
from finebench.bench.models.gradient_checkpointing import _enable
from finebench.bench.training.prediction import autocast
from finebench.bench.training.worker.messages import Share, Shipment
from finebench.bench.training.worker.trial_runner import Member
from finebench.bench.training.worker.worker_cache import WorkerCache
from tests.bench.tiny import tiny_prepared
from tests.bench.tiny_models import CONFIGS, tiny_batch, tiny_model

SHAPE = (16, 32, 96)
GOLDEN_KEYS = [[474962502, 1896956932], [-1244117606, -342646574]]
GOLDEN_MASK = [1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]


def keys(seed: int = 1, step: int = 1, calls: int = CALLS) -> Tensor:
    """The keys of one trial's step."""
    return torch.from_numpy(step_keys([seed], [step], calls))[0]


def mask(key: Tensor, shape: tuple[int, ...] = SHAPE, p: float = 0.1) -> Tensor:
    """A mask in float64."""
    return keep_mask(key, shape, p, torch.float64)


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's, in units of its standard deviation under independence: about N(0, 1)."""
    a, b = a.flatten() - a.mean(), b.flatten() - b.mean()
    return float((a @ b) / (a.norm() * b.norm()) * len(a) ** 0.5)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_the_rate_is_kept(p: float) -> None:
    """Over all elements, and over every row, position and channel apart, within 5 standard deviations."""
    many = torch.stack([mask(keys()[call], p=p) for call in range(40)])
    for axes in ((0, 1, 2, 3), (0, 2, 3), (0, 1, 3), (0, 1, 2)):
        mean = many.mean(axes)
        count = many.numel() / max(1, mean.numel())
        assert float((mean - (1 - p)).abs().max()) < 5 * (p * (1 - p) / count) ** 0.5


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_neighbours_are_not_correlated(p: float) -> None:
    """Neither along rows, positions, heads and channels nor between calls, steps and seeds (all within 5 sd)."""
    first, step_two, seed_two = keys(), keys(step=2), keys(seed=2)
    one = torch.stack([mask(key, p=p) for key in first[:20]])
    others = {
        "next call": torch.stack([mask(key, p=p) for key in first[1:21]]),
        "next step": torch.stack([mask(key, p=p) for key in step_two[:20]]),
        "next seed": torch.stack([mask(key, p=p) for key in seed_two[:20]]),
    }
    found = {name: correlation(one, other) for name, other in others.items()}
    for axis, name in ((1, "row"), (2, "position"), (3, "channel")):
        for apart in (1, 2, 3, 8):
            ahead = one.narrow(axis, apart, one.shape[axis] - apart)
            found[f"{name} + {apart}"] = correlation(one.narrow(axis, 0, one.shape[axis] - apart), ahead)
    assert {name: value for name, value in found.items() if abs(value) > 5} == {}


def test_no_two_vectors_of_a_step_have_the_same_mask() -> None:
    """Nor are any two of them too alike: pairwise agreement stays within 6 sd of chance."""
    rows = mask(keys()[0], (16, 64, 128), 0.5).flatten(0, 1)
    signs = 2 * rows - 1
    agreement = (signs @ signs.T).fill_diagonal_(0) / 128**0.5
    assert float(agreement.abs().max()) < 6.5
    columns = (2 * mask(keys()[1], (16, 64, 128), 0.5).flatten(0, 1) - 1).T
    assert float((columns @ columns.T).fill_diagonal_(0).abs().max() / 1024**0.5) < 6.5


def test_padding_and_fellow_rows_change_nothing() -> None:
    """The mask of a place is the same in a longer, wider or larger batch."""
    key = keys()[3]
    small, large = mask(key, (4, 5, 7)), mask(key, (9, 11, 14))
    assert torch.equal(small, large[:4, :5, :7])
    small, large = mask(key, (2, 3, 5, 5)), mask(key, (3, 3, 9, 8))
    assert torch.equal(small, large[:2, :, :5, :5])


def test_many_keys_at_once_give_the_masks_of_each() -> None:
    """That is what a pack asks for."""
    several = torch.from_numpy(step_keys([5, 6, 7], [1, 9, 4], 2))[:, 1]
    together = mask(several, (4, 5, 6))
    assert torch.equal(together, torch.stack([mask(key, (4, 5, 6)) for key in several]))


def test_fewer_calls_are_the_first_of_more() -> None:
    """So that a pack may ask for as many keys as it needs."""
    assert np.array_equal(step_keys([3], [2], 9), step_keys([3], [2])[:, :9])


def test_these_masks_decide_results() -> None:
    """A change here needs a new TRAINING_VERSION."""
    assert step_keys([1, 2**62 + 5], [1, 10], 2).tolist() == GOLDEN_KEYS
    assert mask(keys()[0], (2, 2, 5), 0.5).flatten().int().tolist() == GOLDEN_MASK


def test_a_scalar_per_key_leaves_the_key_as_it_was() -> None:
    """A tensor of channels alone; its mask is the first vector's of none."""
    key = keys()[0]
    before = int(key)
    assert mask(key, (6,), 0.5).shape == (6,)
    assert int(key) == before


def test_what_is_kept_is_small_and_goes_when_a_trial_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention and hidden states of a hundred lengths: a trial's memory must not depend on the trials before it."""
    made: list[weakref.ref[Tensor]] = []
    real = torch.from_numpy

    def noting(values: Any) -> Tensor:
        tensor = real(values)
        made.append(weakref.ref(tensor))
        return tensor

    ready = tiny_prepared()
    cache = WorkerCache(Shipment("tiny", str(ready.model.folder), ready.tasks, 60.0), Share())
    forget()
    key = keys()[0]
    monkeypatch.setattr(torch, "from_numpy", noting)
    for length in range(8, 108):
        mask(key, (16, 12, length, 8))
        mask(key, (16, length, 32))
    kept = [one() for one in made]
    assert 0 < sum(tensor.nbytes for tensor in kept if tensor is not None) < 100_000
    kept.clear()
    before = list(made)
    Member(next(ready.plan.grid(ready.known)), cache, None).make_job()
    assert all(one() is None for one in before)


def test_forward_and_gradient() -> None:
    """x · mask / (1 − p), and the same factor on the way back."""
    x = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    with stream(keys()):
        out = dropout(x, 0.25)
    factor = mask(keys()[0], (3, 4, 6), 0.25) / 0.75
    torch.testing.assert_close(out, x * factor)
    torch.testing.assert_close(torch.autograd.grad(out.sum(), x)[0], factor)
    with stream(keys()):
        assert float(dropout(x, 1.0).detach().abs().max()) == 0.0


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No mask is so small that it is kept."""
    monkeypatch.setattr("finebench.bench.models.dropout.KEPT", 0)


@pytest.mark.usefixtures("again")
@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16, torch.float64])
def test_the_backward_pass_makes_the_mask_again_and_nothing_keeps_it(precision: torch.dtype) -> None:
    """To the last bit what a kept mask gives, in any precision, for a part of a batch too."""
    x = torch.randn(3, 4, 6, dtype=precision, requires_grad=True)
    grad = torch.randn(3, 4, 6).to(precision)
    with stream(keys(), first=2, rows=3):
        out = dropout(x, 0.25)
    factor = keep_mask(keys()[0], (3, 4, 6), 0.25, precision, 2).mul_(1 / 0.75)
    assert out.grad_fn._raw_saved_other.data is None  # type: ignore[union-attr]
    assert torch.equal(out, x * factor)
    assert torch.equal(torch.autograd.grad(out, x, grad)[0], grad * factor)


def test_a_small_mask_is_kept() -> None:
    """Making it again would take longer than it is worth."""
    with stream(keys()):
        small, large = (dropout(torch.ones(n, 2, 256, requires_grad=True), 0.25) for n in (128, 129))
    assert small.numel() == 2**16
    assert isinstance(small.grad_fn._raw_saved_other.data, Tensor)  # type: ignore[union-attr]
    assert large.grad_fn._raw_saved_other.data is None  # type: ignore[union-attr]


def test_in_a_pack_the_backward_pass_makes_the_masks_again() -> None:
    """Of the same bits as each member's alone; what is kept is a key to a member."""
    x, grad = torch.randn(2, 2, 3, 4, 6)
    x.requires_grad_()
    own = torch.from_numpy(step_keys([5, 6], [1, 9], 2))

    def one(x: Tensor, keys: Tensor) -> Tensor:
        with stream(keys):
            return dropout(x, 0.25)

    out = torch.func.vmap(one)(x, own)
    kept = [tensor.numel() for tensor in out.grad_fn.saved_tensors]  # type: ignore[union-attr]
    assert kept == [2]
    found = torch.autograd.grad(out, x, grad)[0]
    for k in range(2):
        factor = keep_mask(own[k, 0], (3, 4, 6), 0.25, torch.float32).mul_(1 / 0.75)
        assert torch.equal(found[k], grad[k] * factor)


@pytest.mark.usefixtures("again")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_model_keeps_less_and_computes_the_same(
    precision: str, checkpointing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the bytes that autograd saves, under autocast and where layers are computed again too; the gradients are those
    of kept masks, to the last bit."""
    model = tiny_model("distilbert").train()
    attention.use_keyed(model)
    use_keyed(model)
    if checkpointing:
        _enable(model)({"use_reentrant": False, "context_fn": replay})

    def run() -> tuple[int, list[Tensor]]:
        kept: list[int] = []

        def save(tensor: Tensor) -> Tensor:
            kept.append(tensor.nbytes)
            return tensor

        saving = torch.autograd.graph.saved_tensors_hooks(save, lambda tensor: tensor)
        with saving, stream(keys()), autocast(torch.device("cpu"), precision):
            loss = model(**tiny_batch("distilbert")).logits.float().sum()
        return sum(kept), list(torch.autograd.grad(loss, list(model.parameters())))

    bytes_again, gradients_again = run()
    monkeypatch.setattr("finebench.bench.models.dropout.KEPT", 2**62)
    bytes_kept, gradients_kept = run()
    assert checkpointing or bytes_kept > bytes_again
    assert all(torch.equal(a, b) for a, b in zip(gradients_again, gradients_kept, strict=True))


def test_outside_a_step_there_is_no_silent_dropout() -> None:
    """Training mode without keys is a mistake; evaluation needs none."""
    layer = KeyedDropout(0.1)
    with pytest.raises(RuntimeError, match="running step"):
        layer(torch.ones(2, 2))
    assert torch.equal(layer.eval()(torch.ones(2, 2)), torch.ones(2, 2))


def test_a_step_has_only_so_many_keys() -> None:
    """And says so."""
    few = Stream(keys(calls=1))
    few.next()
    with pytest.raises(RuntimeError, match="more than 1 times"):
        few.next()


def test_a_dropout_in_two_places_stays_one() -> None:
    """And every plain one is replaced."""
    model = nn.Module()
    model.a = model.b = nn.Dropout(0.3)
    use_keyed(model)
    assert isinstance(model.a, KeyedDropout)
    assert model.a is model.b
    assert model.a.p == 0.3


@pytest.mark.parametrize("kind", CONFIGS)
def test_attention_is_that_of_transformers(kind: str) -> None:
    """In evaluation bit for bit, in training without dropout to rounding."""
    model = tiny_model(kind)
    ours = copy.deepcopy(model)
    attention.use_keyed(ours)
    batch = tiny_batch(kind)
    assert torch.equal(model(**batch).logits, ours(**batch).logits)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_step_looks_at_no_value(kind: str) -> None:
    """On a GPU each look would wait for all that is queued; on `meta`, where there are no values, it fails."""
    model = tiny_model(kind)
    attention.use_keyed(model)
    use_keyed(model)
    model.train().to("meta")
    batch = {name: value.to("meta") for name, value in tiny_batch(kind).items()}
    with stream(keys().to("meta")):
        loss = cross_entropy(
            model(**batch).logits, torch.zeros(len(batch["input_ids"]), dtype=torch.int64, device="meta")
        )
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    assert all(p.grad is not None for name, p in model.named_parameters() if "classifier" in name)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_the_written_out_softmax_is_sdpa(causal: bool, masked: bool) -> None:
    """With a dropout too small to drop anything (less than 2^-17), against torch's own; heads of keys are shared."""
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 4, 5, 8, generator=generator, dtype=torch.float64)
    key, value = torch.randn(2, 2, 2, 5, 8, generator=generator, dtype=torch.float64)
    seen = torch.rand(2, 1, 5, 5, generator=generator) > 0.4
    seen |= torch.eye(5, dtype=torch.bool)
    module = nn.Module()
    module.num_key_value_groups, module.is_causal = 2, causal
    given = seen if masked else None
    wanted, _ = keyed_attention(module, query, key, value, given)
    with stream(keys()) as taken:
        out, _ = keyed_attention(module, query, key, value, given, dropout=1e-9)
    assert taken.used == 1
    torch.testing.assert_close(out, wanted, rtol=1e-6, atol=1e-8)
