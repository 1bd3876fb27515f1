"""Prefix tuning (Li and Liang, 2021): trained keys and values before the text in every layer, through peft."""

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field

from finebench.bench.methods import Method
from finebench.bench.models.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn

_NO_CACHE = ("distilbert", "albert", "deberta", "deberta-v2", "modernbert")


class Prefix(Method):
    """`tokens` key-value pairs per layer, trained as they are (as in P-tuning v2) or through an MLP (`projection`)."""

    name: ClassVar[str] = "prefix"
    summary: ClassVar[str] = "prefix tuning: trained keys and values in every layer, and the head"
    paper: ClassVar[str] = (
        "Li and Liang 2021, Prefix-tuning, arXiv:2101.00190; Liu et al. 2022, P-tuning v2, arXiv:2110.07602"
    )
    defaults_from: ClassVar[str] = (
        "THUDM/P-tuning-v2's scripts for understanding tasks: lr around 5e-3, no projection; length: ours"
    )
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [1e-3, 5e-3, 1e-2]}

    lr: float = Field(default=5e-3, gt=0, lt=10, description="peak learning rate of AdamW")
    tokens: int = Field(default=20, ge=1, description="length of the prefix")
    projection: bool = Field(default=False, description="whether an MLP makes the prefix")
    projection_size: int = Field(default=512, ge=1, description="hidden size of that MLP")

    def canonical(self) -> Self:
        """Without a size for an MLP that there is not."""
        size = type(self).model_fields["projection_size"].default
        return self if self.projection else self.model_copy(update={"projection_size": size})

    @property
    def positions(self) -> int:
        """The prefix moves the text to later positions."""
        return self.tokens

    def unsuited(self, arch: Architecture) -> str | None:
        """Models that take no past keys and values, or have no position left for the text."""
        if arch.model_type in _NO_CACHE:
            return "they take no past keys and values, which carry the prefix"
        return self.too_long(arch)

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Train the prefix and the head."""
        from finebench.bench.methods._peft.adapter import tune

        options = {"prefix_projection": self.projection, "encoder_hidden_size": self.projection_size}
        return tune(model, "PREFIX_TUNING", num_virtual_tokens=self.tokens, **options)
