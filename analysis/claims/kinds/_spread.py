"""Evidence on spread: which of two methods varies more, over seeds or over learning rates."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd

from finebench.analysis.claims.evidence_mean import reach_beyond, two_sided
from finebench.analysis.claims.model import Claim, Finding
from finebench.analysis.claims.settling import settled_at
from finebench.analysis.load.expected import Key
from finebench.analysis.scores.selected_configuration import CHOOSING
from finebench.analysis.statistics.design import design
from finebench.analysis.statistics.group_sequential import ONLY, Interim, Look
from finebench.analysis.statistics.interim import Sofar
from finebench.analysis.statistics.located import of_values
from finebench.analysis.statistics.sample import Pairs, Sample, common
from finebench.analysis.statistics.spread_ratio import LEAST_PAIRS, SpreadRatio, spread_ratio

UNNAMED = "the claim names no factor, so how many seeds would settle it is not defined"


def spread(claim: Claim, name: str, pairs: list[Pairs], look: Look = ONLY) -> Finding:
    """The ratio of mean absolute deviations from the median over seeds, by Brown and Forsythe's test for pairs."""
    alike = common(pairs)
    found, bound = spread_ratio([(one.a, one.b) for one in alike]), claim.factor or 1.0
    low, high = found.interval(look.level(0.05))
    test = f"Brown–Forsythe test for pairs, spread of a over spread of b against {bound:g}, pairs by seed"
    p, against = look.p(two_sided(found.p_above(bound))), look.p(two_sided(found.p_below(bound)))
    ends = (low, high, 0.95, test, found.u.size, p, against, low > bound, high < bound)
    made = Finding(name, found.value, *ends, bound=bound, needs=LEAST_PAIRS)
    if alike[0].design.crossed:
        why = "seeds are crossed: runs that share a source do not scatter independently; use seeds: N for this claim"
        return replace(made, reason=why)
    if not found.testable:
        same = (
            "one of them scored the same in every seed"
            if not (found.u.any() and found.v.any())
            else "they vary in step"
        )
        return replace(made, reason=f"{same}: no test of spread" if found.u.size >= LEAST_PAIRS else "")
    if isinstance(look, Interim):
        apart = found.u - bound * found.v
        sofar = Sofar(float(apart.mean()), float(apart.var(ddof=1)), 0.0, apart.size)
        made = replace(made, reach=reach_beyond(sofar, 0.0, look))
    if claim.factor is None or claim.factor == 1:
        return replace(made, settling=UNNAMED)
    return settled_at(made, *_one_factor_away(found, bound))


def _one_factor_away(found: SpreadRatio, bound: float) -> tuple[float, float]:
    """Mean and variance per pair of u − bound · v where the true ratio lies one factor beyond the bound."""
    factor = max(bound, 1 / bound)
    u, v = found.u * (bound * factor / found.value), found.v
    return float(u.mean() - bound * v.mean()), float((u - bound * v).var(ddof=1))


Side = tuple[pd.DataFrame, Sample, Key]
"""All runs, and the sample and cell of one method."""


def spread_over_lr(claim: Claim, name: str, given: list[list[Side]], look: Look = ONLY) -> Finding:
    """The ratio of sd over learning rates, by a t test of its log over seeds."""
    logs = [_lr_logs(a, b) for a, b in given]
    seeds = sorted(set.intersection(*(set(values) for values, _ in logs)))
    values = np.array([np.mean([by[seed] for by, _ in logs]) for seed in seeds], dtype=np.float64)
    of = design(np.array(seeds, dtype=np.int64))
    found = of_values(values, of)
    factor = claim.factor or 1.0
    bound = math.log(factor)
    low, high = (math.exp(end) for end in found.interval(look.level(0.05)))
    test = f"paired t test of log sd over learning rates, sd(a)/sd(b) against {factor:g}, pairs by seed"
    p, against = look.p(two_sided(found.p_above(bound))), look.p(two_sided(found.p_below(bound)))
    made = Finding(name, math.exp(found.value), low, high, 0.95, test, found.n, p, against, low > factor, high < factor,
                   bound=factor)  # fmt: skip
    why = next(
        (why for _, why in logs if why), "" if found.testable or found.n < 2 else "no spread between pairs: no test"
    )
    if why or of.few:
        return replace(made, reason=why or f"crossed seeds have {of.few}")
    if claim.factor is None or claim.factor == 1 or values.size < 2:
        return replace(made, settling=UNNAMED if values.size > 1 else "")
    return settled_at(made, abs(bound), float(values.var(ddof=1)))


def _lr_logs(a: Side, b: Side) -> tuple[dict[int, float], str]:
    """By common seed: log of sd(a)/sd(b) over the learning rates tried; and why there is none."""
    sides = [_by_lr(*side) for side in (a, b)]
    counts = {len(side.columns) for side in sides}
    if min(counts) < 2:
        return {}, "one learning rate has no spread"
    if len(counts) > 1:
        return {}, "they tried different numbers of learning rates, whose spreads do not compare"
    holes = sum(int(side.isna().to_numpy().sum()) for side in sides)
    if holes:
        return {}, f"{holes} of the runs that tried its learning rates are missing"
    x, y = (side.std(axis=1, ddof=1) for side in sides)
    seeds = x.index.intersection(y.index)
    if (x <= 0).any() or (y <= 0).any():
        return {}, "in some seed every learning rate scored the same: no ratio of spreads"
    ratio = np.log(x[seeds]) - np.log(y[seeds])
    return {int(str(seed)): float(one) for seed, one in ratio.items()}, "" if len(seeds) else "no seed in common"


def _by_lr(runs: pd.DataFrame, sample: Sample, key: Key) -> pd.DataFrame:
    """Scores [seed × lr] of the chosen configuration's variant, from the runs that chose; NaN for missing runs."""
    task, fraction, budget, method = key
    place = runs["task"].eq(task) & runs["fraction"].eq(fraction) & runs["budget"].eq(budget)
    rows = runs[place & runs["method"].eq(method)]
    variant = rows.loc[rows["configuration"] == sample.configuration, "variant"].iloc[0]
    rows = rows[rows["variant"].eq(variant) & rows["stage"].isin(CHOOSING)]
    return rows.pivot_table(index="seed", columns="lr", values="entered", aggfunc="mean", dropna=False)
