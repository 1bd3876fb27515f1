"""A mean over seeds scored on examples, both drawn at random: its variance components and its interval.

Seeds and examples are crossed: every seed is scored on the same examples. With σ² of the seeds, of the examples and of
their interaction, the mean over S seeds has variance (σ²_seed + σ²_interaction) / S + σ²_example. The variance
of the seeds' scores, s², estimates σ²_seed + σ²_interaction; a bootstrap of examples gives the other two: the
spread between seeds of their moves, and the variance of the moves of the mean less that spread / S, which is the mean
covariance of two seeds' moves. Where seeds are crossed among themselves, `design` gives what stands for s² / S.

Readers of medical images are compared by the same design (readers for seeds, cases for examples), with as few readers:
s² / S + max(0, covariance) is the error of Obuchowski and Rockette (1995) as Hillis (2007) has it. Like theirs, s²
stands as it is where it is below the interaction: raised to it, intervals of three seeds cover 98 to 100 % where the
interaction makes up most of it.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from finebench.analysis.statistics.design import Design, mean_variance, single_variance
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.mean import flat, mean_t, seeds_in_words
from finebench.analysis.statistics.resample import REPLICATES
from finebench.analysis.statistics.reselect import Choices, alone, reselected

Array = NDArray[np.float64]

_SEED = 20210303


class SeedValues(NamedTuple):
    """What a mean over seeds rests on: `values` [S], of a score or a difference, from seeds that stand to each other as
    `of` says.

    replicates [R, S']: the values on resampled examples, of those seeds (S' of the S) whose predictions are known; None
    where fewer than two are, and `why` says why. choices: how the configurations were chosen on these very seeds; empty
    where they were not.
    """

    values: Array
    of: Design
    replicates: Array | None = None
    n_examples: int = 0
    choices: tuple[Choices, ...] = ()
    why: str = "no predictions"


class Components(NamedTuple):
    """Of a mean over `seeds` seeds: variance from seeds (interaction with examples in it), at its own degrees of
    freedom; of the interaction, per seed; from examples.

    one_seed is the variance of a single run with a seed of its own; choice what repeating the choice of configuration
    adds, where it rests on the same seeds; same, how often the repeated choice was the one that was made.
    """

    from_seeds: float
    seeds_df: float
    one_seed: float
    interaction: float
    examples: float
    seeds: int
    n_examples: int
    choice: float = 0.0
    same: float = 1.0

    @property
    def variance(self) -> float:
        """Of the mean."""
        return self.from_seeds + self.examples + self.choice

    @property
    def df(self) -> float:
        """Degrees of freedom of that variance: those of its parts, averaged harmonically by their shares of it."""
        return degrees(self.from_seeds + self.choice, self.seeds_df, self.examples, self.n_examples)

    @property
    def of_seeds(self) -> float:
        """What falls as independent seeds are added, per seed: their variance, and the choice's as if it fell alike."""
        return self.one_seed + self.seeds * self.choice


def degrees(of_seeds: float, seeds_df: float, of_examples: float, n_examples: int) -> float:
    """Degrees of freedom of a variance that is a sum of a part with `seeds_df` and a part over `n_examples`.

    1/df is the mean of the parts' 1/df, weighted by their shares. To first order in 1/df that weighs the parts' t
    quantiles by their shares, which is Cochran's (1964) answer to the problem of Behrens and Fisher. Satterthwaite's
    (1946) df, with squared shares, grows too fast where a share is itself estimated from two or four degrees of
    freedom: at three seeds the 95 % interval then covers 92 % where seeds make up 9/10 of the variance, and with ours
    94 to 96 % at any share.
    """
    whole = of_seeds + of_examples
    if not whole > 0:
        return seeds_df
    inverse = of_seeds / seeds_df + of_examples / max(1, n_examples - 1)
    return whole / inverse


def components(scored: SeedValues) -> Components:
    """Components of the mean of `scored`, of two seeds at least.

    ANOVA estimators of a crossed design, from bootstrap moments (factor N/(N − 1) for the bootstrap's own bias). An
    examples' part that is negative by chance counts as 0. Without replicates the seeds are all there is. The choice is
    repeated on draws of seeds that are the same for every S.
    """
    interaction, examples = _from_examples(scored)
    return _with_choice(scored, interaction, examples, scored.n_examples)


def errors_of_mean(scored: SeedValues) -> tuple[float, float]:
    """The standard error of a mean over seeds, and the part of it that stays with any number of them; 0 where there are
    not several."""
    if scored.values.size < 2:
        return 0.0, 0.0
    parts = components(scored)
    return math.sqrt(parts.variance), math.sqrt(parts.examples)


def over_tasks(parts: Sequence[SeedValues]) -> Components:
    """Components of the mean over tasks, each task's `parts` on the same seeds, in the same order.

    A seed is the same subset, order and dropout on every task: its tasks move together. So the mean over tasks is made
    by seed, and its variance over seeds taken from those means. The tasks' examples are drawn apart, and add up.
    """
    found = [_from_examples(part) for part in parts]
    square = len(parts) ** 2
    mean = np.mean([part.values for part in parts], axis=0)
    choices = tuple(one for part in parts for one in part.choices or ((alone(part.values), None),))
    told = choices if any(part.choices for part in parts) else ()
    counts = [part.n_examples for part in parts if part.n_examples]
    together = SeedValues(mean, parts[0].of, None, min(counts, default=0), told)
    return _with_choice(
        together, sum(i for i, _ in found) / square, sum(e for _, e in found) / square, min(counts, default=0)
    )


def _with_choice(scored: SeedValues, interaction: float, examples: float, n_examples: int) -> Components:
    values, of = scored.values, scored.of
    if of.why or flat(values):
        from_seeds, df, one_seed = (math.nan,) * 3 if of.why else (0.0, float(max(1, min(of.counts) - 1)), 0.0)
    else:
        variance, own = mean_variance(values, of)
        from_seeds, df, one_seed = float(variance), float(own), single_variance(values, of)
    made = Components(from_seeds, df, one_seed, interaction, examples, values.size, n_examples)
    if not scored.choices or of.why:
        return made
    again = reselected(
        scored.choices, of.draws(np.random.default_rng([_SEED, values.size]), REPLICATES), min(of.counts)
    )
    return made._replace(choice=again.variance, same=again.same)


def _from_examples(scored: SeedValues) -> tuple[float, float]:
    """Interaction of seeds and examples, per seed, and variance of the mean from examples, both from replicates."""
    replicates, n = scored.replicates, scored.n_examples
    if replicates is None or n < 2:
        return 0.0, 0.0
    moves = (replicates - replicates.mean(axis=0)) * math.sqrt(n / (n - 1))
    interaction = float(moves.var(axis=1, ddof=1).mean())
    mean_moves = float(moves.mean(axis=1).var(ddof=1))
    return interaction, max(0.0, mean_moves - interaction / moves.shape[1])


def crossed_mean(scored: SeedValues, level: float = 0.95) -> Estimate:
    """Mean of `scored` with an interval over seeds and examples; without replicates over seeds, saying why.

    mean ± t · √variance at the components' degrees of freedom, at any number of seeds, so that no p-value of the same
    variance can contradict it. With choices, made on the same seeds, their noise is in it. A state that few seeds
    cannot show (one run in seven collapses, and none of these three did) is in no interval made from them.
    """
    values, examples = scored.values, scored.replicates
    if values.size < 2 or scored.of.why:
        return mean_t(values, level, scored.of)
    if not scored.choices and flat(values) and (examples is None or flat(examples.ravel())):
        return mean_t(values, level, scored.of)
    found = components(scored)
    if not found.variance > 0:
        return mean_t(values, level, scored.of)
    mean, half = float(values.mean()), float(stats.t.ppf((1 + level) / 2, found.df)) * math.sqrt(found.variance)
    return Estimate(mean, mean - half, mean + half, values.size, _method(level, found, scored))


def _method(level: float, found: Components, scored: SeedValues) -> str:
    """The interval in words."""
    seeds = seeds_in_words(found.seeds, scored.of)
    if found.n_examples:
        said = f"variance components, t({found.df:.3g}), {level:.0%}, {seeds} × {found.n_examples:,} examples"
        said += f" ({scored.why})" if scored.why else ""
    else:
        said = f"Student t, {level:.0%}, {seeds}; not over examples: {scored.why}"
    if not scored.choices:
        return said
    return f"{said}; choice repeated on resampled select scores, the same in {found.same:.0%}"


def p_value(scored: SeedValues) -> float:
    """Two-sided p of a mean of 0, by the same variance and degrees of freedom; NaN where there is no variance."""
    if scored.values.size < 2:
        return math.nan
    found = components(scored)
    if not found.variance > 0:
        return math.nan
    return float(2 * stats.t.sf(abs(float(scored.values.mean())) / math.sqrt(found.variance), found.df))
