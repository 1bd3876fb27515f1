"""Queries that see nothing: where padding is longer than a window, what comes out is 0 and every gradient finite."""

import copy
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.functional import cross_entropy

from finebench.bench.models import attention, dropout
from finebench.bench.models.attention import keyed_attention
from finebench.bench.models.dropout import step_keys, stream
from tests.bench.tiny_models import tiny_model

NOTHING = 1e-9
"""A dropout too small to drop anything (less than 2^-17)."""


def inputs() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Query, key, value [2, 4, 5, 8] and a mask of which two queries see nothing."""
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 4, 5, 8, generator=generator, dtype=torch.float64)
    seen = (torch.rand(2, 1, 5, 5, generator=generator) > 0.4) | torch.eye(5, dtype=torch.bool)
    seen[0, :, 3:] = False
    return query, key, value, seen


def as_given(seen: Tensor, kind: str) -> Tensor:
    """A mask as models hand it over: what is seen, or what is added to the scores."""
    return seen if kind == "boolean" else torch.zeros(seen.shape, dtype=torch.float64).masked_fill(~seen, -math.inf)


def encoder() -> nn.Module:
    module = nn.Module()
    module.is_causal = False
    return module


@pytest.mark.parametrize("kind", ["boolean", "added"])
def test_queries_that_see_nothing_give_what_torch_gives(kind: str) -> None:
    *leaves, seen = inputs()
    ends = []
    for rate in (0.0, NOTHING):
        own = [leaf.clone().requires_grad_() for leaf in leaves]
        with stream(torch.from_numpy(step_keys([1], [1])[0])):
            out, _ = keyed_attention(encoder(), *own, as_given(seen, kind), dropout=rate)
        out.square().sum().backward()
        ends.append([out.detach(), *(leaf.grad for leaf in own)])
    for stock, ours in zip(*ends, strict=True):
        torch.testing.assert_close(ours, stock, rtol=1e-6, atol=1e-8)
    assert not ends[1][0][0, 3:].any()


def test_a_pack_gives_the_same() -> None:
    query, key, value, seen = inputs()
    wanted, _ = keyed_attention(encoder(), query, key, value, seen)
    found = vmap(lambda q, m: keyed_attention(encoder(), q, key, value, m)[0])(query[None], seen[None])
    torch.testing.assert_close(found[0], wanted, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", ["modernbert", "mistral"])
def test_padding_beyond_the_window_trains(kind: str) -> None:
    """With dropout on attention: the loss and every gradient are finite, and those of transformers' own where nothing
    is dropped."""
    changes: dict[str, Any] = {"attention_dropout": NOTHING}
    stock = tiny_model(kind).train()
    model = copy.deepcopy(tiny_model(kind, **changes)).train()
    attention.use_keyed(model)
    dropout.use_keyed(model)
    ids = torch.randint(3, 60, (2, 30), generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    ids[0, 4:] = mask[0, 4:] = 0
    losses = []
    for each in (stock, model):
        with stream(torch.from_numpy(step_keys([1], [1])[0])):
            loss = cross_entropy(each(input_ids=ids, attention_mask=mask).logits, torch.tensor([0, 1]))
        loss.backward()
        losses.append(loss.item())
    assert np.isfinite(losses[1])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    for (name, a), b in zip(stock.named_parameters(), model.parameters(), strict=True):
        if a.grad is not None and b.grad is not None:
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-4, atol=1e-6, msg=lambda text, n=name: f"{n}: {text}")
