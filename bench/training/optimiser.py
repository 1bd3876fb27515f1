"""AdamW over what is trained, and its learning rate at each step."""

import math

import torch
from torch import nn

from finebench.bench.study.schema import Training
from finebench.bench.training.job import Job


def learning_rate(step: int, steps: int, peak: float, training: Training) -> float:
    """Learning rate of optimiser step `step` (1-based): linear warm-up to `peak`, then the schedule."""
    warm = round(training.warmup * steps)
    if step <= warm:
        return peak * step / warm
    done = (step - warm - 1) / max(1, steps - warm)
    if training.schedule == "constant":
        return peak
    if training.schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * done))
    return peak * (1 - done)


def set_learning_rate(job: Job, optimizer: torch.optim.AdamW, step: int) -> float:
    """Tell the optimiser the learning rate of a step; returns it."""
    lr = learning_rate(step, job.steps, job.lr, job.training)
    for group in optimizer.param_groups:
        group["lr"] = lr
    return lr


def make_optimizer(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW over what is trained, fused, with decay on weight matrices alone.

    Each parameter stands there once, however many modules share it: one that stood twice would be moved twice a step.
    """
    matrices: list[nn.Parameter] = []
    vectors: list[nn.Parameter] = []
    seen = set[nn.Parameter]()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                (matrices if _decays(module, name, parameter) else vectors).append(parameter)
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW([g for g in groups if g["params"]], lr=lr, fused=True)


def _decays(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is decayed: biases and norms are not, nor scales that are stored as one row or column (IA3's,
    whose neutral value is 1). A linear layer's weight is, also where it has a single row (a regression head, rank 1).
    """
    linear = isinstance(module, nn.Linear) and name == "weight"
    return parameter.ndim >= 2 and (linear or min(parameter.shape) > 1)
