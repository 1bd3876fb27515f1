"""Scores of one configuration over seeds, with the predictions behind them: what intervals and comparisons rest on."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.resample import resampled
from analysis.statistics.reselect import Choice, alone

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Sample:
    """A cell's reported runs, ordered by seed.

    seeds [S]; entered [S]: the scores that enter (the constant predictor's where a run collapsed or diverged);
    fixed [S]: which those are; they keep their score when examples are resampled. labels [N] and predictions [S, N]
    (rows of fixed seeds may be NaN) are None where they cannot be resampled, and `why` says why.
    choice: among what the configuration was chosen, where the same seeds chose and scored; None where they did not, or
    there was nothing else to choose.
    """

    name: str
    metric: str
    seeds: NDArray[np.int64]
    entered: Array
    fixed: NDArray[np.bool_]
    examples: NDArray[np.int64] | None = None
    labels: Array | None = None
    predictions: Array | None = None
    configuration: str = ""
    lr: float = float("nan")
    stage: str = ""
    why: str = ""
    choice: Choice | None = None

    @property
    def n_examples(self) -> int:
        """Scored examples that can be resampled; 0 where there are none."""
        return 0 if self.labels is None else int(self.labels.size)

    @cached_property
    def replicates(self) -> Array | None:
        """Scores [REPLICATES, S] on resampled examples, the same draws for every sample of as many examples."""
        if self.labels is None or self.predictions is None:
            return None
        free = ~self.fixed
        values = resampled(self.metric, self.labels, self.predictions[free])
        made = np.tile(self.entered, (len(values), 1))
        made[:, free] = values
        return made


@dataclass(frozen=True, eq=False)
class Pairs:
    """Two samples on the seeds that both have. a, b, difference [S]; replicates [R, S] of the difference, or None.

    choice, against: how a and b were chosen on these seeds; both None where neither was.
    """

    seeds: NDArray[np.int64]
    a: Array
    b: Array
    replicates: Array | None
    n_examples: int
    why: str
    choice: Choice | None = None
    against: Choice | None = None

    @property
    def difference(self) -> Array:
        """a − b by seed."""
        return self.a - self.b


def pair(a: Sample, b: Sample) -> Pairs:
    """Pair by common seed, and by example where both have predictions of the same examples."""
    seeds, at, bt = np.intersect1d(a.seeds, b.seeds, assume_unique=True, return_indices=True)
    why = a.why or b.why
    if not why and a.metric != b.metric:
        why = f"scored by two metrics, {a.metric} and {b.metric}"
    if not why and not _same_examples(a, b):
        why = "not scored on the same examples"
    chosen = (None, None) if a.choice is None and b.choice is None else (_choice(a, at), _choice(b, bt))
    if why or a.replicates is None or b.replicates is None:
        return Pairs(seeds, a.entered[at], b.entered[bt], None, 0, why or "no predictions", *chosen)
    moved = a.replicates[:, at] - b.replicates[:, bt]
    return Pairs(seeds, a.entered[at], b.entered[bt], moved, a.n_examples, "", *chosen)


def _choice(sample: Sample, at: NDArray[np.intp]) -> Choice:
    """The sample's choice on some of its seeds."""
    if sample.choice is None:
        return alone(sample.entered[at])
    return Choice(sample.choice.select[:, at], sample.choice.scores[:, at], sample.choice.chosen)


def _same_examples(a: Sample, b: Sample) -> bool:
    pairs = ((a.examples, b.examples), (a.labels, b.labels))
    return all(x is not None and y is not None and np.array_equal(x, y) for x, y in pairs)
