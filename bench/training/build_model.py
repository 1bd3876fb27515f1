"""Build a trial's model from a pristine backbone: a copy, its head drawn from the trial's seed, the method applied; all
without touching the process's own random stream."""

import copy
import math
from typing import Any, cast

import torch
from torch import nn
from transformers import PreTrainedModel

from finebench.bench.methods import Method
from finebench.bench.models import attention, dropout
from finebench.bench.models.load import Backbone
from finebench.bench.models.parameters import fresh_names
from finebench.bench.util.errors import ModelError

_METHOD_STREAM = 0x5851F42D4C957F2D


def build(backbone: Backbone, method: Method, init_seed: int) -> nn.Module:
    """A trial's own model on the CPU: the head is drawn from `init_seed`, what the method inserts from a stream
    beside it. Its dropout is keyed (bench.models.dropout). What it gives does not depend on the number of threads.
    """
    model = copy.deepcopy(backbone.model)
    attention.use_keyed(model)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(init_seed & (2**63 - 1))
        _draw_head(model)
        torch.manual_seed((init_seed ^ _METHOD_STREAM) & (2**63 - 1))
        tuned = method.apply(model)
    dropout.use_keyed(tuned)
    return tuned


def _draw_head(model: PreTrainedModel) -> None:
    """Initialise what has no pretrained value as the architecture itself does, in the order of its modules; as the
    module itself does where the architecture has nothing to say about it."""
    fresh = fresh_names(model)
    for prefix, module in model.named_modules():
        own = {leaf: p for leaf, p in module.named_parameters(prefix, recurse=False) if leaf in fresh}
        if own:
            _draw(model, module, own)


@torch.no_grad()
def _draw(model: PreTrainedModel, module: nn.Module, own: dict[str, nn.Parameter]) -> None:
    """Draw the parameters `own` of a module; its others stay. Raises ModelError where nothing says how."""
    for parameter in module.parameters(recurse=False):
        parameter._is_hf_initialized = True  # type: ignore[attr-defined]
    for parameter in own.values():
        parameter._is_hf_initialized = False  # type: ignore[attr-defined]
        parameter.fill_(math.nan)  # so that it shows what has not been drawn
    model._init_weights(module)
    left = [name for name, parameter in own.items() if parameter.isnan().any()]
    if left and len(own) == len(list(module.parameters(recurse=False))) and hasattr(module, "reset_parameters"):
        cast(Any, module).reset_parameters()
        left = [name for name, parameter in own.items() if parameter.isnan().any()]
    if left:
        raise ModelError(f"{type(model).__name__}: how to draw its head anew is not known, e.g. {left[0]}")
