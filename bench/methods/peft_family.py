"""`peft:<TYPE>`: any other tuner of peft by its own name, with its own options as hyperparameters (e.g.
`peft:BOFT`).
"""

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, Field

from bench.errors import MethodError
from bench.methods import Method

if TYPE_CHECKING:
    from torch import nn

    from bench.architecture import Architecture


class PeftFamily(Method):
    """Options are those of the tuner's config class in peft; they are checked when the model is built to be counted."""

    model_config = ConfigDict(extra="allow")

    name: ClassVar[str] = "peft:"
    summary: ClassVar[str] = "any other tuner of peft, e.g. peft:LOHA, with its config's options, and the head"
    paper: ClassVar[str] = "each tuner's own; see the page of its config in peft's documentation"
    defaults_from: ClassVar[str] = "peft's config classes; lr: ours, as for lora"
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [2e-4, 1e-3, 5e-3]}
    kind: ClassVar[str] = ""

    lr: float = Field(default=1e-3, gt=0, lt=10, description="peak learning rate of AdamW")

    @classmethod
    def member(cls, suffix: str) -> type[Self]:
        """The method of one tuner; the name is peft's, in capitals. Whether it exists, peft says when it is applied."""
        if not suffix.replace("_", "").isalnum() or suffix != suffix.upper():
            raise MethodError(
                f"method {cls.name + suffix!r}: peft writes its tuners' names in capitals, e.g. peft:LOHA"
            )
        return _member(cls, suffix)  # type: ignore[return-value]

    @property
    def positions(self) -> int:
        """What a prompt tuner's virtual tokens take up."""
        tokens = (self.model_extra or {}).get("num_virtual_tokens")
        return tokens if isinstance(tokens, int) else 0

    def unsuited(self, arch: "Architecture") -> str | None:
        """Models in which a prompt leaves no position for the text."""
        return self.too_long(arch) if self.positions else None

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Put the tuner in; train what it inserts and the head."""
        from bench.peft_adapter import tune

        return tune(model, self.kind, **(self.model_extra or {}))


@cache
def _member(family: type[PeftFamily], suffix: str) -> type[PeftFamily]:
    about = {
        "__module__": family.__module__,
        "__doc__": f"peft's {suffix}.",
        "name": f"peft:{suffix}",
        "kind": suffix,
        "summary": f"peft's {suffix}, and the head",
        "__annotations__": {"name": ClassVar[str], "kind": ClassVar[str], "summary": ClassVar[str]},
    }
    return type(f"Peft{suffix.title().replace('_', '')}", (family,), about)
