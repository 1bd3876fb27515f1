"""A study's claims as its file states them, and the verdict each one gets."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from finebench.analysis.claims.kinds import Kind
from finebench.bench.study.findings import word
from finebench.bench.study.parts.claim import Claim as Stated
from finebench.bench.study.parts.claim_kinds import kind
from finebench.bench.study.plugins import missing
from finebench.bench.util.errors import ResultsError

Word = Literal["supported", "refuted", "inconclusive"]


@dataclass(frozen=True)
class Claim:
    """One sentence to be tested. `fraction` None: the study's largest; `budget` None: the study's first.

    own: the further keys of its kind, an instance of its `more`.
    tasks: "all" (it must hold on each), "pooled" (on average over them), or the names of those it must hold on.
    """

    id: str
    says: str
    a: str
    b: str | None = None
    fraction: float | None = None
    budget: str | None = None
    margin: float | None = None
    factor: float | None = None
    cost: str = "train_seconds"
    over: str = "seeds"
    tasks: str | tuple[str, ...] = "all"
    note: str = ""
    given: str = ""
    scale: str = "points"
    own: Any = None

    @property
    def kind(self) -> Kind:
        """What kind of claim it is; raises ResultsError for one that comes without evidence."""
        found = kind(self.says)
        if not isinstance(found, Kind):
            raise ResultsError(f"{self.says}: {type(found).__qualname__} is a kind of claim without evidence")
        return found


def claims_of(study: Mapping[str, Any]) -> list[Claim]:
    """The claims of a results folder's study; raises ResultsError naming one that cannot be understood."""
    given = study.get("claims") or []
    if not isinstance(given, list):
        raise ResultsError("study.yaml: claims is a list")
    try:
        return [_claim(raw, f"study.yaml: claims[{index}]") for index, raw in enumerate(given)]
    except ResultsError as error:
        left_out = missing(study)
        raise error if left_out is None else ResultsError(f"{error}; {left_out}") from error


def _claim(raw: Any, at: str) -> Claim:
    if not isinstance(raw, dict) or not {"id", "says", "a"} <= set(raw):
        raise ResultsError(f"{at}: a claim is a mapping with id, says and a")
    try:
        stated = Stated.model_validate(raw)
    except ValidationError as error:
        raise ResultsError(word(error, at, "", Stated)) from error
    given = stated.model_dump(exclude={"budget", "tasks", *(stated.model_extra or {})}, exclude_none=True)
    tasks = stated.tasks if isinstance(stated.tasks, str) else tuple(stated.tasks)
    budget = None if stated.budget is None else stated.budget.canonical
    return Claim(**given, budget=budget, tasks=tasks, own=stated.own)


@dataclass(frozen=True)
class Collapses:
    """Of one method's runs on a task: how many collapsed, of how many, and the one-sided 95 % upper bound of their
    rate.

    cost: what a collapse in every run would take from the estimate, of a ratio of spreads how many times the method's
    own it would add; NaN where no run shows it.
    """

    task: str
    fraction: float
    method: str
    collapsed: int
    runs: int
    upper: float
    cost: float


@dataclass(frozen=True)
class Effect:
    """The mean of the pairs over their standard deviation (Cohen's d_z), with its 95 % interval; the margin over it."""

    size: float
    low: float
    high: float
    margin: float


@dataclass(frozen=True)
class InterimResult:
    """What one look of several saw: the pairs that it had, the estimate with its interval, and the p-values so far.

    held: that look could not stop the study, since a rate of collapse that its runs do not exclude would change what it
    saw.
    """

    look: int
    pairs: int
    estimate: float
    low: float
    high: float
    level: float
    p: float
    p_against: float
    supports: bool
    refutes: bool
    held: bool


ONE_METHOD = "both runs of every pair were evaluated alike, to the last bit"
"""The test of a finding that two methods are one under two names."""


@dataclass(frozen=True)
class Finding:
    """What one task, or all tasks pooled, says of a claim.

    p is the p-value of the claim's being false, p_against of its being true; NaN without a test. supports and refutes:
    whether the interval itself satisfies the rule. bound: what the estimate is held against (NaN: 0, or nothing).
    seeds_to_settle, with its 80 % interval (None at an end: no number), is of support alone; settling says why it is
    not known. needs: pairs below which there is no verdict. path: the looks so far, where there are several, and which
    of them (from 0) the numbers here are of, where one decided; reach: the probabilities that the last of them supports
    it, and refutes it, at the values that most favour either (NaN: not known).
    """

    task: str
    estimate: float
    low: float
    high: float
    level: float
    test: str
    pairs: int
    p: float
    p_against: float
    supports: bool
    refutes: bool
    exact: bool = False
    bound: float = math.nan
    needs: int = 6
    seeds_to_settle: int | None = None
    seeds_low: int | None = None
    seeds_high: int | None = None
    settling: str = ""
    reason: str = ""
    collapses: tuple[Collapses, ...] = ()
    effect: Effect | None = None
    path: tuple[InterimResult, ...] = ()
    decided_at: int | None = None
    reach: tuple[float, float] = (math.nan, math.nan)
