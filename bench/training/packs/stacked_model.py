"""Several models of one shape as one: frozen tensors shared, trained ones stacked, one forward pass for all.

    stack = Stack(models, optimizers)
    logits = stack.logits(inputs, keys)          # [K, B, ·], through an unmodified Hugging Face model
    stack.update(losses, most, rates)            # losses [K]: backward, clipping and AdamW, each member its own

`vmap` spans the forward pass alone; backward runs outside it, since torch's attention kernels have no batching rule
for theirs. A member's model and its torch.optim.AdamW stay usable: their tensors are views of its row, so evaluation,
checkpoints and the freeze audit need not know of the pack.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from finebench.bench.data.tokenize import Tokens, collate
from finebench.bench.models.dropout import CALLS, step_keys, stream
from finebench.bench.models.parameters import trained_parameters
from finebench.bench.training.packs.stacked_adamw import StackedAdamW, clip_rows
from finebench.bench.training.prediction import autocast
from finebench.bench.util.device_faults import out_of_memory

ALIGN = 8
"""Each tensor begins at a multiple of so many elements, as matrix units want it."""

_CLOSE = {True: (1e-3, 1e-5), False: (0.3, 0.05)}
"""How far a pack may be from its members alone, relative and absolute, by norms: in float32 (1e-6 was seen), and in
bfloat16, where products round to 2^-8 (1e-2 was seen) and what is looked for is what breaks."""


class Stack:
    """K models that differ in values alone, and their optimisers; K may be 1."""

    def __init__(self, models: list[nn.Module], optimizers: list[torch.optim.AdamW]) -> None:
        self.template = models[0]
        trained = [trained_parameters(model) for model in models]
        self.names = list(trained[0])
        self.own = _differing(models)
        self.calls = CALLS
        sizes = [-(-trained[0][name].numel() // ALIGN) * ALIGN for name in self.names]
        starts = np.cumsum([0, *sizes])
        like = trained[0][self.names[0]]
        self.flat = torch.zeros(len(models), int(starts[-1]), dtype=like.dtype, device=like.device)
        self.grad = torch.zeros_like(self.flat)
        decay = torch.zeros(int(starts[-1]), dtype=like.dtype, device=like.device)
        group = optimizers[0].param_groups[0]
        self.adamw = StackedAdamW(self.flat, decay, len(self.names), group["betas"], group["eps"])
        self.places: dict[str, tuple[int, int]] = {}
        self.leaves: dict[str, Tensor] = {}
        self.gaps: dict[str, Tensor] = {}
        group_of = {id(p): group for group in optimizers[0].param_groups for p in group["params"]}
        self.adamw.multipliers = list(dict.fromkeys(group["multiplier"] for group in group_of.values()))
        for name, start, size in zip(self.names, starts, sizes, strict=False):
            first, shape = trained[0][name], trained[0][name].shape
            self.places[name] = place = (int(start), int(start) + first.numel())
            decay[slice(*place)] = group_of[id(first)]["weight_decay"]
            self.adamw.kind[slice(*place)] = self.adamw.multipliers.index(group_of[id(first)]["multiplier"])
            for k, own in enumerate(trained):
                self._adopt(k, own[name], optimizers[k], place)
            self.leaves[name] = self.flat[:, slice(*place)].view(len(models), *shape).detach().requires_grad_()
            self.gaps[name] = self.flat.new_zeros(len(models), size - first.numel())

    def _adopt(self, k: int, parameter: nn.Parameter, optimizer: torch.optim.AdamW, place: tuple[int, int]) -> None:
        """Move a parameter and its state into row k; both become views of it."""

        def view(buffer: Tensor, content: Tensor | None) -> Tensor:
            own = buffer[k, slice(*place)].view(parameter.shape)
            return own if content is None else own.copy_(content)

        state = optimizer.state.get(parameter, {})
        parameter.data = view(self.flat, parameter.detach())
        optimizer.state[parameter] = {
            "step": self.adamw.steps[k, len(self.places) - 1],
            "exp_avg": view(self.adamw.first, state.get("exp_avg")),
            "exp_avg_sq": view(self.adamw.second, state.get("exp_avg_sq")),
        }
        if state:
            self.adamw.steps[k, len(self.places) - 1] = state["step"]
            self.adamw.done[k] = max(self.adamw.done[k], int(state["step"]))

    def logits(self, inputs: dict[str, Tensor], keys: np.ndarray) -> Tensor:
        """Forward every member over its own batch: inputs [K, B, T] -> [K, B, outputs]; `keys` as of `step_keys`."""
        used = 0

        def one(trained: dict[str, Tensor], own: dict[str, Tensor], batch: dict[str, Tensor], own_keys: Tensor) -> Any:
            nonlocal used
            with stream(own_keys) as taken:
                logits = functional_call(self.template, (trained, own), kwargs=batch).logits
            used = taken.used
            return logits

        on_device = torch.from_numpy(keys).to(self.flat.device, non_blocking=True)
        logits: Tensor = vmap(one)(self.leaves, self.own, inputs, on_device)
        self.calls = max(1, used)  # every step has the same calls, so that the next ones need no more keys
        return logits if logits.dtype == torch.float64 else logits.float()

    def update(self, losses: Tensor, most: Tensor, rates: list[float]) -> None:
        """One step of every member from losses [K], clipped to norms `most` [K], at its own learning rate."""
        found = torch.autograd.grad(losses.sum(), list(self.leaves.values()), allow_unused=True)
        pieces: list[Tensor] = []
        for (name, leaf), grad in zip(self.leaves.items(), found, strict=True):
            if grad is None:  # not in the graph: torch's AdamW leaves such a tensor as it is, without decay
                self.adamw.decay[slice(*self.places[name])] = 0
            pieces += [(torch.zeros_like(leaf) if grad is None else grad).reshape(len(leaf), -1), self.gaps[name]]
        torch.cat(pieces, dim=1, out=self.grad)
        clip_rows(self.grad, most)
        self.adamw.step(self.grad, rates)


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    """Frozen parameters and buffers by name."""
    parameters = {name: p for name, p in model.named_parameters() if not p.requires_grad}
    return parameters | dict(model.named_buffers())


def share_frozen(first: nn.Module, other: nn.Module) -> None:
    """Let `other` use the frozen tensors of `first` wherever they are equal, so that memory holds them once."""
    theirs = _frozen(first)
    for name, tensor in _frozen(other).items():
        mine = theirs.get(name)
        if mine is not None and mine.shape == tensor.shape and torch.equal(mine, tensor):
            tensor.data = mine.data


def _differing(models: list[nn.Module]) -> dict[str, Tensor]:
    """Frozen tensors that the models do not share, stacked: [K, …] by name (a method may freeze what it draws)."""
    frozen = [_frozen(model) for model in models]
    return {
        name: torch.stack([own[name].detach() for own in frozen])
        for name, tensor in frozen[0].items()
        if any(own[name].data_ptr() != tensor.data_ptr() for own in frozen[1:])
    }


def mismatch(models: list[nn.Module]) -> str | None:
    """Why these models cannot be stacked, or None: their tensors must have the same names, shapes and types."""
    first, *others = [
        {name: (p.shape, p.dtype, p.requires_grad) for name, p in (*m.named_parameters(), *m.named_buffers())}
        for m in models
    ]
    for other in others:
        if other != first:
            names = sorted(name for name in first.keys() | other.keys() if first.get(name) != other.get(name))
            return f"the members' tensors differ in shape: {', '.join(names[:3])}"
    types = {p.dtype for p in trained_parameters(models[0]).values()}
    return None if len(types) == 1 else f"trained tensors of {len(types)} types"


def cannot_pack(model: nn.Module, tokens: Tokens, rows: np.ndarray, pad_id: int, precision: str = "fp32") -> str | None:
    """Why a model cannot run within a pack, or None; found by trying it on `rows`, in training mode, in float32 and in
    the trial's precision.

    It can where all its randomness is keyed, and two copies in one pass, the shortest row and the same one padded to
    the longest, give what each gives alone: outputs and gradients.
    """
    training = model.training
    model.train()
    try:
        trial = Tried(model, tokens, rows[np.argsort(tokens.lengths[rows], kind="stable")], pad_id)
        found = trial.obstacle("fp32")
        device = next(model.parameters()).device
        if found is None and not isinstance(autocast(device, precision), nullcontext):
            found = trial.obstacle(precision)
        return found
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError) as error:
        if out_of_memory(error):
            raise
        return f"the model cannot run under vmap: {' '.join(str(error).split())[:200]}"
    finally:
        model.train(training)


@dataclass(frozen=True)
class Tried:
    """A model on a few rows, the shortest first: alone, and as two members of a pack. Each gives the outputs
    and the gradient of their sum, of a batch of all rows and of one of the shortest alone."""

    model: nn.Module
    tokens: Tokens
    rows: np.ndarray
    pad_id: int

    def obstacle(self, precision: str) -> str | None:
        """What keeps the model out of a pack in this precision."""
        keys = torch.from_numpy(step_keys([1, 2], [1, 1])).to(self._device)
        before = _random_state(self._device)
        alone = [self.alone(own, key, precision) for own, key in zip((self.rows, self.rows[:1]), keys, strict=True)]
        if not torch.equal(before, _random_state(self._device)):
            return "the model draws random numbers that are not keyed"
        for mine, theirs in zip(alone, self.together(keys, precision), strict=True):
            for what, own, packed in zip(("outputs", "gradients"), mine, theirs, strict=True):
                if not _close(own, packed, *_CLOSE[precision == "fp32"]):
                    return f"the model's {what} in a pack are not what they are alone"
        return None

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device

    def outputs(self, rows: np.ndarray, key: Tensor, precision: str) -> Tensor:
        """Outputs of the model by itself."""
        batch = {k: v.to(self._device) for k, v in collate(self.tokens, rows, self.pad_id).items()}
        with stream(key), autocast(self._device, precision):
            logits: Tensor = self.model(**batch).logits
        return logits

    def alone(self, rows: np.ndarray, key: Tensor, precision: str) -> tuple[Tensor, Tensor]:
        """Outputs and gradient of the model by itself."""
        logits = self.outputs(rows, key, precision)
        return logits.detach(), _gradients(logits.sum(), list(trained_parameters(self.model).values()), 0)

    def together(self, keys: Tensor, precision: str) -> list[tuple[Tensor, Tensor]]:
        """The same of two members, under `vmap`."""

        def one(trained: dict[str, Tensor], batch: dict[str, Tensor], own_keys: Tensor) -> Any:
            with stream(own_keys):
                return functional_call(self.model, trained, kwargs=batch).logits

        count = len(self.rows)
        both = collate(self.tokens, np.concatenate([self.rows, np.repeat(self.rows[:1], count)]), self.pad_id)
        stacked = {k: v.to(self._device).unflatten(0, (2, count)) for k, v in both.items()}
        trained = trained_parameters(self.model)
        twice = {name: p.detach().expand(2, *p.shape).clone().requires_grad_() for name, p in trained.items()}
        with autocast(self._device, precision):
            logits = vmap(one)(twice, stacked, keys)
        counted = logits[0].sum() + logits[1, :1].sum()
        gradients = _gradients(counted, list(twice.values()), 1)
        return [(logits[0].detach(), gradients[0]), (logits[1, :1].detach(), gradients[1])]


def _gradients(value: Tensor, leaves: list[Tensor], members: int) -> Tensor:
    """Of a scalar, by all leaves in one: [P], or [K, P] where the leaves have a dimension of members in front."""
    found = torch.autograd.grad(value, leaves, allow_unused=True)
    filled = [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found, strict=True)]
    return torch.cat([grad.flatten(members).detach() for grad in filled], dim=-1)


def _close(mine: Tensor, theirs: Tensor, rtol: float, atol: float) -> bool:
    """Whether two results are the same but for rounding; where either is not finite they are not."""
    apart = torch.linalg.vector_norm((mine - theirs).float())
    return bool(apart <= atol + rtol * torch.linalg.vector_norm(mine.float()))


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
