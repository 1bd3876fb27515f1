"""Evidence on collapse: which of two methods collapses more, and what a rare collapse would do to a verdict on
means."""

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from finebench.analysis.claims.model import Claim, Collapses, Finding
from finebench.analysis.load.expected import Key
from finebench.analysis.statistics.group_sequential import ONLY, Interim, Look
from finebench.analysis.statistics.interim import power_of_more
from finebench.analysis.statistics.proportion import binomial_p, clopper_pearson, effective, upper_bound
from finebench.analysis.statistics.sample import Pairs, Sample, common


def collapses_more(name: str, pairs: list[Pairs], look: Look = ONLY) -> Finding:
    """The exact sign test of the pairs in which one method collapsed more often than the other (McNemar, 1947).

    Of one task these are the pairs in which it alone collapsed; pooled, the seeds with which it collapsed on more
    tasks. Pairs that collapse alike say nothing of which does so more.
    """
    alike = common(pairs)
    more = np.sum([one.a_collapsed.astype(int) - one.b_collapsed for one in alike], axis=0)
    hits, n = int((more > 0).sum()), int((more != 0).sum())
    found, p = clopper_pearson(hits, n, look.level(0.05)), look.p(binomial_p(hits, n))
    above, below = (p, 1.0) if 2 * hits > n else (1.0, p)
    test = f"exact sign test of {n} pairs in which one method alone collapsed, {hits} of them a"
    made = Finding(name, found.value, found.low, found.high, 0.95, test, more.size, above, below, found.low > 0.5,
                   found.high < 0.5, bound=0.5)  # fmt: skip
    if isinstance(look, Interim) and not look.last and more.size:
        ours, theirs = (power_of_more(side, n - side, more.size, look.levels) for side in (hits, n - hits))
        made = replace(made, reach=(ours, theirs))
    if alike[0].design.crossed:
        return replace(made, reason="seeds are crossed: their runs do not collapse independently; use seeds: N")
    if not n:  # none can be told from none: no claim either way
        return replace(made, reason="no pair in which one method collapsed and the other did not")
    return replace(
        made, settling="how many seeds would settle it depends on how often they collapse, which is not known"
    )


def collapses(key: Key, sample: Sample, unit: float) -> Collapses:
    """How often the runs of a cell collapsed; `unit`: what divides its points in the estimate. Crossed runs bound the
    rate as so many independent ones as they are worth."""
    runs, hits = int(sample.seeds.size), int(sample.collapsed.sum())
    worth = effective(sample.collapsed.astype(np.float64), sample.scored.of) if runs else 0.0
    healthy = sample.entered[~sample.collapsed]
    cost = (float(healthy.mean()) - sample.constant) / unit if healthy.size else math.nan
    rate = hits / runs if runs else 0.0  # of no run, whose bound is 1 all the same
    return Collapses(key[0], key[1], sample.name, hits, runs, upper_bound(rate * worth, worth), cost)


def changes(claim: Claim, found: Finding, verdict: str) -> list[float]:
    """For each of a finding's `collapses`: the rate of collapse at which this verdict would change; NaN where none
    would.

    The interval is moved by what so many collapses take from the mean, as if it were known how much that is.
    """
    holds = found.supports if verdict == "supported" else found.refutes
    if verdict == "inconclusive" or not holds or not claim.kind.of_means or claim.given or found.exact:
        return [math.nan] * len(found.collapses)
    down, up = _slack(claim, found, verdict)
    return [_rate(one, up if i % 2 else down) for i, one in enumerate(found.collapses)]  # first, second of each task


def _slack(claim: Claim, found: Finding, verdict: str) -> tuple[float, float]:
    """How far the difference may fall, and rise, until the verdict changes."""
    bound, low, high = found.bound, found.low, found.high
    if claim.kind.holds == "within" and verdict == "supported":
        return low + bound, bound - high
    if claim.kind.holds == "within":
        return (low - bound, math.inf) if low > bound else (math.inf, -bound - high)
    above = (verdict == "supported") != (claim.kind.holds == "below")
    return (low - bound, math.inf) if above else (math.inf, bound - high)


def _rate(one: Collapses, slack: float) -> float:
    if not (math.isfinite(slack) and one.cost > 0 and one.runs):
        return math.nan
    rate = one.collapsed / one.runs + slack / one.cost
    return rate if rate < 1 else math.nan


def told(claim: Claim, found: Finding, verdict: str) -> list[Mapping[str, object]]:
    """The collapses of a finding as claims.json has them."""
    rates = changes(claim, found, verdict)
    return [
        {"task": one.task, "fraction": one.fraction, "method": one.method}
        | {"collapsed": one.collapsed, "runs": one.runs, "upper": one.upper}
        | {"changes_at": None if math.isnan(rate) else rate, "excluded": None if math.isnan(rate) else one.upper < rate}
        for one, rate in zip(found.collapses, rates, strict=True)
    ]
