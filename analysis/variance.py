"""The variance section of a report: every frame that says how sure a score or a difference is, and why."""

from collections.abc import Sequence

import pandas as pd

from analysis.aggregate import aggregate, blocks, critical, improvements, profiles
from analysis.best_of import best_of
from analysis.load import Results
from analysis.pairs import pairs
from analysis.plateau import plateau
from analysis.power import power
from analysis.robustness import robustness
from analysis.samples import Samples
from analysis.sources import sources
from analysis.stability import stability
from analysis.tuning import tuning


def variance(
    results: Results,
    runs: pd.DataFrame,
    scores: pd.DataFrame,
    sensitivity: pd.DataFrame,
    samples: Samples,
    methods: Sequence[str] = (),
) -> dict[str, pd.DataFrame]:
    """The frames by name; each one's columns stand with the function that makes it."""
    expected = best_of(runs, results.study)
    tuned = tuning(runs, scores, expected, samples)
    found = blocks(samples, scores)
    claims = [claim for claim in results.study.get("claims") or () if isinstance(claim, dict)]
    return {
        "robustness": robustness(samples, scores),
        "pairs": pairs(samples, methods),
        "aggregates": aggregate(found),
        "improvements": improvements(found),
        "profiles": profiles(found),
        "ranks": critical(found),
        "variance_shares": sources(runs, samples),
        "plateau": plateau(sensitivity, tuned),
        "best_of": expected,
        "fairness": tuned,
        "stability": stability(samples),
        "power": power(samples, claims, methods),
    }
