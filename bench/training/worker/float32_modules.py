"""Which modules of a model run in float32 beside autocast: those that fail under it, found by trying.

    spared = spare(model, device, "bf16", lambda precision: predict(model, precision))

A module may mix a type that it chooses itself with one that autocast chose: DeBERTa's attention fills masked scores
with the least number of its queries' type, which scores in bfloat16 cannot hold. The innermost module that raises
under autocast, and not without it, computes in float32; what is around it stays as it is.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from finebench.bench.data.tokenize import Tokens
from finebench.bench.models.dropout import step_keys
from finebench.bench.training.packs.stacked_model import Tried
from finebench.bench.training.prediction import autocast
from finebench.bench.util.device_faults import out_of_memory

Attempt = Callable[[str], object]
"""Runs the model in the precision that it is given, and raises where that cannot be done."""

FAILURES = (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError)
"""What a model raises where it cannot compute in a precision, or under `vmap`."""


def spare(model: nn.Module, device: torch.device, precision: str, *attempts: Attempt) -> list[str]:
    """Let what keeps an attempt from working under autocast run in float32; the names of those modules ("": all).

    An attempt that does not work in float32 either is left to whoever makes it in earnest. Raises what it raises where
    memory runs out.
    """
    spared: list[str] = []
    if isinstance(autocast(device, precision), nullcontext):
        return spared
    for attempt in attempts:
        while (culprit := _culprit(model, spared, attempt, precision)) is not None and _works(attempt):
            while culprit in spared:  # what fails around a spared module is its parent's
                culprit = culprit.rpartition(".")[0]
            run_in_float32(model, [culprit])
            spared.append(culprit)
            if not culprit:
                return [""]
    return [name for name in spared if not _within(name, spared)]


def attempts(model: nn.Module, tokens: Tokens, rows: np.ndarray, pad_id: int) -> tuple[Attempt, Attempt, Attempt]:
    """What a trial does with its model, on the shortest and the longest of these rows: a step of training alone, one in
    a pack, an evaluation. They leave the model in the mode in which it was."""
    device = next(model.parameters()).device
    rows = rows[np.argsort(tokens.lengths[rows], kind="stable")][[0, -1]]
    tried = Tried(model, tokens, rows, pad_id)
    keys = torch.from_numpy(step_keys([1, 2], [1, 1])).to(device)

    def alone(precision: str) -> None:
        with _mode(model, training=True):
            tried.alone(rows, keys[0], precision)

    def together(precision: str) -> None:
        with _mode(model, training=True):
            try:
                tried.together(keys, precision)
            except FAILURES as error:
                if not out_of_memory(error):  # a model that fits once need not fit twice
                    raise

    def evaluation(precision: str) -> None:
        with _mode(model, training=False), torch.no_grad():
            tried.outputs(rows, keys[0], precision)

    return alone, together, evaluation


@contextmanager
def _mode(model: nn.Module, training: bool) -> Iterator[None]:
    before = model.training
    model.train(training)
    try:
        yield
    finally:
        model.train(before)


def run_in_float32(model: nn.Module, names: list[str]) -> None:
    """Let these modules of a model compute in float32 also where autocast is on around them."""
    for name in names:
        module: Any = model.get_submodule(name)
        module.__class__ = _in_float32(module.__class__)


@functools.cache
def _in_float32(cls: Any) -> Any:
    """The same class, but for its precision; a class, so that copies of a module do not call the original's."""

    @functools.wraps(cls.forward)
    def forward(self: nn.Module, *args: Any, **named: Any) -> Any:
        kind = next((tensor.device.type for tensor in self.parameters()), "cpu")
        with torch.autocast(kind, enabled=False):
            return cls.forward(self, *_widened(args), **_widened(named))

    return type(cls.__name__, (cls,), {"forward": forward, "__module__": cls.__module__})


def _widened(value: Any) -> Any:
    """Tensors of half precision as float32, also in tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    if type(value) in (tuple, list):
        return type(value)(_widened(one) for one in value)
    return {key: _widened(one) for key, one in value.items()} if type(value) is dict else value


def _within(name: str, others: list[str]) -> bool:
    """Whether a module is a part of another one."""
    return any(name.startswith(f"{other}.") for other in others)


def _works(attempt: Attempt) -> bool:
    try:
        attempt("fp32")
    except FAILURES as error:
        if out_of_memory(error):
            raise
        return False
    return True


def _culprit(model: nn.Module, spared: list[str], attempt: Attempt, precision: str) -> str | None:
    """The innermost module outside of what is spared in whose forward pass an attempt fails; "", the whole model, where
    it fails outside of any; None where it works."""
    with _watched(model, spared) as running:
        try:
            attempt(precision)
        except FAILURES as error:
            if out_of_memory(error):
                raise
            return running[-1] if running else ""
    return None


@contextmanager
def _watched(model: nn.Module, spared: list[str]) -> Iterator[list[str]]:
    """The names of the modules whose forward pass is under way, the innermost last; one that raises stays there."""
    running: list[str] = []
    handles = []

    def enter(name: str) -> Callable[..., None]:
        return lambda module, args: running.append(name)

    def leave(module: nn.Module, args: Any, output: Any) -> None:
        running.pop()

    for name, module in model.named_modules():
        if not _within(name, spared):
            handles += [module.register_forward_pre_hook(enter(name)), module.register_forward_hook(leave)]
    try:
        yield running
    finally:
        for handle in handles:
            handle.remove()
