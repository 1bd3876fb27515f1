"""Bottleneck adapters as plain modules that stand in for a module of the model.

Each wrapper takes the place of one module, so the model's own forward pass stays untouched and copies as it is.
"""

from typing import Any, Literal

from torch import Tensor, nn
from transformers.activations import ACT2FN

from finebench.bench.methods._adapter_sites import Places, Variant, ends

Init = Literal["bert", "houlsby", "parallel"]
INITS: dict[Variant, Init] = {"pfeiffer": "bert", "houlsby": "houlsby", "parallel": "parallel"}
PARALLEL_SCALE = 4.0
"""Scale of the parallel variant: AdapterHub's ParBnConfig, after He et al. 2022."""


class Bottleneck(nn.Module):
    """up(act(down(x))), without the skip connection: [..., h] -> [..., h].

    `init` is as published. "bert" (AdapterHub's default): both matrices normal, std 0.02. "houlsby" (adapter-bert):
    both normal, std 1e-3, truncated at two standard deviations. "parallel" (He et al. 2022, as for LoRA): down is
    Kaiming uniform with a = √5, up is zero. Biases start at zero.
    """

    def __init__(self, like: Tensor, size: int, activation: str, init: Init) -> None:
        super().__init__()
        hidden, kind = like.shape[-1], {"device": like.device, "dtype": like.dtype}
        self.down = nn.Linear(hidden, size, **kind)  # type: ignore[arg-type]
        self.activation: nn.Module = ACT2FN[activation]
        self.up = nn.Linear(size, hidden, **kind)  # type: ignore[arg-type]
        nn.init.zeros_(self.down.bias)
        nn.init.zeros_(self.up.bias)
        if init == "parallel":
            nn.init.kaiming_uniform_(self.down.weight, a=5**0.5)
            nn.init.zeros_(self.up.weight)
            return
        for weight in (self.down.weight, self.up.weight):
            if init == "houlsby":
                nn.init.trunc_normal_(weight, std=1e-3, a=-2e-3, b=2e-3)
            else:
                nn.init.normal_(weight, std=0.02)

    def forward(self, x: Tensor) -> Tensor:
        """[..., h] -> [..., h]."""
        out: Tensor = self.up(self.activation(self.down(x)))
        return out


class AdaptedNorm(nn.Module):
    """Pfeiffer's place: around the LayerNorm that ends a layer. s = sublayer + residual -> norm(s +
    adapter(norm(s))).
    """

    def __init__(self, norm: nn.Module, adapter: Bottleneck) -> None:
        super().__init__()
        self.norm, self.adapter = norm, adapter

    def forward(self, s: Tensor) -> Tensor:
        """[B, T, h] -> [B, T, h]."""
        out: Tensor = self.norm(s + self.adapter(self.norm(s)))
        return out


class AdaptedOutput(nn.Module):
    """Houlsby's place: on a sublayer's output, before the residual is added. y = sublayer(x) -> y + adapter(y)."""

    def __init__(self, sublayer: nn.Module, adapter: Bottleneck) -> None:
        super().__init__()
        self.sublayer, self.adapter = sublayer, adapter

    def forward(self, *inputs: Any, **named: Any) -> Tensor:
        """Whatever the sublayer takes -> [B, T, h]."""
        y: Tensor = self.sublayer(*inputs, **named)
        change: Tensor = self.adapter(y)
        return y + change


class ParallelResidual(nn.Module):
    """The parallel place, where a module adds the feed-forward input itself: (y, x) -> sublayer(y, x + scale ·
    adapter(x)).
    """

    def __init__(self, sublayer: nn.Module, adapter: Bottleneck, scale: float) -> None:
        super().__init__()
        self.sublayer, self.adapter, self.scale = sublayer, adapter, scale

    def forward(self, y: Tensor, x: Tensor) -> Tensor:
        """Two [B, T, ·] -> [B, T, h]."""
        out: Tensor = self.sublayer(y, x + self.scale * self.adapter(x))
        return out


class ParallelForward(nn.Module):
    """The parallel place around a feed-forward module: x -> sublayer(x) + scale · adapter(x)."""

    def __init__(self, sublayer: nn.Module, adapter: Bottleneck, scale: float) -> None:
        super().__init__()
        self.sublayer, self.adapter, self.scale = sublayer, adapter, scale

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, h] -> [B, T, h]."""
        out: Tensor = self.sublayer(x) + self.scale * self.adapter(x)
        return out


def insert(model: nn.Module, places: Places, variant: Variant, size: int, activation: str) -> int:
    """Wrap every place of a variant with a fresh adapter, in the order of the model's modules; returns how many."""
    norm = next(module for name, module in model.named_modules() if ends(places.norms[1], name))
    like = next(norm.parameters())
    names = [name for name, _ in model.named_modules() if any(ends(p, name) for p in places.wrapped(variant))]
    for name in names:
        holder, _, child = name.rpartition(".")
        adapter = Bottleneck(like, size, activation, INITS[variant])
        setattr(model.get_submodule(holder), child, _wrap(model.get_submodule(name), adapter, places, variant))
    return len(names)


def _wrap(module: nn.Module, adapter: Bottleneck, places: Places, variant: Variant) -> nn.Module:
    if variant == "pfeiffer":
        return AdaptedNorm(module, adapter)
    if variant == "houlsby":
        return AdaptedOutput(module, adapter)
    return (ParallelResidual if places.residual else ParallelForward)(module, adapter, PARALLEL_SCALE)
