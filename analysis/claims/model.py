"""A study's claims as its file states them, and the verdict each one gets."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from finebench.bench.util.errors import ResultsError

SAYS = ("matches", "better", "varies_more", "collapses_more", "cheaper", "saturates_by")

GIVEN = ("not_collapsed",)
"""What a claim may be restricted to: pairs in which neither run collapsed."""

SCALES = ("points", "gain")
"""Units of a claim about means: points of the metric, or shares of what the task's reference gains over a constant."""

QUANTITY = {
    "matches": "a − b",
    "better": "a − b",
    "varies_more": "spread of a / spread of b",
    "collapses_more": "share in which a alone collapsed",
    "cheaper": "cost of b / cost of a",
    "saturates_by": "with all data − with the fraction",
}
"""What the estimate of each kind of claim is."""

Word = Literal["supported", "refuted", "inconclusive"]


@dataclass(frozen=True)
class Claim:
    """One sentence to be tested. `fraction` None: the study's largest; `budget` None: the study's first.

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

    @property
    def of_means(self) -> bool:
        """Whether it is about a difference of mean scores."""
        return self.says in ("matches", "better", "saturates_by")


def claims_of(study: Mapping[str, Any]) -> list[Claim]:
    """The claims of a results folder's study; raises ResultsError naming one that cannot be understood."""
    given = study.get("claims") or []
    if not isinstance(given, list):
        raise ResultsError("study.yaml: claims is a list")
    return [_claim(raw, f"study.yaml: claims[{index}]") for index, raw in enumerate(given)]


def _claim(raw: Any, at: str) -> Claim:
    if not isinstance(raw, dict) or not {"id", "says", "a"} <= set(raw):
        raise ResultsError(f"{at}: a claim is a mapping with id, says and a")
    if raw["says"] not in SAYS:
        raise ResultsError(f"{at}: says {raw['says']!r} is not one of {', '.join(SAYS)}")
    needed = {"matches": "margin", "cheaper": "factor", "saturates_by": "fraction"}.get(raw["says"])
    if needed and raw.get(needed) is None:
        raise ResultsError(f"{at}: a claim that says {raw['says']!r} needs {needed}")
    if raw["says"] != "saturates_by" and raw.get("b") is None:
        raise ResultsError(f"{at}: a claim that says {raw['says']!r} needs b")
    tasks = raw.get("tasks") or "all"
    return Claim(
        id=str(raw["id"]),
        says=str(raw["says"]),
        a=str(raw["a"]),
        b=None if raw.get("b") is None else str(raw["b"]),
        fraction=_number(raw, "fraction", at),
        budget=_budget(raw.get("budget")),
        margin=_number(raw, "margin", at),
        factor=_number(raw, "factor", at),
        cost=str(raw.get("cost") or "train_seconds"),
        over=str(raw.get("over") or "seeds"),
        tasks=tuple(map(str, tasks)) if isinstance(tasks, list) else str(tasks),
        note=str(raw.get("note") or ""),
        given=_word(raw, "given", GIVEN, at) or "",
        scale=_word(raw, "scale", SCALES, at) or SCALES[0],
    )


def _word(raw: Mapping[str, Any], key: str, choices: tuple[str, ...], at: str) -> str | None:
    value = raw.get(key)
    if value is not None and value not in choices:
        raise ResultsError(f"{at}: {key} is one of {', '.join(choices)}, not {value!r}")
    return value


def _number(raw: Mapping[str, Any], key: str, at: str) -> float | None:
    value = raw.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise ResultsError(f"{at}: {key} is a number above 0, not {value!r}")
    return float(value)


def _budget(raw: Any) -> str | None:
    """A budget as the rows hold it: canonical JSON without what is not set."""
    if not isinstance(raw, dict):
        return None
    return json.dumps({key: value for key, value in raw.items() if value is not None}, sort_keys=True)


@dataclass(frozen=True)
class Collapses:
    """Of one method's runs on a task: how many collapsed, of how many, and the one-sided 95 % upper bound of their
    rate.

    cost: what one collapse in every run would take from the estimate, NaN where no run shows it.
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
class Step:
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


@dataclass(frozen=True)
class Finding:
    """What one task, or all tasks pooled, says of a claim.

    p is the p-value of the claim's being false, p_against of its being true; NaN without a test. supports and refutes:
    whether the interval itself satisfies the rule. bound: what the estimate is held against (NaN: 0, or nothing).
    seeds_to_settle, with its 80 % interval (None at an end: no number), is of support alone; settling says why it is
    not known. needs: pairs below which there is no verdict. path: the looks so far, where there are several; reach:
    the probabilities that the last of them supports it, and refutes it, at the values that most favour either (NaN: not
    known).
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
    path: tuple[Step, ...] = ()
    reach: tuple[float, float] = (math.nan, math.nan)
