"""Dropout whose masks are a function of (the trial's dropout seed, step, call within the step, row, position, channel).

A mask is a hash of those numbers, so it depends on nothing else: not on the process's random stream, not on how far a
batch is padded, and not on which other trials run beside it. A pack of trials (bench.training.packs.stacked_model)
therefore replays the streams that its members have alone. It is also faster than drawing: on one core of an AVX2 CPU,
forward over [16, 32, 384] takes 0.25 ms here and 1.3 ms in `torch.dropout`.

The hash has two stages. All indices but the last give each vector of the tensor a 32-bit number by a full-avalanche
mix (Prospector's, https://github.com/skeeto/hash-prospector). Along the last index a multiply-xorshift-multiply of
that number with a constant of the pair of channels gives two 16-bit words. The rate is exact to 2^-16.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

CALLS = 1024
"""At most so many times may a model drop out in one step."""

KEPT = 2**16
"""A mask of more elements is not kept for the backward pass, but made again there. A smaller one takes no memory to
speak of, and to make it takes the launches of a dozen operations."""

_MASK = 0xFFFFFFFF
_STEP, _CALL = 0x9E3779B97F4A7C15, 0x9E3779B9
_DIMENSIONS = (0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D, 0x27D4EB2F)  # xxHash's primes: one for each leading dimension


def _signed(word: int) -> int:
    """A 32-bit word as the int32 of the same bits."""
    return word - (1 << 32) if word >= 1 << 31 else word


_FIRST, _SECOND, _THIRD = _signed(0x7FEB352D), _signed(0x846CA68B), _signed(0x85EBCA6B)


def step_keys(seeds: list[int], steps: list[int], calls: int = CALLS) -> NDArray[np.int32]:
    """Keys of every call of one step, for K trials: int32 [K, calls]."""
    whole = np.array([(seed + step * _STEP) & (2**64 - 1) for seed, step in zip(seeds, steps, strict=True)], np.uint64)
    whole = _mix64(whole)
    words = ((whole >> np.uint64(32)) ^ whole).astype(np.uint32)[:, None]
    return _mix32(words + np.arange(1, calls + 1, dtype=np.uint32) * np.uint32(_CALL)).view(np.int32)


def _mix64(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser (Steele, Lea and Flood, 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _mix32(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    x = (x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D)
    x = (x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


class Stream:
    """The keys of one step and how many of them are used; `keys` is int32 [calls], for a pack a batched tensor of
    that shape inside `vmap`. Where a batch is taken in parts, `rows` is the size of a part and `first` the place of its
    first row in the batch, so that a row has the mask that it has in the whole."""

    def __init__(self, keys: Tensor, first: int = 0, rows: int = 0) -> None:
        self.keys, self.first, self.rows, self.used = keys, first, rows, 0

    def next(self) -> Tensor:
        """The key of the next call: a scalar; raises RuntimeError where the step has no more."""
        if self.used >= self.keys.shape[0]:
            raise RuntimeError(f"the model drops out more than {self.keys.shape[0]} times in one step")
        self.used += 1
        return self.keys[self.used - 1]

    def start(self, shape: tuple[int, ...]) -> int:
        """Where along its first dimension a tensor of this shape stands in the whole batch's: a tensor of three or more
        dimensions may have several entries to a row (a row's heads); one whose entries are no rows starts at 0."""
        if not self.first or shape[0] % self.rows or (len(shape) < 3 and shape[0] != self.rows):
            return 0
        return self.first * (shape[0] // self.rows)


_current: Stream | None = None


@contextmanager
def stream(keys: Tensor, first: int = 0, rows: int = 0) -> Iterator[Stream]:
    """Within: dropout takes its masks from these keys, call after call, for `rows` rows from row `first` on."""
    with _running(Stream(keys, first, rows)) as running:
        yield running


@contextmanager
def _running(new: Stream) -> Iterator[Stream]:
    global _current
    before, _current = _current, new
    try:
        yield new
    finally:
        _current = before


def replay() -> tuple[AbstractContextManager[Any], AbstractContextManager[Any]]:
    """For torch.utils.checkpoint (`context_fn`): what is computed a second time takes its masks as it did the first."""
    if _current is None:
        return nullcontext(), nullcontext()
    again = Stream(_current.keys, _current.first, _current.rows)
    again.used = _current.used
    return nullcontext(), _running(again)


def dropout(x: Tensor, p: float) -> Tensor:
    """Inverted dropout of x [row, …, channel] with the running step's next key; raises RuntimeError outside a step."""
    if _current is None:
        raise RuntimeError("keyed dropout in training mode needs a running step: `with stream(keys)`")
    if in_vmap():
        packed: Tensor = _Drop.apply(x, _current.next(), p)  # type: ignore[no-untyped-call]
        return packed
    shape = tuple(x.shape)
    factor = partial(_factor, _current.next(), shape, p, x.dtype, _current.start(shape))
    if x.numel() <= KEPT:
        return x * factor()
    with saved_tensors_hooks(_drop, lambda _: factor()):  # a custom function does the same and takes 80 µs more
        return x * factor()


def _drop(tensor: Tensor) -> None:
    """Keeps nothing of what autograd would save: a mask, which is made again."""


def in_vmap() -> bool:
    """Whether a `vmap` is running, whose tensors have no values to look at."""
    return bool(torch._C._functorch.peek_interpreter_stack() is not None)


def _factor(key: Tensor, shape: tuple[int, ...], p: float, dtype: torch.dtype, first: int = 0) -> Tensor:
    """mask / (1 − p)."""
    return keep_mask(key, shape, p, dtype, first).mul_(1 / (1 - p) if p < 1 else 0.0)


class KeyedDropout(nn.Dropout):
    """nn.Dropout with keyed masks."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape as the input."""
        return dropout(input, self.p) if self.training and self.p > 0 else input


def use_keyed(model: nn.Module) -> None:
    """Replace every nn.Dropout of a model; one that stands in several places stays one."""
    made: dict[nn.Module, KeyedDropout] = {}
    for parent in list(model.modules()):
        for name, child in parent._modules.items():  # named_children tells of each module once
            if type(child) is nn.Dropout:
                if child not in made:
                    made[child] = KeyedDropout(child.p).train(child.training)
                setattr(parent, name, made[child])


@lru_cache(maxsize=64)
def _channels(pairs: int, device: torch.device) -> Tensor:
    """An odd constant of each pair of channels: int32 [pairs]. That of a pair does not depend on how many there
    are."""
    words = _mix32(np.arange(1, pairs + 1, dtype=np.uint32) * np.uint32(0xC2B2AE35)) | np.uint32(1)
    return torch.from_numpy(words.view(np.int32)).to(device)


@lru_cache(maxsize=1024)
def _places(size: int, axis: int, device: torch.device, first: int) -> Tensor:
    """A number for every index along one leading dimension, from index `first` on: int32 [size].

    Kept for one dimension each: what stands for whole vectors, their sum, would take as much as a mask's share of them
    for every shape that there ever was.
    """
    word = _DIMENSIONS[axis % len(_DIMENSIONS)] + 2 * (axis // len(_DIMENSIONS))
    index = np.arange(1 + first, 1 + first + size, dtype=np.uint32) * np.uint32(word)
    return torch.from_numpy(index.view(np.int32)).to(device)


def forget() -> None:
    """Free what is kept from call to call, so that a trial's memory does not depend on the trials before it."""
    _places.cache_clear()
    _channels.cache_clear()


def _vectors(key: Tensor, shape: tuple[int, ...], first: int) -> Tensor:
    """A number for every vector of a tensor whose leading dimensions are `shape`, `first` rows of which are left out
    before it: int32 [*key.shape, *shape], a tensor of its own."""
    lead = key.reshape([*key.shape, *[1] * len(shape)]).clone()
    for axis, size in enumerate(shape):
        places = _places(size, axis, key.device, first if axis == 0 else 0)
        lead = lead + places.reshape(-1, *[1] * (len(shape) - axis - 1))
    return lead


def keep_mask(key: Tensor, shape: tuple[int, ...], p: float, dtype: torch.dtype, first: int = 0) -> Tensor:
    """1 where kept and 0 where dropped, [*key.shape, *shape]: one mask for each key (int32), from row `first` on."""
    *leading, channels = shape
    lead = _vectors(key, tuple(leading), first)
    for shift, factor in ((16, _FIRST), (15, _SECOND)):  # `>>` repeats the sign, which has to go: it would void a bit
        lead.bitwise_xor_((lead >> shift) & (_MASK >> shift)).mul_(factor)
    lead.bitwise_xor_((lead >> 16) & 0xFFFF)
    words = lead.unsqueeze(-1) * _channels((channels + 1) // 2, key.device)
    words.bitwise_xor_((words >> 15).bitwise_and_(_MASK >> 15)).mul_(_THIRD)
    lanes = words.view(torch.int16)[..., :channels]
    out = torch.empty(lanes.shape, dtype=dtype, device=key.device)
    return torch.ge(lanes, round(p * 65536) - 32768, out=out)  # straight to the type: a third of what bool + cast take


class _Drop(torch.autograd.Function):
    """x [row, …, channel], key [] -> x · mask / (1 − p). Under vmap, K keys give K masks in the same operations."""

    @staticmethod
    def forward(x: Tensor, key: Tensor, p: float) -> Tensor:
        lead = key.ndim  # 1 within a pack, whose members stand in front
        return x * _factor(key, tuple(x.shape[lead:]), p, x.dtype)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        _, key, ctx.p = inputs
        ctx.save_for_backward(key)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (key,) = ctx.saved_tensors
        return _Drop.forward(grad, key, ctx.p), None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], x: Tensor, key: Tensor, p: float) -> Any:
        """Members' tensors, batched or shared, and their keys [K]."""
        x = x.expand(info.batch_size, *x.shape) if in_dims[0] is None else x.movedim(in_dims[0], 0)
        key = key.expand(info.batch_size) if in_dims[1] is None else key.movedim(in_dims[1], 0)
        return _Drop.apply(x, key, p), 0  # type: ignore[no-untyped-call]
