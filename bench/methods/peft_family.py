"""`peft:<TYPE>`: any other tuner of peft by its own name, with its own options as hyperparameters (e.g.
`peft:BOFT`).
"""

import json
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import ConfigDict, Field

from finebench.bench.methods import TUNABLE, Method
from finebench.bench.util.errors import MethodError, choose

if TYPE_CHECKING:
    from torch import nn

    from finebench.bench.models.architecture import Architecture

_CHOICES = ("target_modules", "exclude_modules", "feedforward_modules", "layers_to_transform")


class PeftFamily(Method):
    """Options are those of the tuner's config class in peft; peft itself is asked what there is."""

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
        """The method of one tuner; the name is peft's, in capitals. Whether it exists, peft says when it is asked for
        its options."""
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

    @classmethod
    def plural(cls) -> frozenset[str]:
        """Options that peft takes lists or mappings for."""
        return frozenset(name for name, one in cls.options().items() if one["plural"])

    @classmethod
    def options(cls) -> dict[str, dict[str, Any]]:
        """The tuner's options and their defaults, as peft's config class has them."""
        from finebench.bench.methods.cost.probe import tuner_options

        return tuner_options(cls.kind)

    @classmethod
    def default_of(cls, name: str) -> Any:
        """peft's own default of an option; None where there is no such one."""
        if name in cls.model_fields:
            return super().default_of(name)
        return cls.options().get(name, {}).get("default")

    def canonical(self) -> Self:
        """Without the options that are at peft's own default; members of lists that peft reads as sets in order."""
        known, given = self.options(), {name: _ordered(name, one) for name, one in (self.model_extra or {}).items()}
        for name in given:
            if name not in known:
                raise MethodError(choose(f"hyperparameter of peft's {self.kind}", name, (*known, "lr", *TUNABLE)))
        own = {name: one for name, one in given.items() if not _same(one, known[name]["default"])}
        return type(self).model_validate({"lr": self.lr} | own)

    def too_short(self, steps: int) -> str | None:
        """Runs that end before AdaLoRA has taken a rank away, or ADAMSS's `use_asa` has put a subspace to rest."""
        given = {name: one["default"] for name, one in self.options().items()} | (self.model_extra or {})
        if self.kind == "ADALORA" and steps - given["tinit"] - given["tfinal"] < 2:
            return f"tinit {given['tinit']} and tfinal {given['tfinal']} leave no steps in which ranks are taken away"
        if given.get("use_asa"):
            every = given["mask_interval"]
            first = -(-max(1, given["init_warmup"]) // every) * every
            if first >= steps:
                return f"use_asa puts no subspace to rest before step {first} (init_warmup, mask_interval)"
        return None

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Put the tuner in; train what it inserts and the head."""
        from finebench.bench.methods._peft.adapter import tune

        return tune(model, self.kind, **(self.model_extra or {}))


def _ordered(name: str, value: Any) -> Any:
    """A choice of modules or layers, of which only what is in it matters; one layer alone is written as its number."""
    if name not in _CHOICES or not isinstance(value, list):
        return value
    distinct = sorted({json.dumps(one): one for one in value}.items())
    chosen = [one for _, one in distinct]
    return chosen[0] if name == "layers_to_transform" and len(chosen) == 1 else chosen


def _same(given: Any, default: Any) -> bool:
    """Whether a value is the default; true and 1 are not the same option to peft, 8 and 8.0 are."""
    return isinstance(given, bool) == isinstance(default, bool) and bool(given == default)


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
