"""Evidence on costs: how many times cheaper one method is than another."""

import math

import numpy as np
import pandas as pd

from finebench.analysis.claims.evidence_mean import two_sided
from finebench.analysis.claims.model import Claim, Finding
from finebench.analysis.claims.settling import settled_at
from finebench.analysis.load.cost_columns import COSTS, COUNTED, LABELS, alone, device, kinds_of, of_one_kind, per_seed
from finebench.analysis.statistics.design import design
from finebench.analysis.statistics.group_sequential import ONLY, Look
from finebench.analysis.statistics.mean import flat
from finebench.analysis.statistics.power import LEAST
from finebench.analysis.statistics.ratio import log_ratio

Sides = tuple[pd.DataFrame, pd.DataFrame]
"""Rows of a and of b on one task."""


def cheaper(claim: Claim, name: str, given: list[Sides], look: Look = ONLY) -> Finding:
    """Cost of b over cost of a, the geometric mean of pairs, against the claim's factor; of several tasks the mean over
    them by the seeds that all have. Both sides of all tasks are of one kind of device, else there is no verdict."""
    factor = float(claim.factor or 1)
    if claim.cost not in COSTS:
        return _none(name, f"{claim.cost!r} is no cost; the costs are {', '.join(COSTS)}")
    if claim.cost in COUNTED:
        return _counted(claim, name, given, factor)
    kind, measured = of_one_kind(given, [claim.cost])
    logs = [_logs(mine, theirs, claim.cost) for mine, theirs in measured]
    seeds = sorted(set.intersection(*map(set, logs)))
    if not seeds and kind and (apart := _apart(claim, given)):
        return _none(name, apart)
    if not seeds:
        return _none(name, f"{LABELS[claim.cost]} was not measured alone on its device in any common seed")
    values = np.array([np.mean([by[seed] for by in logs]) for seed in seeds])
    of, bound = design(np.array(seeds, dtype=np.int64)), math.log(factor)
    found = log_ratio(np.exp(values), np.ones_like(values), of)
    low, high = (math.exp(end) for end in found.interval(look.level(0.05)))
    several = kind and any(kinds_of(side, claim.cost) != kind for both in given for side in both)
    on = f" on {kind}" if several else ""
    test = f"t test of log {LABELS[claim.cost]}{on} of b over a against {factor:g} times, pairs by seed"
    p, against = look.p(two_sided(found.p_above(bound))), look.p(two_sided(found.p_below(bound)))
    value = math.exp(found.value)
    if flat(values) and found.n >= LEAST:  # a count of the same work in every pair, such as FLOPs
        return Finding(name, value, value, value, 1.0, f"the same ratio in all {found.n} pairs", found.n,
                       math.nan, math.nan, value >= factor, value < factor, exact=True, bound=factor)  # fmt: skip
    made = Finding(name, value, low, high, 0.95, test, found.n, p, against, low >= factor, high < factor, bound=factor,
                   reason=of.why or (f"crossed seeds have {of.few}" if of.few else ""))  # fmt: skip
    if factor == 1 or not found.testable or made.reason:
        return made
    return settled_at(made, bound, float(values.var(ddof=1)))


def _apart(claim: Claim, given: list[Sides]) -> str:
    """Which kinds of device the sides were measured on, where no kind has both of every task; else empty."""
    cost = str(claim.cost)
    sides = [kinds_of(pd.concat(side), cost) for side in zip(*given, strict=True)]
    of_each = [set(device(alone(side).dropna(subset=[cost]))) for both in given for side in both]
    if not all(of_each) or set.intersection(*of_each):
        return ""
    return (
        f"{LABELS[cost]} was measured on different kinds of device, which are not compared: {claim.a} on {sides[0]}, "
        f"{claim.b} on {sides[1]}; resources.accelerator or resources.labels keep a study on one kind"
    )


def _logs(mine: pd.DataFrame, theirs: pd.DataFrame, cost: str) -> dict[int, float]:
    """log cost of b over a, by common seed in which both were measured."""
    a, b = per_seed(mine, cost), per_seed(theirs, cost)
    a, b = a[a > 0], b[b > 0]
    return {int(str(seed)): math.log(b[seed] / a[seed]) for seed in a.index.intersection(b.index)}


def _counted(claim: Claim, name: str, given: list[Sides], factor: float) -> Finding:
    """Counts are known exactly: no interval, no test, no seeds. Over several tasks the least favourable one counts."""
    ratios = []
    for mine, theirs in given:
        a, b = (side[claim.cost].dropna() for side in (mine, theirs))
        if a.empty or b.empty:
            return _none(name, f"{LABELS[claim.cost]} is not recorded")
        ratios.append(float(b.iloc[0]) / float(a.iloc[0]) if a.iloc[0] > 0 else math.inf)
    value = min(ratios)
    pairs = min(side["seed"].nunique() for both in given for side in both)
    held = (value >= factor, value < factor)
    shown = value if math.isfinite(value) else math.nan
    return Finding(
        name, shown, shown, shown, 1.0, "exact count", pairs, math.nan, math.nan, *held, exact=True, bound=factor
    )


def _none(name: str, reason: str) -> Finding:
    nan = math.nan
    return Finding(name, nan, nan, nan, nan, "", 0, nan, nan, False, False, reason=reason)
