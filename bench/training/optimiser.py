"""AdamW over what is trained, and its learning rate at each step."""

import math
from collections.abc import Mapping

import torch
from torch import nn

from finebench.bench.methods import Method
from finebench.bench.models.parameters import trained_parameters
from finebench.bench.study.parts.training import Training
from finebench.bench.study.schedules import schedule
from finebench.bench.training.job import Job
from finebench.bench.util.errors import MethodError


def learning_rate(step: int, steps: int, peak: float, training: Training) -> float:
    """Learning rate of optimiser step `step` (1-based): linear warm-up to `peak`, then the schedule."""
    warm = round(training.warmup * steps)
    if step <= warm:
        return peak * step / warm
    return peak * schedule(training.schedule).factor((step - warm - 1) / max(1, steps - warm))


def rate_of(job: Job, step: int) -> float:
    """A job's learning rate at a step; parameter groups have theirs as multiples of it."""
    return learning_rate(step, job.steps, job.lr, job.training)


def set_learning_rate(job: Job, optimizer: torch.optim.AdamW, step: int) -> float:
    """Tell the optimiser the learning rate of a step, each group times its own multiplier; returns the rate itself."""
    lr = rate_of(job, step)
    for group in optimizer.param_groups:
        group["lr"] = lr * group.get("multiplier", 1.0)
    return lr


def make_optimizer(
    model: nn.Module, lr: float, weight_decay: float, multipliers: Mapping[str, float] | None = None
) -> torch.optim.AdamW:
    """AdamW over what is trained, fused, with decay on weight matrices alone.

    `multipliers` of the learning rate are by parameter name; 1 where there is none. Each parameter stands there once,
    however many modules share it: one that stood twice would be moved twice a step.
    """
    of = {parameter: (multipliers or {}).get(name, 1.0) for name, parameter in model.named_parameters()}
    groups: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    seen = set[nn.Parameter]()
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad and parameter not in seen:
                seen.add(parameter)
                groups.setdefault((of[parameter], _decays(module, name, parameter)), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "weight_decay": weight_decay if decays else 0.0,
                "multiplier": multiplier,
                "lr": lr * multiplier,
            }
            for (multiplier, decays), parameters in groups.items()
            if parameters
        ],
        lr=lr,
        fused=True,
    )


def multipliers_of(method: Method, model: nn.Module) -> dict[str, float]:
    """What a method says of the learning rates of an already tuned model, by parameter name; raises MethodError where
    that cannot be followed."""
    trained, found = trained_parameters(model), dict[str, float]()
    for names, multiplier in method.param_groups(model):
        if not (math.isfinite(multiplier) and multiplier > 0):
            raise MethodError(f"{method.name}: a learning rate times {multiplier!r}; a positive number is needed")
        for name in names:
            if name not in trained or name in found:
                wrong = "stands in two groups" if name in found else "is no trained parameter"
                raise MethodError(f"{method.name}: param_groups names {name!r}, which {wrong}")
            found[name] = float(multiplier)
    return found


def _decays(module: nn.Module, name: str, parameter: nn.Parameter) -> bool:
    """Whether a parameter is decayed: biases and norms are not, nor scales that are stored as one row or column (IA3's,
    whose neutral value is 1). A linear layer's weight is, also where it has a single row (a regression head, rank 1).
    """
    linear = isinstance(module, nn.Linear) and name == "weight"
    return parameter.ndim >= 2 and (linear or min(parameter.shape) > 1)
