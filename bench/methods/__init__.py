"""Fine-tuning methods: one file each, and nothing else to edit.

A method is a frozen Pydantic model of its hyperparameters with one `apply(model)` that says what is trained.
Importing a method costs no torch: heavy imports happen inside `apply`.

In: hyperparameters, a model.
Out: the model with what the method trains.
May import: util, models.
Libraries: peft, torch, transformers.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field

from finebench.bench.util.doors import Door
from finebench.bench.util.errors import MethodError, choose

if TYPE_CHECKING:
    from torch import nn

    from finebench.bench.models.architecture import Architecture


class MethodCost(BaseModel):
    """What a method costs on one architecture, in closed form; the head is counted apart.

    `trainable` and `inserted` are parameter counts in the encoder; `inserted` are those that the method adds.
    `inserted_matmul` of them are multiplied with every token; `trained_matmul` of all matmul weights get a gradient.
    `reach` is the share of the encoder's layers that the backward pass crosses (1.0 when layer 0 or the embeddings
    train).
    """

    model_config = ConfigDict(frozen=True)
    trainable: int
    inserted: int = 0
    inserted_matmul: int = 0
    trained_matmul: int = 0
    reach: float = 1.0


class Method(BaseModel):
    """Base of all methods: hyperparameters, how to apply them, what they cost.

    Subclasses set the class variables, may add hyperparameters, and override `apply`; `version` grows whenever the same
    hyperparameters would train something else, so that old results are never taken for new ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: ClassVar[str]
    version: ClassVar[int] = 1
    summary: ClassVar[str]
    paper: ClassVar[str]
    defaults_from: ClassVar[str]
    default_space: ClassVar[dict[str, list[Any]]]
    pack_free: ClassVar[frozenset[str]] = frozenset({"lr"})
    """Hyperparameters in which trials that are trained together may differ: they change no shape and no operation, and
    the training loop takes them per trial."""
    prepays: ClassVar[bool] = False
    """Whether a trial does work before its first step whose length depends on its rows: reading a frozen encoder's
    features. A speed measured for one fraction and budget then holds for no other, and packs gain nothing."""

    lr: float = Field(default=1e-3, gt=0, lt=10, description="peak learning rate of AdamW")

    @classmethod
    def member(cls, suffix: str) -> type[Self]:
        """For a family (`name` ends with a colon): the method `name + suffix`."""
        raise NotImplementedError(f"{cls.name} is not a family of methods")

    @classmethod
    def plural(cls) -> frozenset[str]:
        """Hyperparameters whose value may be a list or a mapping: in a space, a list of plain values is no grid of
        them. Raises MethodError where a family has no such member."""
        return frozenset()

    @classmethod
    def options(cls) -> dict[str, dict[str, Any]]:
        """Hyperparameters beside the model's fields, by name, each with its `default`: those of a library's config."""
        return {}

    @classmethod
    def default_of(cls, name: str) -> Any:
        """The default of a hyperparameter; None where there is no such one."""
        field = cls.model_fields.get(name)
        return None if field is None else field.default

    def canonical(self) -> Self:
        """The same method written in the least way: what says no more than a default does is left at the default.

        Equal methods are equal written so; raises MethodError for hyperparameters that a family's member does not have.
        """
        return self

    def resolved(self, arch: "Architecture") -> Self:
        """The same method with all that its values stand for on this architecture: what is equal so is one
        configuration there."""
        return self.canonical()

    @property
    def positions(self) -> int:
        """Positions of the model that the method takes up beside the text: every input grows by as many tokens."""
        return 0

    def too_long(self, arch: "Architecture") -> str | None:
        """Why the method's own tokens leave no room for a text, or None."""
        if 0 < arch.positions <= self.positions + 8:
            return f"{self.positions} tokens of the method's own leave no room in {arch.positions} positions"
        return None

    def too_short(self, steps: int) -> str | None:
        """Why so many optimiser steps are too few for what the method does by step numbers, or None."""
        return None

    def unsuited(self, arch: "Architecture") -> str | None:
        """Why this method cannot be applied to the architecture; None where nothing in the config speaks against it."""
        return None

    def check(self, arch: "Architecture") -> None:
        """Raise MethodError if this method cannot be applied to the architecture; what this lets pass, `apply` must
        manage.
        """
        reason = self.unsuited(arch)
        if reason is not None:
            raise MethodError(
                f"{self.name} does not apply to models of type {arch.model_type!r}: {reason}; "
                f"methods that do: {', '.join(_suited(arch))}"
            )

    def cost(self, arch: "Architecture") -> MethodCost | None:
        """Closed-form cost on a BERT-shaped architecture; None where only building the model can tell."""
        return None

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Insert what is new, set requires_grad on exactly what is trained (the head always is), return the model."""
        raise NotImplementedError

    def param_groups(self, model: "nn.Module") -> list[tuple[list[str], float]]:
        """Names of trained parameters of the model that `apply` returned, and what their learning rate is times; those
        that stand in no group learn at `lr`. Asked once, before the first step."""
        return []


def _suited(arch: "Architecture") -> list[str]:
    """Names of the methods whose defaults are not known to be unsuited; families apart."""
    return [
        name
        for name, cls in methods().items()
        if not name.endswith(":") and cls.model_validate({}).unsuited(arch) is None
    ]


def longest_input(asked: int, tuned: Method, architecture: "Architecture") -> int:
    """Tokens after which inputs are cut: as asked, or what the model's positions leave beside the method's own
    tokens."""
    room = architecture.max_tokens
    return asked if room is None else min(asked, room - tuned.positions)


TUNABLE = ("batch_size", "warmup", "weight_decay")
"""Training options that a method's space may hold too."""


def _in(module: ModuleType) -> Iterator[tuple[str, type[Method]]]:
    """The methods that a module defines, not those that it imports."""
    for value in vars(module).values():
        is_method = isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
        if is_method and "name" in vars(value):
            yield value.name, value


METHODS: Door[type[Method]] = Door("method", __name__, "finebench.methods", _in)
"""All methods by name; a family stands under its prefix (`peft:`)."""


def methods() -> Mapping[str, type[Method]]:
    """All methods by name; a family stands under its prefix (`peft:`)."""
    return METHODS


def method(name: str) -> type[Method]:
    """The method of this name; raises MethodError with the choices and a guess."""
    if name in METHODS and not name.endswith(":"):
        return METHODS[name]
    prefix, colon, member = name.partition(":")
    family = METHODS.get(prefix + colon) if colon and member else None
    if family is not None:
        return _member(family, member)
    raise MethodError(choose("method", name, (n + "<TYPE>" if n.endswith(":") else n for n in METHODS)))


def code(name: str) -> str | None:
    """The hash of the file that a method, or its family, from outside comes from; None for ours."""
    prefix, colon, _ = name.partition(":")
    return METHODS.code(name if name in METHODS else prefix + colon)


@cache
def _member(family: type[Method], suffix: str) -> type[Method]:
    return family.member(suffix)
