"""Evidence on differences of mean scores: `matches`, `better` and `saturates_by`."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from finebench.analysis.claims.model import ONE_METHOD, Claim, Effect, Finding
from finebench.analysis.claims.settling import settled
from finebench.analysis.statistics.crossed import Components, over_tasks
from finebench.analysis.statistics.design import LEAST_LEVELS
from finebench.analysis.statistics.effect import standardised
from finebench.analysis.statistics.group_sequential import ONLY, Interim, Look
from finebench.analysis.statistics.interim import Sofar, conditional_power
from finebench.analysis.statistics.located import Located, of_pairs, p_beyond, p_within
from finebench.analysis.statistics.sample import Pairs, common

SATURATED = 0.05
"""Without a margin, a method is saturated where all data add at most this share of its reference's gain over the
constant predictor."""


def matches(
    claim: Claim, name: str, pairs: list[Pairs], look: Look = ONLY, one_method: Callable[[], bool] = lambda: False
) -> Finding:
    """Two one-sided tests: the 90 % interval inside ±margin supports, the 95 % interval outside it refutes.

    Where no pair differs at all there is nothing to test. `one_method` says whether that is so because both runs of
    every pair are one computation; then it is known, as a count is.
    """
    margin, found = float(claim.margin or 0), of_pairs(pairs)
    if not found.testable and found.value == 0 and found.n >= Finding.needs and one_method():
        return Finding(
            name, 0.0, 0.0, 0.0, 1.0, ONE_METHOD, found.n, math.nan, math.nan, True, False, exact=True, bound=margin
        )
    inner, outer = found.interval(look.level(0.10)), found.interval(look.level(0.05))
    supports = -margin < inner[0] and inner[1] < margin
    refutes = outer[0] > margin or outer[1] < -margin
    (low, high), level = (outer, 0.95) if refutes else (inner, 0.90)
    test = f"two one-sided t tests against ±{margin:g}, pairs {_over(pairs)}"
    p, against = look.one_sided(p_within(found, margin)), look.p(p_beyond(found, margin))
    made = (low, high, level, test, found.n, p, against, supports, refutes)
    return _told(Finding(name, found.value, *made, bound=margin), claim, pairs, found, look, two_sided=True)


def better(claim: Claim, name: str, pairs: list[Pairs], look: Look = ONLY) -> Finding:
    """The 95 % interval above the margin supports, below it refutes."""
    margin, found = claim.margin or 0.0, of_pairs(pairs)
    test = f"t test of the mean difference against {margin:g}, pairs {_over(pairs)}"
    made = _one_sided(name, found, margin, test, look, above=True)
    return _told(made, claim, pairs, found, look, two_sided=False)


def saturates(claim: Claim, name: str, pairs: list[Pairs], gains: Sequence[float], look: Look = ONLY) -> Finding:
    """What all data add (`pairs`: with all, less with the fraction), 95 % interval below the margin, or above it.

    `gains`: each task's reference over the constant predictor, in points, which sets the margin where none is given.
    """
    learnt = float(np.mean(gains)) if claim.scale == "points" else 1.0
    margin, found = SATURATED * learnt if claim.margin is None else claim.margin, of_pairs(pairs)
    test = f"t test of what all data add against {margin:.3g}, pairs {_over(pairs)}"
    made = _one_sided(name, found, margin, test, look, above=False)
    if not margin > 0:
        return replace(made, supports=False, refutes=False, reason="with all data the reference learned nothing")
    return _told(made, claim, pairs, found, look, two_sided=False)


def _one_sided(name: str, found: Located, bound: float, test: str, look: Look, above: bool) -> Finding:
    low, high = found.interval(look.level(0.05))
    over, under = look.p(two_sided(found.p_above(bound))), look.p(two_sided(found.p_below(bound)))
    p, against = (over, under) if above else (under, over)
    held = (low > bound, high < bound) if above else (high < bound, low > bound)
    return Finding(name, found.value, low, high, 0.95, test, found.n, p, against, *held, bound=bound)


def two_sided(p: float) -> float:
    """Doubled, so that p ≤ 0.05 exactly where the 95 % interval lies on that side."""
    return min(1.0, 2 * p)


def _over(pairs: list[Pairs]) -> str:
    """What the pairs are over, in words."""
    by = "by seed and example" if all(one.scored.n_examples for one in pairs) else "by seed"
    why = next((one.why for one in pairs if one.why), "")
    said = [f"{by} ({why})" if why else by]
    if pairs[0].design.crossed:
        said.append(f"seeds crossed, {pairs[0].design.words}")
    if pairs[0].design.fixed:
        said.append(f"not generalised over {' and '.join(pairs[0].design.fixed)}, of one level")
    return ", ".join([*said, "choice repeated"] if any(one.choice is not None for one in pairs) else said)


def undecidable(pairs: list[Pairs], scale: str = "gain") -> str:
    """Why no verdict can rest on these pairs, whatever they show; empty where one can."""
    metrics = sorted({one.metric for one in pairs})
    if len(metrics) > 1 and scale == "points":
        return (
            f"{' and '.join(metrics)} have no mean: pool tasks of one metric, or write scale: gain, with the margin as "
            "a share of what the reference gains over a constant predictor"
        )
    if any(one.design.why for one in pairs):
        return next(one.design.why for one in pairs if one.design.why)
    few = next((one.design.few for one in pairs if one.design.few), "")
    return f"crossed seeds have {few}; a verdict needs {LEAST_LEVELS} levels of every source that varies" if few else ""


def _told(made: Finding, claim: Claim, pairs: list[Pairs], found: Located, look: Look, two_sided: bool) -> Finding:
    """With why there is no test, what would settle it, and the effect in units of the pairs' own noise."""
    why = undecidable(pairs, claim.scale)
    if not why and not found.testable and found.n >= 2:
        why = "every pair differs by the same amount: no spread to judge by"
    parts = components_of(pairs)
    if parts is None:
        return replace(made, reason=why)
    made = replace(made, reason=why, effect=_effect(pairs, made.bound))
    if isinstance(look, Interim) and not why:
        made = replace(made, reach=reach(made, claim, parts, look))
    if not (claim.margin or made.bound):
        return replace(made, settling="the claim names no margin, so how many seeds would settle it is not defined")
    return settled(made, parts, two_sided)


def reach(made: Finding, claim: Claim, parts: Components, look: Interim) -> tuple[float, float]:
    """The conditional powers of support and of refutation at the last look; NaN at it, and where pairs are too few."""
    sofar = Sofar(made.estimate, parts.of_seeds, parts.examples, made.pairs)
    if claim.kind.holds == "within":
        if not foreseeable(made.pairs, look):
            return math.nan, math.nan
        inside = conditional_power(sofar, look.levels, -made.bound, made.bound, 0.10, inside=True)
        return inside, conditional_power(sofar, look.levels, -made.bound, made.bound, 0.05)
    above, below = reach_beyond(sofar, made.bound, look)
    return (below, above) if claim.kind.holds == "below" else (above, below)


def foreseeable(pairs: int, look: Interim) -> bool:
    """Whether more pairs may come, and there are enough to say how much they scatter."""
    return not look.last and 2 <= pairs < look.levels.looks[-1]


def reach_beyond(sofar: Sofar, bound: float, look: Interim) -> tuple[float, float]:
    """The probabilities that the last look finds a mean above `bound`, and below it, at the values that most favour
    either; NaN where they are not foreseeable."""
    if not foreseeable(sofar.pairs, look):
        return math.nan, math.nan
    above = conditional_power(sofar, look.levels, -math.inf, bound, 0.05)
    return above, conditional_power(sofar, look.levels, bound, math.inf, 0.05)


def components_of(pairs: list[Pairs]) -> Components | None:
    """The variance components of the mean over tasks; None where there is no variance to judge by."""
    alike = common(pairs)
    if alike[0].seeds.size < 2 or any(one.design.why for one in alike):
        return None
    return over_tasks([one.scored for one in alike])


def _effect(pairs: list[Pairs], bound: float) -> Effect | None:
    """None for crossed seeds, whose pairs do not scatter by one standard deviation."""
    alike = common(pairs)
    if alike[0].design.crossed:
        return None
    size, low, high, sd = standardised(np.mean([one.difference for one in alike], axis=0))
    return Effect(size, low, high, bound / sd if sd > 0 and bound else math.nan)
