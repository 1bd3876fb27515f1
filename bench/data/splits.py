"""Which rows of train a trial fits on and which it chooses on: nested, stratified, the same for every method.

A task's train rows are first divided, once and for all seeds, into a fit pool and a select pool. A subset seed orders
each pool at random, stratified, and a fraction takes a prefix of each order. So a trial's choices are made on no more
data than its fraction stands for, 10 % of `fit` is inside 30 % is inside 100 %, and at fraction 1 the seed changes
nothing.

Strata are the classes, or ten score quantiles in regression. Every prefix of an order holds each stratum in proportion
within one row (Tijdeman's chairman assignment, 1980, by earliest deadline first), rare classes first.
"""

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from finebench.bench.util.errors import DataError

Rows = NDArray[np.int64]

QUANTILES = 10
"""Strata of a regression task."""

_NAMESPACE = 0x46425F32  # "FB_2": keeps these streams apart from any other use of the same small integers
_POOL, _FIT, _SELECT, _HELD = 0, 1, 2, 3


@dataclass(frozen=True)
class Draw:
    """Row numbers in train, sorted: `fit` is trained on, `select` is chosen on; they share no row."""

    fit: Rows
    select: Rows


@dataclass(frozen=True)
class _Rule:
    """How much of the drawn rows goes to `select`."""

    fraction: float
    at_least: int
    scale: bool

    def pool(self, n: int) -> int:
        """Size of the select pool of n rows."""
        return max(round(self.fraction * n), min(self.at_least, n // 2))

    def sizes(self, fit_pool: int, select_pool: int, fraction: float) -> tuple[int, int, int]:
        """Rows taken from the fit pool for `fit`, from the select pool, and from the fit pool for `select`.

        The first grows with the fraction, so that prefixes of that size are nested.
        """
        fit, select = round(fraction * fit_pool), round(fraction * select_pool)
        if not self.scale:
            return fit, select_pool, 0
        moved = max(0, min(self.at_least, (fit + select) // 2) - select)
        return fit - moved, select, moved


def draw(
    labels: np.ndarray,
    regression: bool,
    fraction: float,
    subset_seed: int,
    select_fraction: float,
    at_least: int,
    scale: bool,
    task: str = "task",
    names: Sequence[str] = (),
) -> Draw:
    """Draw `fraction` of the rows and split them into `fit` and `select`.

    `labels` [n] are class indices or scores. `select` gets `select_fraction` of the drawn rows, or `at_least` rows
    where that is more, but never more than half of them; without `scale` it gets its share of all of train whatever
    the fraction. Raises DataError, naming `task` and the class by `names`, where the fraction is not in (0, 1] or a
    class has no row in `fit` or in `select`.
    """
    if not 0 < fraction <= 1:
        raise DataError(f"fraction {fraction:g} of task {task!r}: a fraction is above 0 and at most 1")
    rule = _Rule(select_fraction, at_least, scale)
    found = _draw(_strata(labels, regression), fraction, subset_seed, rule)
    lacking = _lacking(found, labels, regression, names)
    if lacking:
        raise DataError(
            f"fraction {fraction:g} of task {task!r} leaves {lacking} "
            f"({len(found.fit)} rows to fit on, {len(found.select)} to select on); "
            f"{_advice(labels, regression, fraction, rule)}"
        )
    return found


def _draw(strata: Rows, fraction: float, subset_seed: int, rule: _Rule) -> Draw:
    n = len(strata)
    everything = _ordered(np.arange(n, dtype=np.int64), strata, _POOL, 0)
    cut = rule.pool(n)
    fit_pool, select_pool = np.sort(everything[cut:]), np.sort(everything[:cut])
    fit, select, moved = rule.sizes(n - cut, cut, fraction)
    if fraction < 1:
        fit_pool = _ordered(fit_pool, strata, _FIT, subset_seed)
        select_pool = _ordered(select_pool, strata, _SELECT, subset_seed)
    chosen = np.concatenate([select_pool[:select], fit_pool[fit : fit + moved]])
    return Draw(np.sort(fit_pool[:fit]), np.sort(chosen))


def _strata(labels: np.ndarray, regression: bool) -> Rows:
    """Stratum of each row, 0 to k - 1, none of them empty. Equal labels are in the same stratum."""
    if regression:
        edges = np.quantile(labels, np.arange(1, QUANTILES) / QUANTILES)
        labels = np.searchsorted(edges, labels, side="right")
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)


def _ordered(rows: Rows, strata: Rows, stream: int, seed: int) -> Rows:
    """`rows` in a random order of which every prefix is stratified within one row.

    Keys are raw words of PCG64, whose stream NumPy promises to keep; its shuffles carry no such promise.
    """
    keys = np.random.PCG64(np.random.SeedSequence([_NAMESPACE, stream, seed])).random_raw(len(rows))
    shuffled = rows[np.argsort(keys, kind="stable")]
    kinds, counts = np.unique(strata[rows], return_counts=True)
    pattern = kinds[_pattern(tuple(counts.tolist()))]
    ordered = np.empty_like(rows)
    ordered[np.argsort(pattern, kind="stable")] = shuffled[np.argsort(strata[shuffled], kind="stable")]
    return ordered


@lru_cache(maxsize=32)
def _pattern(counts: tuple[int, ...]) -> Rows:
    """A sequence with `counts[c]` times c, in every prefix of which each c is in proportion within one row.

    Copy j of c must stand between the places floor(j n / c) + 1 and ceil((j + 1) n / c); such a schedule exists
    (Tijdeman) and earliest deadline first finds it. It is turned round at the end, which keeps the bound and puts the
    first copy of a rare stratum early, where the other way round it would stand late.
    """
    n = sum(counts)
    ready: list[tuple[int, int, int]] = []
    waiting = [(1, stratum, 0) for stratum in range(len(counts))]
    places = np.empty(n, dtype=np.int64)
    for place in range(1, n + 1):
        while waiting and waiting[0][0] <= place:
            _, stratum, copy = heapq.heappop(waiting)
            heapq.heappush(ready, (-(-(copy + 1) * n // counts[stratum]), stratum, copy))
        _, stratum, copy = heapq.heappop(ready)
        places[place - 1] = stratum
        if copy + 1 < counts[stratum]:
            heapq.heappush(waiting, ((copy + 1) * n // counts[stratum] + 1, stratum, copy + 1))
    turned = places[::-1].copy()
    turned.setflags(write=False)  # it is cached
    return turned


def _lacking(found: Draw, labels: np.ndarray, regression: bool, names: Sequence[str] = ()) -> str | None:
    """What a part has no row of, in words; None where nothing is lacking."""
    classes = np.empty(0) if regression else np.unique(labels)
    for part, rows in (("fit", found.fit), ("select", found.select)):
        if len(rows) == 0:
            return f"no row to {part} on"
        absent = np.setdiff1d(classes, labels[rows])
        if len(absent):
            return f"no row of class {repr(names[int(absent[0])]) if names else absent[0]} to {part} on"
    return None


def _advice(labels: np.ndarray, regression: bool, fraction: float, rule: _Rule) -> str:
    """What would do: a larger fraction, or another share to select on."""
    usable = _smallest(labels, regression, fraction, rule)
    share = _share(labels, regression, fraction, rule)
    ways = [f"the smallest usable fraction is about {usable:g}"] if usable else []
    ways += [f"select.fraction {share:g} would do at this fraction"] if share else []
    if ways:
        return "; ".join(ways)
    whole = _share(labels, regression, 1.0, rule)
    return f"no larger fraction would do{f' without select.fraction {whole:g}' if whole else ' either'}"


def _share(labels: np.ndarray, regression: bool, fraction: float, rule: _Rule) -> float | None:
    """The share to select on nearest to the rule's with which nothing lacks at this fraction."""
    strata = _strata(labels, regression)
    shares = sorted((0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5), key=lambda one: abs(one - rule.fraction))
    others = (replace(rule, fraction=share) for share in shares if share != rule.fraction)
    fits = (one for one in others if not _lacking(_draw(strata, fraction, 1, one), labels, regression))
    return next((one.fraction for one in fits), None)


def _smallest(labels: np.ndarray, regression: bool, fraction: float, rule: _Rule) -> float | None:
    """The next larger round fraction at which nothing lacks; the subset seed does not matter, as counts do not vary."""
    strata = _strata(labels, regression)
    rounds = [lead * 10.0**power for power in range(-6, 0) for lead in (1, 1.5, 2, 3, 4, 5, 6, 7, 8, 9)]
    larger = (round(value, 7) for value in (*rounds, 1.0) if value > fraction)
    return next((value for value in larger if not _lacking(_draw(strata, value, 1, rule), labels, regression)), None)


def hold_out(
    labels: np.ndarray, regression: bool, share: float, seed: int, groups: Sequence[object] | None = None
) -> tuple[Rows, Rows]:
    """Rows to train on and rows to score on, sorted: a `share` of all rows is held out, stratified and seeded.

    `labels` [n] are class indices or scores. Rows of equal `groups` [n] stay together; then share and strata hold as
    nearly as whole groups allow. Either part may be empty, or lack a class.
    """
    strata = _strata(labels, regression)
    order = _ordered(np.arange(len(labels), dtype=np.int64), strata, _HELD, seed)
    held = order[: round(share * len(order))] if groups is None else _whole_groups(order, strata, share, groups)
    return np.setdiff1d(np.arange(len(labels)), held), np.sort(held)


def _whole_groups(order: Rows, strata: Rows, share: float, groups: Sequence[object]) -> Rows:
    """Groups in the order of their first rows in `order`, each held out if that brings the strata nearer to `share`."""
    members: dict[object, list[int]] = {}
    for row in order.tolist():
        members.setdefault(groups[row], []).append(row)
    counts = np.bincount(strata)
    held: list[int] = []
    missing = np.append(np.full(len(counts), share), share)  # of each stratum, and of all rows
    for rows in members.values():
        part = np.append(np.bincount(strata[rows], minlength=len(counts)) / counts, len(rows) / len(strata))
        if np.sum((missing - part) ** 2) < np.sum(missing**2):
            missing -= part
            held += rows
    return np.array(held, dtype=np.int64)
