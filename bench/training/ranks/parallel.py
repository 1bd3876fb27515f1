"""A model on several ranks: whole on each, its gradients added up (torch's DistributedDataParallel), or in shards.

`shard: full` is FSDP2 (`fully_shard`): each rank keeps its shard of every parameter, trained or frozen, and of the
optimiser's state; a layer's are put together while it computes. DDP and FSDP2 take the mean of the ranks' gradients: a
rank's share of the loss is multiplied by their number (`scale`), so that the gradient is that of the whole batch.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.nn.parallel import DistributedDataParallel

from finebench.bench.training.ranks.group import Ranks


@dataclass(frozen=True)
class Parallel:
    """One run on its ranks: `module` is called in training steps in the place of the model that it holds."""

    ranks: Ranks
    module: nn.Module

    @property
    def scale(self) -> int:
        """What a rank's share of the loss is multiplied with."""
        return self.ranks.number

    @contextmanager
    def adding(self, last: bool) -> Iterator[None]:
        """Within: a part of a rank's rows, upon the `last` of which gradients are added up over ranks."""
        if isinstance(self.module, DistributedDataParallel):
            if last:
                yield
                return
            with self.module.no_sync():
                yield
        else:
            module: Any = self.module
            module.set_requires_gradient_sync(last)
            yield

    def in_turn(
        self,
        batches: Sequence[np.ndarray],
        compute: Callable[[np.ndarray], tuple[Tensor, Tensor]],
        device: torch.device,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """What `compute` gives for each batch, in their order, on every rank, each of which computes some. Where there
        are too few for all, the last is computed again: a model in shards needs all of its ranks."""
        rank, number = self.ranks.rank, self.ranks.number
        rounds = -(-len(batches) // number)
        places = (min(turn * number + rank, len(batches) - 1) for turn in range(rounds))
        own = [tuple(one.cpu() for one in compute(batches[place])) for place in places]
        found = self.ranks.gathered(own)
        for place in range(len(batches)):
            logits, loss = found[place % number][place // number]
            yield logits.to(device), loss.to(device)


def wrap(model: nn.Module, ranks: Ranks, probe: Callable[[], Tensor]) -> Parallel:
    """The model as it trains on these ranks; one in shards stays what it is.

    `probe` gives the model's logits for some row, by which it is found whether all that is trained gets a gradient:
    DDP looks for what does not at every step, where it is told that there is such.
    """
    if isinstance(model, FSDPModule):
        return Parallel(ranks, model)
    model.eval()
    probe().sum().backward()
    idle = any(one.requires_grad and one.grad is None for one in model.parameters())
    model.zero_grad(set_to_none=True)
    return Parallel(ranks, DistributedDataParallel(model, find_unused_parameters=idle))


def shard(model: nn.Module, ranks: Ranks, device: torch.device) -> None:
    """Leave this rank its shard of every parameter of a model that stands on the CPU; the shards go to `device`."""
    mesh = init_device_mesh(device.type, (ranks.number,))
    for layers in _outermost_lists(model):
        for layer in layers:
            if any(True for _ in layer.parameters()):
                fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    model.to(device)  # what is no parameter


def _outermost_lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    """Lists of layers that stand in no other list."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _outermost_lists(child)
