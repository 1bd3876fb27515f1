"""Gradient checkpointing: a layer's activations are computed again in the backward pass instead of being kept.

The result is the same: the second computation takes the dropout masks of the first (bench.models.dropout.replay).
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from finebench.bench.models.dropout import replay, step_keys, stream
from finebench.bench.models.frozen_encoder import training_mode
from finebench.bench.models.parameters import model_type
from finebench.bench.util.device_faults import out_of_memory
from finebench.bench.util.errors import ModelError


def recompute(model: nn.Module, batch: dict[str, Tensor]) -> None:
    """Turn gradient checkpointing on, and see on a batch that the model still computes the same.

    Raises ModelError for a model that has no such thing, or that computes something else with it (layers that are
    computed again take no past keys and values, which carry a prefix).
    """
    inner: Any = next(module for module in model.modules() if isinstance(module, PreTrainedModel))
    before = _outputs(model, batch)
    try:
        inner.config.use_cache = (
            False  # a second computation takes no cache, and transformers would say so at each start
        )
        _enable(inner)({"use_reentrant": False, "context_fn": replay})
        after = _outputs(model, batch)
    except (ValueError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        reason = " ".join(str(error).split())
        raise ModelError(
            f"training.checkpointing: this method on a {model_type(inner)} model cannot: {reason[:200]}"
        ) from error
    if not torch.allclose(before, after, rtol=1e-4, atol=1e-5):
        raise ModelError(
            f"training.checkpointing changes what this method computes on a {model_type(inner)} model; turn it off"
        )


def _enable(model: Any) -> Any:
    """What turns it on; transformers 5.23 gave it another name."""
    return getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable


@torch.enable_grad()
def _outputs(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Logits in training mode; the same masks at every call."""
    mode = model.training
    training_mode(model)
    device = next(model.parameters()).device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(0)
        with stream(torch.from_numpy(step_keys([0], [1])[0]).to(device)):
            logits: Tensor = model(**batch).logits.detach().float()
    model.train(mode)
    return logits
