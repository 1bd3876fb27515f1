"""Attention with keyed dropout (bench.models.dropout), registered with transformers under its own name.

Without dropout it is transformers' `sdpa`. The softmax is written out, as torch itself does on a CPU, with dropout,
inside a pack (torch's fused kernels have no batching rule on every device), and where a gradient is to be taken on a
GPU while torch is not strict: the fused kernels' is then another one each time (bench.training.worker.determinism).
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from finebench.bench.models.dropout import dropout as keyed_dropout
from finebench.bench.models.dropout import in_vmap

NAME = "finebench"


def keyed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: Tensor | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """query [B, H, Q, D], key and value [B, H or fewer, T, D] -> ([B, Q, H, D], None), as transformers calls it.

    A mask is boolean (True: seen) or added to the scores.
    """
    if dropout == 0 and _may_fuse(query, key, value):
        if position_bias is not None:  # transformers before 5.14 does not know it, and never gives one
            kwargs["position_bias"] = position_bias
        plain: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=0.0, scaling=scaling, is_causal=is_causal, **kwargs
        )
        return plain
    groups = int(getattr(module, "num_key_value_groups", 1))
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    scores = torch.matmul(query, key.transpose(-1, -2)) * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    if position_bias is not None:
        scores = scores + position_bias
    causal = getattr(module, "is_causal", True) if is_causal is None else is_causal
    if attention_mask is None and causal and query.shape[-2] > 1:
        attention_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    blind = None
    if attention_mask is not None:
        scores, blind = _masked(scores, attention_mask)
    shares = scores.softmax(-1)
    if dropout > 0:
        shares = keyed_dropout(shares, dropout)
    out = torch.matmul(shares.to(value.dtype), value)
    if blind is not None:
        out = out.masked_fill(blind, 0)
    return out.transpose(-2, -3).contiguous(), None


def _may_fuse(*inputs: Tensor) -> bool:
    """Whether torch's fused kernels can be used, and give the same at every time."""
    if in_vmap():
        return False
    on_cpu, gradient = inputs[0].device.type == "cpu", torch.is_grad_enabled() and any(x.requires_grad for x in inputs)
    return on_cpu or not gradient or is_strict()


def _masked(scores: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Scores [B, H, Q, T] behind a mask, and which queries see nothing: [B, 1 or H, Q, 1].

    Padding beyond a sliding window sees nothing. A softmax over nothing is NaN, forward and backward, so that these
    scores stay as they are; what comes of them is to be set to 0, as in torch's own kernels.
    """
    if mask.dtype == torch.bool:
        blind = ~mask.any(-1, keepdim=True)
        return scores.masked_fill(~(mask | blind), -math.inf), blind
    blind = (mask == -math.inf).all(-1, keepdim=True)
    return scores + mask.masked_fill(blind, 0), blind


def keyed_mask(*args: Any, **named: Any) -> Tensor | None:
    """transformers' mask for `sdpa`. Leaving it out where nothing is padded needs a look at its values, which `vmap`
    does not allow and for which every step would wait on a GPU: there it is always written out."""
    padding = named.get("attention_mask")
    if in_vmap() or (padding is not None and padding.device.type != "cpu"):
        named |= {"allow_is_causal_skip": False, "allow_is_bidirectional_skip": False}
    mask: Tensor | None = sdpa_mask(*args, **named)
    return mask


def use_keyed(model: nn.Module) -> None:
    """Let a model whose attention is transformers' `sdpa` use this one; others keep their own."""
    if model.config._attn_implementation == "sdpa":  # type: ignore[union-attr]
        model.config._attn_implementation = NAME  # type: ignore[union-attr]


ALL_ATTENTION_FUNCTIONS.register(NAME, keyed_attention)
ALL_MASK_ATTENTION_FUNCTIONS.register(NAME, keyed_mask)


def is_strict() -> bool:
    """Whether torch raises at what cannot be deterministic."""
    return torch.are_deterministic_algorithms_enabled() and not torch.is_deterministic_algorithms_warn_only_enabled()
