"""The evidence on a claim in one task, or pooled over tasks: the estimate that it is about, its interval, its p-values.

    matches, better   mean of a − b over pairs, in points of the task's metric
    varies_more       sd(a) / sd(b) over seeds (Pitman–Morgan), or over learning rates within each seed
    cheaper           cost of b / cost of a, the geometric mean of pairs: how many times cheaper a is
    saturates_by      score with all data − score at the claimed fraction: what the rest of the data still adds

Pooled: the mean over tasks of the tasks' own estimates, each with its own noise (differences in metric points, ratios
on the log scale, spreads standardised per task). Every task counts alike, whatever its number of pairs.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from analysis.choice import CHOOSING
from analysis.claim import Claim, Finding
from analysis.costs import COSTS, COUNTED, LABELS, per_seed
from analysis.planned import Key
from analysis.statistics.crossed import components
from analysis.statistics.located import Located, average, of_pairs, of_values, p_beyond, p_within
from analysis.statistics.paired import difference
from analysis.statistics.pitman_morgan import variance_ratio
from analysis.statistics.power import LEAST, Needed, seeds_for_margin, seeds_for_spread
from analysis.statistics.ratio import log_ratio
from analysis.statistics.sample import Pairs, Sample, pair

SATURATED = 0.05
"""Without a margin, a method is saturated where all data add at most this share of its reference's gain over the
constant predictor."""

SEED = 1995
"""Of the multi-bootstrap, so that a folder's verdicts do not change from report to report."""


@dataclass(frozen=True)
class Source:
    """What evidence is read from: samples and cost rows by cell, all runs, constants by cell, the largest fraction."""

    samples: Mapping[Key, Sample]
    costs: Mapping[Key, pd.DataFrame]
    runs: pd.DataFrame
    constants: Mapping[Key, float]
    top: float


def cells_of(claim: Claim, task: str, budget: str, source: Source) -> list[Key]:
    """The cells that a claim needs in a task, a's first."""
    fraction = source.top if claim.fraction is None else claim.fraction
    if claim.says == "saturates_by":
        return [(task, fraction, budget, claim.a), (task, source.top, budget, claim.b or claim.a)]
    return [(task, fraction, budget, claim.a), (task, fraction, budget, str(claim.b))]


def evidence(claim: Claim, tasks: list[str], budget: str, source: Source) -> Finding:
    """The finding on the named tasks together (one: on that task); every cell that is needed must be there."""
    keys = [cells_of(claim, task, budget, source) for task in tasks]
    name = tasks[0] if len(tasks) == 1 else "pooled"
    if claim.says == "varies_more" and claim.over == "seeds":
        return _spread(claim, name, [pair(source.samples[a], source.samples[b]) for a, b in keys])
    if claim.says == "varies_more":
        return _spread_over_lr(claim, name, [_lr_logs(source, a, b) for a, b in keys])
    if claim.says == "cheaper":
        return _cheaper(claim, name, [(source.costs[a], source.costs[b]) for a, b in keys])
    if claim.says == "saturates_by":
        return _saturates(claim, name, keys, source)
    pairs = [pair(source.samples[a], source.samples[b]) for a, b in keys]
    return _matches(claim, name, pairs) if claim.says == "matches" else _better(claim, name, pairs)


def _ends(pairs: list[Pairs], found: Located, level: float) -> tuple[float, float]:
    """The interval of a mean difference: of one task as everywhere in the report, of several by their t interval."""
    if len(pairs) > 1:
        return found.interval(level)
    made = difference(pairs[0], np.random.default_rng(SEED), level)
    return made.low, made.high


def _matches(claim: Claim, name: str, pairs: list[Pairs]) -> Finding:
    margin = float(claim.margin or 0)
    found = average([of_pairs(one) for one in pairs])
    inner, outer = _ends(pairs, found, 0.90), _ends(pairs, found, 0.95)
    needed = _needed(pairs, margin, two_sided=True)
    supports = -margin < inner[0] and inner[1] < margin
    refutes = outer[0] > margin or outer[1] < -margin
    low, high = outer if refutes else inner
    test = f"two one-sided t tests against ±{margin:g}, pairs {_over(pairs)}"
    made = (low, high, 0.95 if refutes else 0.90, test, found.n, p_within(found, margin), p_beyond(found, margin))
    return _told(Finding(name, found.value, *made, supports, refutes), needed, margin, found)


def _better(claim: Claim, name: str, pairs: list[Pairs]) -> Finding:
    margin = claim.margin or 0.0
    found = average([of_pairs(one) for one in pairs])
    low, high = _ends(pairs, found, 0.95)
    test = f"t test of the mean difference against {margin:g}, pairs {_over(pairs)}"
    p, against = _two_sided(found.p_above(margin)), _two_sided(found.p_below(margin))
    made = Finding(name, found.value, low, high, 0.95, test, found.n, p, against, low > margin, high < margin)
    needed = _needed(pairs, margin, two_sided=False) if claim.margin else None
    return _told(made, needed, claim.margin, found)


def _saturates(claim: Claim, name: str, keys: list[list[Key]], source: Source) -> Finding:
    pairs = [pair(source.samples[top], source.samples[own]) for own, top in keys]
    gains = [float(source.samples[top].entered.mean()) - source.constants[top] for _, top in keys]
    margin = claim.margin if claim.margin is not None else SATURATED * float(np.mean(gains))
    found = average([of_pairs(one) for one in pairs])
    low, high = _ends(pairs, found, 0.95)
    test = f"t test of what all data add against {margin:.3g}, pairs {_over(pairs)}"
    p, against = _two_sided(found.p_below(margin)), _two_sided(found.p_above(margin))
    made = Finding(name, found.value, low, high, 0.95, test, found.n, p, against, high < margin, low > margin)
    if not margin > 0:
        return _replace(made, supports=False, refutes=False, reason="with all data the reference learned nothing")
    return _told(made, _needed(pairs, margin, two_sided=False), margin, found)


def _spread(claim: Claim, name: str, pairs: list[Pairs]) -> Finding:
    a, b = (np.concatenate([getattr(one, side) for one in pairs]) for side in ("a", "b"))
    groups = np.repeat(np.arange(len(pairs)), [one.a.size for one in pairs])
    found = variance_ratio(a, b, groups if len(pairs) > 1 else None)
    bound = (claim.factor or 1.0) ** 2
    low, high = (math.sqrt(end) for end in found.interval(0.95))
    test = f"Pitman–Morgan test of sd(a)/sd(b) against {claim.factor or 1:g}, pairs by seed"
    p, against = _two_sided(found.p_above(bound)), _two_sided(found.p_below(bound))
    ends = (low, high, 0.95, test, found.n, p, against, low**2 > bound, high**2 < bound)
    made = Finding(name, math.sqrt(found.ratio) if found.ratio >= 0 else math.nan, *ends)
    if not found.testable:
        return _replace(made, reason="one of them scored the same in every seed: no test of spread")
    if claim.factor is None:
        return _replace(made, settling="the claim names no factor, so how many seeds would settle it is not defined")
    return _settled(made, seeds_for_spread(max(claim.factor, 1 / claim.factor), found.r))


def _lr_logs(source: Source, a: Key, b: Key) -> tuple[np.ndarray, str]:
    """By common seed: log of sd(a)/sd(b) over the learning rates tried; and why there is none."""
    sides = [_by_lr(source.runs, source.samples[key], key) for key in (a, b)]
    counts = {len(side.columns) for side in sides}
    if min(counts) < 2:
        return np.empty(0), "one learning rate has no spread"
    if len(counts) > 1:
        return np.empty(0), "they tried different numbers of learning rates, whose spreads do not compare"
    spreads = [side.dropna().std(axis=1, ddof=1) for side in sides]
    seeds = spreads[0].index.intersection(spreads[1].index)
    x, y = (side[seeds].to_numpy(dtype="float64") for side in spreads)
    if (x <= 0).any() or (y <= 0).any():
        return np.empty(0), "in some seed every learning rate scored the same: no ratio of spreads"
    return np.log(x) - np.log(y), "" if seeds.size else "no seed tried every learning rate of both"


def _by_lr(runs: pd.DataFrame, sample: Sample, key: Key) -> pd.DataFrame:
    """Scores [seed × lr] of the chosen configuration's variant, from the runs that chose."""
    mine = runs["task"].eq(key[0]) & runs["fraction"].eq(key[1]) & runs["budget"].eq(key[2]) & runs["method"].eq(key[3])
    rows = runs[mine]
    variant = rows.loc[rows["configuration"] == sample.configuration, "variant"].iloc[0]
    rows = rows[rows["variant"].eq(variant) & rows["stage"].isin(CHOOSING) & rows["is_result"]]
    return rows.pivot_table(index="seed", columns="lr", values="entered", aggfunc="mean")


def _spread_over_lr(claim: Claim, name: str, given: list[tuple[np.ndarray, str]]) -> Finding:
    found = average([of_values(values) for values, _ in given])
    factor = claim.factor or 1.0
    bound = math.log(factor)
    low, high = (math.exp(end) for end in found.interval(0.95))
    test = f"paired t test of log sd over learning rates, sd(a)/sd(b) against {factor:g}, pairs by seed"
    p, against = _two_sided(found.p_above(bound)), _two_sided(found.p_below(bound))
    ends = (low, high, 0.95, test, found.n, p, against, low > factor, high < factor)
    made = Finding(name, math.exp(found.value), *ends)
    why = next((why for _, why in given if why), "" if found.testable else "no spread between pairs: no test")
    if why:
        return _replace(made, reason=why)
    if claim.factor is None or claim.factor == 1:
        return _replace(made, settling="the claim names no factor, so how many seeds would settle it is not defined")
    variance = float(np.mean([values.var(ddof=1) for values, _ in given])) / len(given)
    return _settled(made, seeds_for_margin(variance, 0.0, 0, abs(bound), two_sided=False))


def _cheaper(claim: Claim, name: str, given: list[tuple[pd.DataFrame, pd.DataFrame]]) -> Finding:
    factor = float(claim.factor or 1)
    if claim.cost not in COSTS:
        return _none(name, f"{claim.cost!r} is no cost; the costs are {', '.join(COSTS)}")
    if claim.cost in COUNTED:
        return _counted(claim, name, given, factor)
    parts, logs = [], []
    for mine, theirs in given:
        a, b = per_seed(mine, claim.cost), per_seed(theirs, claim.cost)
        seeds = a.index.intersection(b.index)
        x, y = (np.array(side[seeds].tolist(), dtype=np.float64) for side in (a, b))
        if not seeds.size or (x <= 0).any() or (y <= 0).any():
            return _none(name, f"{LABELS[claim.cost]} was not measured alone on its device in any common seed")
        parts.append(log_ratio(y, x))
        logs.append(np.log(y) - np.log(x))
    found, bound = average(parts), math.log(factor)
    low, high = (math.exp(end) for end in found.interval(0.95))
    test = f"t test of log {LABELS[claim.cost]} of b over a against {factor:g} times, pairs by seed"
    p, against = _two_sided(found.p_above(bound)), _two_sided(found.p_below(bound))
    value = math.exp(found.value)
    if not found.testable and found.n >= LEAST:  # a count of the same work in every pair, such as FLOPs
        return Finding(name, value, value, value, 1.0, f"the same ratio in all {found.n} pairs", found.n,
                       math.nan, math.nan, value >= factor, value < factor, exact=True)  # fmt: skip
    made = Finding(name, value, low, high, 0.95, test, found.n, p, against, low >= factor, high < factor)
    if factor == 1 or not found.testable:
        return made
    variance = float(np.mean([one.var(ddof=1) for one in logs])) / len(logs)
    return _settled(made, seeds_for_margin(variance, 0.0, 0, abs(bound), two_sided=False))


def _counted(claim: Claim, name: str, given: list[tuple[pd.DataFrame, pd.DataFrame]], factor: float) -> Finding:
    """Counts are known exactly: no interval, no test, no seeds. Over several tasks the least favourable one counts."""
    ratios = []
    for mine, theirs in given:
        a, b = (side[claim.cost].dropna() for side in (mine, theirs))
        if a.empty or b.empty:
            return _none(name, f"{LABELS[claim.cost]} is not recorded")
        ratios.append(float(b.iloc[0]) / float(a.iloc[0]) if a.iloc[0] > 0 else math.inf)
    value = min(ratios)
    pairs = min(len(side) for both in given for side in both)
    held = (value >= factor, value < factor)
    shown = value if math.isfinite(value) else math.nan
    return Finding(name, shown, shown, shown, 1.0, "exact count", pairs, math.nan, math.nan, *held, exact=True)


def _none(name: str, reason: str) -> Finding:
    nan = math.nan
    return Finding(name, nan, nan, nan, nan, "", 0, nan, nan, False, False, reason=reason)


def _two_sided(p: float) -> float:
    """Doubled, so that p ≤ 0.05 exactly where the 95 % interval lies on that side."""
    return min(1.0, 2 * p)


def _over(pairs: list[Pairs]) -> str:
    whole = all(one.replicates is not None for one in pairs)
    by = "by seed and example" if whole else f"by seed ({next(one.why for one in pairs if one.replicates is None)})"
    return f"{by}, choice repeated" if any(one.choice is not None for one in pairs) else by


def _needed(pairs: list[Pairs], margin: float, two_sided: bool) -> Needed | None:
    """From the variance components of the mean over tasks; None where there is no variance to judge by."""
    seed, example, examples = [], [], 0
    for one in pairs:
        if one.difference.size < 2:
            return None
        found = components(one.difference, one.replicates, one.n_examples, one.choice, one.against)
        seed.append(found.of_seeds)
        example.append(found.examples)
        examples = max(examples, found.n_examples)
    square = len(pairs) ** 2
    return seeds_for_margin(sum(seed) / square, sum(example) / square, examples, margin, two_sided)


def _told(made: Finding, needed: Needed | None, margin: float | None, found: Located) -> Finding:
    if not found.testable and found.n >= 2:
        return _replace(made, reason="every pair differs by the same amount: no spread to judge by")
    if margin is None:
        return _replace(made, settling="the claim names no margin, so how many seeds would settle it is not defined")
    return made if needed is None else _settled(made, needed)


def _settled(made: Finding, needed: Needed) -> Finding:
    if needed.seeds is not None:
        return _replace(made, seeds_to_settle=needed.seeds)
    if needed.more_examples is not None:
        said = (
            f"no number of seeds would settle it at this margin: the score split needs {needed.more_examples:.1f} "
            "times the examples"
        )
        return _replace(made, settling=said)
    return _replace(made, settling="more than 10,000 seeds would be needed to settle it")


def _replace(made: Finding, **changes: object) -> Finding:
    return replace(made, **changes)  # type: ignore[arg-type]
