"""What the variance of scores is made of: variance components of a balanced crossed design of random factors.

Henderson's (1953) first method, which for balanced data is the ANOVA and, where no component is negative, REML. One run
per combination: the interaction of all factors and the noise that is left cannot be told apart, and are one component.
"""

from collections.abc import Sequence
from itertools import chain, combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Term = tuple[int, ...]

DRAWS = 4000


class VarianceShare(NamedTuple):
    """One source: the factors it stands for, its variance, and its share of the total with a 95 % interval.

    `negative` where the unbiased estimate was below 0 and is given as 0.
    """

    term: Term
    variance: float
    low: float
    high: float
    share: float
    share_low: float
    share_high: float
    df: int
    negative: bool


def mean_squares(scores: Array) -> dict[Term, tuple[float, int]]:
    """Mean square and degrees of freedom of every term of `scores`, an array with one axis per factor."""
    axes = range(scores.ndim)
    terms: list[Term] = list(chain.from_iterable(combinations(axes, k) for k in range(1, scores.ndim + 1)))
    effects: dict[Term, Array] = {(): scores.mean(keepdims=True)}
    made = {}
    for term in terms:
        mean = scores.mean(axis=tuple(axis for axis in axes if axis not in term), keepdims=True)
        lower = chain.from_iterable(combinations(term, k) for k in range(len(term)))
        effects[term] = mean - sum((effects[one] for one in lower), np.zeros_like(mean))
        df = int(np.prod([scores.shape[axis] - 1 for axis in term]))
        each = scores.size / mean.size
        made[term] = (each * float((effects[term] ** 2).sum()) / df, df)
    return made


def components(scores: Array) -> dict[Term, float]:
    """The unbiased estimate of every term's variance, which chance can make negative; `scores` as in `shares`."""
    observed = {term: np.array([ms]) for term, (ms, _) in mean_squares(scores).items()}
    return {term: float(_component(scores.shape, term, observed)[0]) for term in observed}


def shares(scores: Array, rng: np.random.Generator, level: float = 0.95) -> list[VarianceShare]:
    """Components of `scores` [n_1, …, n_K], every factor random with at least 2 levels and no value missing.

    σ²_u = Σ_{v ⊇ u} (−1)^(|v| − |u|) MS_v / (levels of the factors outside u), unbiased. Intervals are generalised ones
    (Tsui and Weerahandi, 1989): each mean square is replaced by MS · df/χ²_df and the estimate made again; shares
    take negative draws as 0. They are wide where a factor has few levels, as they should be.
    """
    squares = mean_squares(scores)
    drawn = {term: ms * df / rng.chisquare(df, DRAWS) for term, (ms, df) in squares.items()}
    values = components(scores)
    draws = {term: np.maximum(0.0, _component(scores.shape, term, drawn)) for term in squares}
    total, totals = sum(max(0.0, one) for one in values.values()), np.sum(list(draws.values()), axis=0)
    tails = [(1 - level) / 2, (1 + level) / 2]
    made = []
    for term, (_, df) in squares.items():
        value = max(0.0, values[term])
        low, high = np.quantile(draws[term], tails)
        share_low, share_high = np.quantile(draws[term] / np.where(totals > 0, totals, 1.0), tails)
        share = value / total if total > 0 else float("nan")
        ends = (float(low), float(high), share, float(share_low), float(share_high))
        made.append(VarianceShare(term, value, *ends, df, values[term] < 0))
    return made


def _component(shape: Sequence[int], term: Term, squares: dict[Term, Array]) -> Array:
    """The unbiased estimate [R] of one component from mean squares [R] of all terms."""
    outside = float(np.prod([n for axis, n in enumerate(shape) if axis not in term]))
    above = [other for other in squares if set(term) <= set(other)]
    signed = [(-1) ** (len(other) - len(term)) * squares[other] for other in above]
    made: Array = np.sum(signed, axis=0) / outside
    return made
