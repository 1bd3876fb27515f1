"""A claim that is looked at each time a wave of seeds is there: what its looks so far say together.

A look sees the seeds of the complete waves and no others, whichever runs ended first. What one look has decided stands:
its intervals hold together, so that the study may stop there, or run on by mistake (`group_sequential`).

Looks hold their error rate where pairs are drawn from one distribution. A collapse that comes in one run of ten is not
seen by a look at six pairs, in most studies, and the verdict of that look would be wrong. So a look decides only where
the estimate stays on its side of the bound if each method collapsed as often as its runs do not exclude (the one-sided
95 % bound of the rate). The last look asks for no more than the only look of a fixed study does.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

from finebench.analysis.claims.model import Claim, Finding, InterimResult
from finebench.analysis.statistics.group_sequential import Levels
from finebench.analysis.statistics.interim import power_of_pairs


def together(claim: Claim, findings: Sequence[Finding], levels: Levels) -> Finding:
    """One task's findings, by look, as one: the deciding look's, else the latest's, with the least p so far.

    Raises ValueError without any.
    """
    if not findings:
        raise ValueError("a claim that was never looked at has no finding")
    if exact := [one for one in findings if one.exact]:  # later seeds take back nothing that was exact
        return exact[-1]
    p, against, path, tested = 1.0, 1.0, list[InterimResult](), False
    for look, one in enumerate(findings):
        told = not one.reason and one.pairs >= one.needs
        held = told and look < len(levels.looks) - 1 and not stays(claim, one)
        if told and not held:
            p, against, tested = min(p, one.p), min(against, one.p_against), True
        sides = (told and one.supports and not held, told and one.refutes and not held)
        path.append(
            InterimResult(look, one.pairs, one.estimate, one.low, one.high, one.level, p, against, *sides, held)
        )
    at = _deciding(findings, path)
    made = replace(findings[-1 if at is None else at], path=tuple(path), decided_at=at)
    if at is None and not (tested or path[-1].held):
        lacks = claim.given and made.pairs < made.needs
        power = power_of_pairs(made.pairs, made.needs, path[-1].look, levels) if lacks else math.nan
        return replace(made, reach=(power, power)) if power == power else made
    sides = (False, False) if at is None else (path[at].supports, path[at].refutes)
    return replace(made, p=p, p_against=against, supports=sides[0], refutes=sides[1])


def _deciding(findings: Sequence[Finding], path: Sequence[InterimResult]) -> int | None:
    """Of the looks that decide as the first one did that decides, the one with the least p-value: a correction over
    tasks and claims may have let no earlier one decide."""
    first = next((step for step in path if step.supports or step.refutes), None)
    if first is None:
        return None
    key = "p" if first.supports else "p_against"
    alike = [step.look for step in path if (step.supports, step.refutes) == (first.supports, first.refutes)]
    return min(alike, key=lambda look: float(getattr(findings[look], key)))


def stays(claim: Claim, found: Finding) -> bool:
    """Whether the estimate stays on its side of the bound at the rates of collapse that the runs do not exclude.

    True of what decides nothing, and of claims that collapses do not enter. A collapse takes from its method's mean; it
    adds to its spread, of which the costs of a ratio's collapses are multiples.
    """
    if not (found.supports or found.refutes) or not claim.kind.shaken_by_collapse(claim):
        return True
    first, second = (_shift(found, side) for side in (0, 1))
    bound, low, high = found.bound, found.estimate - first, found.estimate + second
    if claim.kind.measures == "ratio":
        low, high = found.estimate / (1 + second), found.estimate * (1 + first)
    if claim.kind.holds == "within":
        inside = -bound < low and high < bound
        return inside if found.supports else (low > bound or high < -bound)
    above = found.supports != (claim.kind.holds == "below")
    return low > bound if above else high < bound


def _shift(found: Finding, side: int) -> float:
    """What the first method's (side 0), or the second's, collapses beyond those seen would cost."""
    return sum(
        (one.upper - one.collapsed / one.runs) * one.cost if one.cost > 0 and one.runs else 0.0
        for one in found.collapses[side::2]
    )
