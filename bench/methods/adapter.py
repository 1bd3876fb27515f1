"""Bottleneck adapters: Pfeiffer et al. (2021), Houlsby et al. (2019), and He et al.'s parallel ones (2022)."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from pydantic import Field, model_validator

from finebench.bench.methods import Method, MethodCost
from finebench.bench.methods._adapter_sites import PLACES, Variant, ends, unsuited
from finebench.bench.models.architecture import Architecture
from finebench.bench.models.bert_shapes import reach_above
from finebench.bench.util.errors import MethodError

if TYPE_CHECKING:
    from torch import nn

Activation = Literal["relu", "gelu", "swish", "tanh", "leaky_relu"]


class _Published(NamedTuple):
    """A variant's published defaults."""

    reduction: int | None
    bottleneck: int | None
    activation: Activation
    norms: bool


_DEFAULTS: dict[Variant, _Published] = {
    "pfeiffer": _Published(16, None, "relu", False),
    "houlsby": _Published(None, 64, "gelu", True),
    "parallel": _Published(2, None, "relu", False),
}


class Adapter(Method):
    """One small bottleneck (pfeiffer, parallel) or two (houlsby) in every layer; what is left None is as published.

    pfeiffer: after the feed-forward part, with the layer's own LayerNorm before and after it; reduction 16, ReLU.
    houlsby: before both residual sums; size 64, GELU, and the layers' LayerNorms train too.
    parallel: beside the feed-forward part, scaled by 4; reduction 2, ReLU.
    """

    name: ClassVar[str] = "adapter"
    summary: ClassVar[str] = "bottleneck adapters (pfeiffer, houlsby or parallel) and the head"
    paper: ClassVar[str] = (
        "Pfeiffer et al. 2021, AdapterFusion, arXiv:2005.00247; Houlsby et al. 2019, arXiv:1902.00751; "
        "He et al. 2022, Towards a unified view, arXiv:2110.04366"
    )
    defaults_from: ClassVar[str] = (
        "pfeiffer and parallel: AdapterHub's SeqBnConfig and ParBnConfig, lr 1e-4 as in its "
        "efficient-task-transfer runs; "
        "houlsby: google-research/adapter-bert (size 64, GELU, LayerNorms trained)"
    )
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [1e-4, 3e-4, 1e-3]}

    lr: float = Field(default=1e-4, gt=0, lt=10, description="peak learning rate of AdamW")
    variant: Variant = Field(default="pfeiffer", description="where and how many")
    reduction_factor: int | None = Field(default=None, ge=1, description="hidden size divided by the bottleneck's size")
    bottleneck: int | None = Field(default=None, ge=1, description="the bottleneck's size itself")
    non_linearity: Activation | None = Field(default=None, description="between down- and up-projection")
    train_layer_norm: bool | None = Field(default=None, description="whether the layers' LayerNorms train")

    @model_validator(mode="after")
    def _one_size(self) -> Self:
        if self.reduction_factor is not None and self.bottleneck is not None:
            raise ValueError("give reduction_factor or bottleneck, not both")
        return self

    def canonical(self) -> Self:
        """None where a value is the one that the variant's None stands for."""
        published = _DEFAULTS[self.variant]
        stands_for = {
            "reduction_factor": published.reduction,
            "bottleneck": published.bottleneck,
            "non_linearity": published.activation,
            "train_layer_norm": published.norms,
        }
        spelt = [name for name, value in stands_for.items() if getattr(self, name) == value]
        return self.model_copy(update=dict.fromkeys(spelt))

    def resolved(self, arch: Architecture) -> Self:
        """With the bottleneck's size in place of what gives it, where the architecture tells its width."""
        if not arch.hidden:
            return self.canonical()
        size = {"reduction_factor": None, "bottleneck": self.size(arch.hidden)}
        return self.canonical().model_copy(update=size)

    def size(self, hidden: int) -> int:
        """The bottleneck's size in a model of this width; raises MethodError where nothing would be left."""
        published = _DEFAULTS[self.variant]
        given = self.reduction_factor is not None or self.bottleneck is not None
        size = self.bottleneck if given else published.bottleneck
        factor = self.reduction_factor if given else published.reduction
        size = hidden // (factor or 1) if size is None else size
        if size < 1:
            raise MethodError(f"adapter reduction_factor {factor} leaves nothing of a hidden size of {hidden}")
        return size

    @property
    def _norms(self) -> bool:
        return _DEFAULTS[self.variant].norms if self.train_layer_norm is None else self.train_layer_norm

    def unsuited(self, arch: Architecture) -> str | None:
        """Families whose layers we know how to wrap: those with a LayerNorm after each residual sum."""
        return unsuited(arch.model_type, self.variant)

    def cost(self, arch: Architecture) -> MethodCost:
        """Per bottleneck of size m: 2hm + m + h; per layer one (two for houlsby), and 4h for trained LayerNorms."""
        h, m, layers = arch.hidden, self.size(arch.hidden), arch.layers
        count = layers * (2 if self.variant == "houlsby" else 1)
        inserted, matmul = count * (2 * h * m + m + h), count * 2 * h * m
        spares_layer = self.variant != "houlsby" and not self._norms  # nothing of layer 0 lies above what is trained
        reach = reach_above(arch, "output" if spares_layer else "attention_output")
        return MethodCost(
            trainable=inserted + (4 * h * layers if self._norms else 0),
            inserted=inserted,
            inserted_matmul=matmul,
            trained_matmul=matmul,
            reach=reach,
        )

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Wrap the layers; train the adapters, the LayerNorms where asked for, and the head."""
        from finebench.bench.methods._bottleneck import insert
        from finebench.bench.models.parameters import model_type, train_only

        kind = model_type(model)
        if (reason := unsuited(kind, self.variant)) is not None:
            raise MethodError(f"adapter does not apply to models of type {kind!r}: {reason}")
        places = PLACES[kind]
        train_only(model, lambda name: self._norms and any(ends(p, name.rpartition(".")[0]) for p in places.norms))
        size = self.size(int(model.config.hidden_size))  # type: ignore[union-attr,arg-type]
        insert(model, places, self.variant, size, self.non_linearity or _DEFAULTS[self.variant].activation)
        return model
