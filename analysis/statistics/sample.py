"""Scores of one configuration over seeds, with the predictions behind them: what intervals and comparisons rest on."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finebench.analysis.statistics.crossed import SeedValues
from finebench.analysis.statistics.design import Design, design
from finebench.analysis.statistics.resample import Weighted, resampled
from finebench.analysis.statistics.reselect import Choice, Choices, alone
from finebench.analysis.statistics.unit import Unit

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Absent:
    """A planned run that gave no score: its seed (None where its name is not known), and why."""

    seed: int | None
    why: str


def _none_told(made: "Sample | Pairs", *masks: str) -> None:
    """Masks that were not given are those of no seed."""
    for name in masks:
        if not getattr(made, name).size:
            object.__setattr__(made, name, np.zeros(made.seeds.size, bool))


@dataclass(frozen=True, eq=False)
class Sample:
    """A cell's reported runs, ordered by seed.

    seeds [S]; entered [S]: the scores that enter (the constant predictor's where a run collapsed or diverged, or its
    own where that is lower); fixed [S]: which those are; they keep their score when examples are resampled. collapsed
    [S]: which runs did no better than the `constant` predictor, whose score that is. labels [N] and predictions [S,
    N] (rows of fixed and unknown seeds are NaN) are None where they cannot be resampled, and `why` says why; unknown
    [S]: whose predictions are not there, and `why` counts them. probabilities [S, N, C]: what the metric is computed of
    in place of predictions; None where it is not. kind: what the predictions are, of classification or regression.
    choice: among what the configuration was chosen, where the same seeds chose and scored; None where they did not, or
    there was nothing else to choose. absent: planned runs that are not among the seeds. weighted: the metric from
    counts of examples.
    """

    name: str
    metric: str
    seeds: NDArray[np.int64]
    entered: Array
    fixed: Mask
    examples: NDArray[np.int64] | None = None
    labels: Array | None = None
    predictions: Array | None = None
    configuration: str = ""
    lr: float = float("nan")
    stage: str = ""
    why: str = ""
    choice: Choice | None = None
    collapsed: Mask = field(default_factory=lambda: np.zeros(0, bool))
    unknown: Mask = field(default_factory=lambda: np.zeros(0, bool))
    constant: float = float("nan")
    absent: tuple[Absent, ...] = ()
    weighted: Weighted | None = None
    probabilities: Array | None = None
    kind: str = "classification"

    def __post_init__(self) -> None:
        _none_told(self, "collapsed", "unknown")

    @property
    def n_examples(self) -> int:
        """Scored examples that can be resampled; 0 where there are none."""
        return 0 if self.labels is None else int(self.labels.size)

    @property
    def predicted(self) -> Mask:
        """Which seeds [S] have predictions of their own, of a run that did not collapse."""
        return ~self.fixed & ~self.unknown

    @cached_property
    def replicates(self) -> Array | None:
        """Scores [REPLICATES, S] on resampled examples, the same draws for every sample of as many examples; NaN for
        seeds whose predictions are not known."""
        if self.labels is None or self.predictions is None or self.weighted is None:
            return None
        free = self.predicted
        said = self.predictions if self.probabilities is None else self.probabilities
        values = resampled(self.weighted, self.labels, said[free])
        made = np.tile(np.where(self.unknown, np.nan, self.entered), (len(values), 1))
        made[:, free] = values
        return made

    @cached_property
    def scored(self) -> SeedValues:
        """The sample as a mean over its seeds."""
        choices = () if self.choice is None else ((self.choice, None),)
        return _scored(self.entered, self.seeds, self.replicates, self.n_examples, choices, self.why)

    def of(self, seeds: Collection[int]) -> "Sample":
        """The runs of some seeds, its planned ones that are missing among them."""
        which = np.isin(self.seeds, list(seeds))
        made = replace(
            self,
            seeds=self.seeds[which],
            entered=self.entered[which],
            fixed=self.fixed[which],
            unknown=self.unknown[which],
            collapsed=self.collapsed[which],
            predictions=None if self.predictions is None else self.predictions[which],
            probabilities=None if self.probabilities is None else self.probabilities[which],
            choice=None if self.choice is None else self.choice.at(which),
            absent=tuple(one for one in self.absent if one.seed in seeds),
        )
        if "replicates" in self.__dict__ and self.replicates is not None:  # drawn once for all looks
            made.__dict__["replicates"] = self.replicates[:, which]
        return made

    def filled(self, absent: Sequence[int], collapsed: bool = False) -> "Sample":
        """The sample as if each `absent` seed were a run at the constant predictor's score, counted as collapsed or
        not."""
        new = sorted(set(absent) - set(self.seeds.tolist()))
        seeds = np.concatenate([self.seeds, np.array(new, dtype=np.int64)])
        order = np.argsort(seeds, kind="stable")

        def longer(values: NDArray[Any], more: object) -> NDArray[Any]:
            tail = np.full((len(new), *values.shape[1:]), more, dtype=values.dtype)
            made: NDArray[Any] = np.concatenate([values, tail])[order]
            return made

        return replace(
            self,
            seeds=seeds[order],
            entered=longer(self.entered, self.constant),
            fixed=longer(self.fixed, True),
            unknown=longer(self.unknown, False),
            collapsed=longer(self.collapsed, collapsed),
            predictions=None if self.predictions is None else longer(self.predictions, np.nan),
            probabilities=None if self.probabilities is None else longer(self.probabilities, np.nan),
            choice=None if self.choice is None else _longer(self.choice, len(new), self.constant, order),
            absent=(),
        )


def _longer(choice: Choice, more: int, constant: float, order: NDArray[np.intp]) -> Choice:
    """A choice with further seeds, on which nothing is preferred and everything scores the constant."""
    select = np.repeat(choice.select.mean(axis=1, keepdims=True), more, axis=1)
    scores = np.full((len(choice.scores), more), constant)
    return Choice(
        np.hstack([choice.select, select])[:, order], np.hstack([choice.scores, scores])[:, order], choice.chosen
    )


def _scored(
    values: Array, seeds: NDArray[np.int64], replicates: Array | None, n: int, choices: tuple[Choices, ...], why: str
) -> SeedValues:
    """What a mean rests on; examples are left out where fewer than two seeds have predictions."""
    if replicates is not None:
        replicates = replicates[:, ~np.isnan(replicates).all(axis=0)]
    if replicates is None or replicates.shape[1] < 2:
        return SeedValues(values, design(seeds), None, 0, choices, why or "no predictions")
    return SeedValues(values, design(seeds), replicates, n, choices, why)


@dataclass(frozen=True, eq=False)
class Pairs:
    """Two samples on the seeds that both have. a, b, difference [S]; replicates [R, S] of the difference, or None.

    choice, against: how a and b were chosen on these seeds; both None where neither was. a_collapsed, b_collapsed [S]:
    the runs that did no better than a constant predictor. unit: what the scores are shares of, where that is a mean
    over runs too.
    """

    seeds: NDArray[np.int64]
    a: Array
    b: Array
    replicates: Array | None
    n_examples: int
    why: str
    choice: Choice | None = None
    against: Choice | None = None
    a_collapsed: Mask = field(default_factory=lambda: np.zeros(0, bool))
    b_collapsed: Mask = field(default_factory=lambda: np.zeros(0, bool))
    metric: str = ""
    unit: Unit | None = None

    def __post_init__(self) -> None:
        _none_told(self, "a_collapsed", "b_collapsed")

    @property
    def difference(self) -> Array:
        """a − b by seed."""
        return self.a - self.b

    @cached_property
    def design(self) -> Design:
        """How the common seeds stand to each other."""
        return design(self.seeds)

    @cached_property
    def scored(self) -> SeedValues:
        """The difference as a mean over its seeds; of shares, with the noise of their unit."""
        return self.less(float(self.difference.mean()) if self.unit is not None and self.seeds.size else 0.0)

    def less(self, share: float) -> SeedValues:
        """The difference less that `share` of the unit by seed, as a mean over its seeds: 0 where that is the share."""
        choices = () if self.choice is None else ((self.choice, self.against),)
        values, replicates = self.difference, self.replicates
        if self.unit is not None:
            values = values - share * self.unit.values
            if replicates is not None and self.unit.replicates is not None:
                replicates = replicates - share * self.unit.replicates
        return _scored(values, self.seeds, replicates, self.n_examples, choices, self.why)

    def at(self, which: Mask) -> "Pairs":
        """Some of the pairs."""
        return replace(
            self,
            seeds=self.seeds[which], a=self.a[which], b=self.b[which],
            replicates=None if self.replicates is None else self.replicates[:, which],
            choice=None if self.choice is None else self.choice.at(which),
            against=None if self.against is None else self.against.at(which),
            a_collapsed=self.a_collapsed[which], b_collapsed=self.b_collapsed[which],
            unit=None if self.unit is None else self.unit.at(which),
        )  # fmt: skip

    def scaled(self, by: float) -> "Pairs":
        """The pairs in another unit: every score times `by`."""
        moved = (None if one is None else one.scaled(by) for one in (self.choice, self.against))
        choice, against = moved
        replicates = None if self.replicates is None else self.replicates * by
        return replace(self, a=self.a * by, b=self.b * by, replicates=replicates, choice=choice, against=against)

    @property
    def healthy(self) -> "Pairs":
        """The pairs in which neither run collapsed."""
        return self.at(~(self.a_collapsed | self.b_collapsed))


def pair(a: Sample, b: Sample) -> Pairs:
    """Pair by common seed, and by example where both have predictions of the same examples."""
    seeds, at, bt = np.intersect1d(a.seeds, b.seeds, assume_unique=True, return_indices=True)
    why = _why(a, b)
    chosen = a.choice is not None or b.choice is not None
    metric = a.metric if a.metric == b.metric else f"{a.metric} and {b.metric}"
    made = Pairs(
        seeds, a.entered[at], b.entered[bt], None, 0, why or "no predictions",
        choice=_choice(a, at) if chosen else None, against=_choice(b, bt) if chosen else None,
        a_collapsed=a.collapsed[at], b_collapsed=b.collapsed[bt], metric=metric,
    )  # fmt: skip
    if why or a.replicates is None or b.replicates is None:
        return made
    moved = a.replicates[:, at] - b.replicates[:, bt]
    lack = int(np.isnan(moved).all(axis=0).sum())
    said = f"{lack} of {seeds.size} pairs without predictions" if lack else ""
    return replace(made, replicates=moved, n_examples=a.n_examples, why=said)


def _why(a: Sample, b: Sample) -> str:
    """Why two samples cannot be paired by example."""
    if a.labels is None or b.labels is None:
        return a.why if a.labels is None else b.why
    if a.metric != b.metric:
        return f"scored by two metrics, {a.metric} and {b.metric}"
    return "" if _same_examples(a, b) else "not scored on the same examples"


def common(parts: Sequence[Pairs]) -> list[Pairs]:
    """Pairs of several tasks on the seeds that all of them have."""
    seeds = reduce(np.intersect1d, [one.seeds for one in parts])
    return [one.at(np.isin(one.seeds, seeds)) for one in parts]


def _choice(sample: Sample, at: NDArray[np.intp]) -> Choice:
    """The sample's choice on some of its seeds."""
    return alone(sample.entered[at]) if sample.choice is None else sample.choice.at(at)


def _same_examples(a: Sample, b: Sample) -> bool:
    pairs = ((a.examples, b.examples), (a.labels, b.labels))
    return all(x is not None and y is not None and np.array_equal(x, y) for x, y in pairs)
