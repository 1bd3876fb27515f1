"""Whether intervals cover for metrics that are no means over examples (MCC, F1, Pearson's and Spearman's correlation,
AUROC, ECE) and for log-loss, whose terms are skewed.

The truth is known in closed form given a seed's effect, and by quadrature over seeds: the mean over all seeds of the
metric on all examples. ECE's is its mean over many sets of as many examples: it depends on their number.
`python -m tests.analysis.statistics.test_metric_coverage` prints the rates of docs/verdicts.md.
"""

import math
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pytest
from scipy import special, stats

from finebench.analysis.statistics.crossed import SeedValues, crossed_mean
from finebench.analysis.statistics.design import independent
from finebench.analysis.statistics.resample import counts
from finebench.bench.metrics import METRICS

EXAMPLES = 300
POSITIVE = 0.65
SHIFTS = (0.0, 0.25)
"""How much better than the other the second of two methods is, on the latent scale."""


class Drawn(NamedTuple):
    """Labels [N] and the predictions [S, N], or probabilities [S, N, 2], of two methods on the same examples."""

    labels: np.ndarray
    first: np.ndarray
    second: np.ndarray


def classes(rng: np.random.Generator, seeds: int) -> Drawn:
    """An example is right where its own ease, the seed's effect and noise add up to more than a threshold."""
    labels = (rng.random(EXAMPLES) < POSITIVE).astype(float)
    ease, made = rng.normal(size=EXAMPLES), []
    for shift in SHIFTS:
        latent = 1.1 + shift + 0.2 * rng.normal(size=(seeds, 1)) + ease + 0.7 * rng.normal(size=(seeds, EXAMPLES))
        made.append(np.where(latent > 0, labels, 1 - labels))
    return Drawn(labels, *made)


def numbers(rng: np.random.Generator, seeds: int) -> Drawn:
    """A prediction is the label, an error that all runs make, and one of its own, whose size is the seed's effect."""
    labels = rng.normal(size=EXAMPLES)
    common, made = 0.4 * rng.normal(size=EXAMPLES), []
    for shift in SHIFTS:
        size = np.exp(-0.5 - shift + 0.2 * rng.normal(size=(seeds, 1)))
        made.append(labels + common + size * rng.normal(size=(seeds, EXAMPLES)))
    return Drawn(labels, *made)


def probable(rng: np.random.Generator, seeds: int) -> Drawn:
    """The true class's log-odds are an example's own ease, the seed's effect and noise, and something that is more."""
    labels = (rng.random(EXAMPLES) < POSITIVE).astype(float)
    ease, made = rng.normal(size=EXAMPLES), []
    for shift in SHIFTS:
        odds = 1.1 + shift + 0.2 * rng.normal(size=(seeds, 1)) + ease + 0.7 * rng.normal(size=(seeds, EXAMPLES))
        second = special.expit(np.where(labels == 1, odds, -odds))
        made.append(np.stack([1 - second, second], axis=2))
    return Drawn(labels, *made)


def f1(right: np.ndarray) -> np.ndarray:
    """2·tp / (2·tp + fp + fn) where a share `right` of either class is."""
    hits, errors = POSITIVE * right, 1 - right
    made: np.ndarray = 2 * hits / (2 * hits + errors)
    return made


def mcc(right: np.ndarray) -> np.ndarray:
    """The phi coefficient of the table of shares."""
    table = np.array([POSITIVE * right, POSITIVE * (1 - right), (1 - POSITIVE) * (1 - right), (1 - POSITIVE) * right])
    tp, fn, fp, tn = table
    made: np.ndarray = (tp * tn - fp * fn) / np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return made


def pearson(size: np.ndarray) -> np.ndarray:
    """Of a label of variance 1 and the label plus independent errors of variance 0.16 and size²."""
    made: np.ndarray = 1 / np.sqrt(1 + 0.16 + size**2)
    return made


def spearman(size: np.ndarray) -> np.ndarray:
    """Of a bivariate normal: 6/π · arcsin(ρ/2) (Pearson, 1907)."""
    made: np.ndarray = 6 / math.pi * np.arcsin(pearson(size) / 2)
    return made


def log_loss(odds: np.ndarray) -> np.ndarray:
    """The mean of log(1 + exp(−x)) for log-odds x around `odds` with variance 1.49, by quadrature."""
    around = math.sqrt(1.49) * stats.norm.ppf((np.arange(500) + 0.5) / 500)
    return np.array([np.logaddexp(0, -(one + around)).mean() for one in odds])


def auroc(odds: np.ndarray) -> np.ndarray:
    """Of two normals 2 · odds apart, each of variance 1.49."""
    made: np.ndarray = stats.norm.cdf(2 * odds / math.sqrt(2 * 1.49))
    return made


EXACT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "f1": f1, "mcc": mcc, "pearson": pearson, "spearman": spearman, "log_loss": log_loss, "auroc": auroc,
}  # fmt: skip
COVERED = (*EXACT, "ece")
LEAST = {"ece": 0.88}
"""Coverage below 92 % of what is no main metric: a resample has the noise of its sample and its own, and ECE's absolute
values fold what is more than its mean away, so that resamples scatter a fifth too little (0.0067 for 0.0083 here)."""
DRAWN = {"f1": classes, "mcc": classes, "pearson": numbers, "spearman": numbers}


@cache
def truth(metric: str, shift: float) -> float:
    """The mean over seeds, by quadrature over their effect; of ECE by simulation."""
    if metric == "ece":
        rng, which, one = np.random.default_rng(9), SHIFTS.index(shift) + 1, np.ones((1, EXAMPLES))
        drawn = [probable(rng, 4) for _ in range(1500)]
        return float(np.mean([weighted(metric)(made[0], made[which], one) for made in drawn]))
    effect = 0.2 * stats.norm.ppf((np.arange(20000) + 0.5) / 20000)
    if metric in ("f1", "mcc"):
        return float(EXACT[metric](stats.norm.cdf((1.1 + shift + effect) / math.sqrt(1 + 0.49))).mean())
    if metric in ("log_loss", "auroc"):
        return float(EXACT[metric](1.1 + shift + effect).mean())
    return float(EXACT[metric](np.exp(-0.5 - shift + effect)).mean())


def weighted(metric: str) -> Any:
    """The metric from counts."""
    return METRICS[metric].weighted


def covered(metric: str, seeds: int, paired: bool, times: int) -> float:
    """Share of simulated studies whose 95 % interval holds the true score, or the true difference of two methods."""
    rng = np.random.default_rng([seeds, paired])
    draw = DRAWN.get(metric, probable)
    target = truth(metric, SHIFTS[1]) - paired * truth(metric, SHIFTS[0])
    (weights,), one, inside = counts(EXAMPLES), np.ones((1, EXAMPLES)), 0
    for _ in range(times):
        drawn = draw(rng, seeds)
        scores, moved = (weighted(metric)(drawn.labels, drawn.second, w) for w in (one, weights))
        if paired:
            scores, moved = (
                made - weighted(metric)(drawn.labels, drawn.first, w) for made, w in ((scores, one), (moved, weights))
            )
        made = crossed_mean(SeedValues(scores[0], independent(seeds), moved, EXAMPLES))
        inside += made.low <= target <= made.high
    return inside / times


@pytest.mark.parametrize("metric", sorted(EXACT))
def test_the_truth_is_what_a_large_sample_says(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.EXAMPLES", 4000)
    drawn = DRAWN.get(metric, probable)(np.random.default_rng(0), 100)
    found = weighted(metric)(drawn.labels, drawn.second, np.ones((1, 4000))).mean()
    assert found == pytest.approx(truth(metric, SHIFTS[1]), abs=0.02)
    gain = truth(metric, SHIFTS[1]) - truth(metric, SHIFTS[0])
    assert gain * (1 if METRICS[metric].higher_is_better else -1) > 0.02


@pytest.mark.parametrize("metric", sorted(COVERED))
def test_paired_intervals_cover(metric: str) -> None:
    times = 100
    assert covered(metric, 5, True, times) >= 0.92 - 2.6 * math.sqrt(0.05 * 0.95 / times) / 2


@pytest.mark.slow
@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("seeds", [3, 5, 10, 25])
@pytest.mark.parametrize("metric", sorted(COVERED))
def test_intervals_cover_in_many_draws(metric: str, seeds: int, paired: bool) -> None:
    times = 300 if metric == "spearman" else 1000
    noise = 2 * math.sqrt(0.05 * 0.95 / times)
    assert LEAST.get(metric, 0.92) - noise <= covered(metric, seeds, paired, times) <= 0.97 + noise


def main() -> None:
    """Print every rate."""
    for metric in COVERED:
        for paired in (False, True):
            times = 600 if metric == "spearman" else 2000
            rates = [f"{seeds} seeds {covered(metric, seeds, paired, times):.3f}" for seeds in (3, 5, 10, 25)]
            print(metric, "difference" if paired else "score", times, "studies:", *rates, flush=True)


if __name__ == "__main__":
    main()
