"""Kinds of claims: what a study has to know of each before anything runs, and how its claims read.

A kind is one class in one file and is registered by being there. What evidence it rests on is the business of the
analysis, so that all kinds, those that come built in too, are named by entry points `finebench.claims`: the study knows
none by name, and no room above it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from types import ModuleType
from typing import Any, ClassVar, Literal, Protocol

from finebench.bench.study.parts.part import Part
from finebench.bench.util.doors import Door

LEAST_PAIRS = 6
"""Pairs below which a test of a mean difference gives no verdict."""

Rests = Literal["scores", "choices", "costs"]
"""Runs that a claim rests on: those that score a configuration, those that chose it, or all whose cost was measured."""


class Stated(Protocol):
    """What kinds read of a claim."""

    @property
    def a(self) -> str:
        """The method that the claim is about."""

    @property
    def b(self) -> str | None:
        """The method that it is compared with."""

    @property
    def fraction(self) -> float | None:
        """Share of the data; None: the study's largest."""

    @property
    def margin(self) -> float | None:
        """In the unit of the claim."""

    @property
    def factor(self) -> float | None:
        """A ratio."""

    @property
    def cost(self) -> str | None:
        """The column of a cost."""

    @property
    def over(self) -> str:
        """What a spread is over."""

    @property
    def given(self) -> str | None:
        """What it is restricted to."""

    @property
    def own(self) -> Any:
        """The kind's further keys, an instance of its `more`."""


@dataclass(frozen=True)
class Words:
    """Parts of a statement: the share of the data, the tasks, under which conditions, the budget alone, the cost, and
    what follows a margin that is no number of points."""

    share: str
    where: str
    at: str
    budget: str
    cost: str
    unit: str


class ClaimKind(ABC):
    """What a claim can say of methods `a` and `b`."""

    says: ClassVar[str]
    """Its name in a study."""
    needs: ClassVar[tuple[str, ...]] = ("b",)
    """Keys that a claim must have beside id, says and a."""
    own_keys: ClassVar[tuple[str, ...]] = ()
    """Keys that mean something to this kind and not to every other: cost, over."""
    more: ClassVar[type[Part]] = Part
    """Further keys, which no other kind has: a closed model of them with their types and defaults. A claim's `own`
    holds their values."""
    of_means: ClassVar[bool] = False
    """Whether it is about a difference of mean scores, whose unit and runs a claim can set (scale, given)."""
    of_collapses: ClassVar[bool] = False
    """Whether it is about runs that collapse; a missing run then counts as one that did."""
    measures: ClassVar[Literal["difference", "ratio", "share"]] = "difference"
    """What the estimate is."""
    holds: ClassVar[Literal["above", "below", "within"]] = "above"
    """On which side of the bound the estimate of a true claim lies; within: of plus and minus the bound."""

    @abstractmethod
    def quantity(self, a: str, b: str) -> str:
        """What the estimate is, by the names of the methods."""

    @abstractmethod
    def statement(self, claim: Stated, words: Words) -> str:
        """The claim as a sentence, without its full stop."""

    def bound(self, margin: float | None, factor: float | None) -> float | None:
        """What the estimate is held against; None where only the data tell."""
        return (margin or 0.0) if self.measures == "difference" else (factor or 1.0)

    def rests_on(self, claim: Stated) -> Rests:
        """Which runs make its pairs."""
        return "scores"

    def of_single_runs(self, claim: Stated) -> bool:
        """Whether it is about how single runs scatter, which runs that share a source do not do independently."""
        return False

    def may_be_given(self, claim: Stated) -> bool:
        """Whether the claim can be restricted to pairs in which neither run collapsed."""
        return self.of_means

    def shaken_by_collapse(self, claim: Stated) -> bool:
        """Whether collapses that its runs do not show could undo what an early look sees."""
        return self.of_means and not claim.given

    def least_pairs(self, claim: Stated) -> int:
        """Pairs below which it gets no verdict; 0 where it needs none."""
        return LEAST_PAIRS

    def is_counted(self, claim: Stated) -> bool:
        """Whether it needs no pair of runs: what is counted has no p-value, and is no hypothesis of a correction."""
        return self.least_pairs(claim) == 0

    def fractions(self, claim: Stated, top: float) -> tuple[float, float]:
        """The shares of the data of a's cell and of b's; `top` is the study's largest."""
        one = top if claim.fraction is None else claim.fraction
        return one, one

    def void(self, claim: Stated, top: float) -> bool:
        """Whether its fraction leaves it nothing to compare."""
        return False


def _found(module: ModuleType) -> Iterator[tuple[str, ClaimKind]]:
    """The kinds that a module defines; a class without a name of its own is a base of others."""
    for value in vars(module).values():
        is_kind = isinstance(value, type) and issubclass(value, ClaimKind) and value.__module__ == module.__name__
        if is_kind and "says" in vars(value):
            yield value.says, value()


KINDS: Door[ClaimKind] = Door("kind of claim", None, "finebench.claims", _found)
"""All kinds by name."""


def kind(says: object) -> ClaimKind:
    """The kind of this name; raises ValueError with the choices and a guess."""
    if not isinstance(says, str) or says not in KINDS:
        if all(KINDS.code(name) for name in KINDS):  # none is ours: a checkout, or installed before it had entry points
            raise ValueError(
                "this copy of finebench is not installed as it now is: pip install it again (or make install)"
            )
        near = get_close_matches(str(says)[:200], list(KINDS), n=1)
        guess = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"{says!r} is not one of {', '.join(sorted(KINDS))}{guess}")
    return KINDS[says]
