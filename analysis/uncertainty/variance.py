"""The variance section of a report: every frame that says how sure a score or a difference is, and why."""

from collections.abc import Sequence

import pandas as pd

from finebench.analysis.load.read import Results
from finebench.analysis.scores.samples import Samples
from finebench.analysis.uncertainty.across_tasks import aggregate, blocks, critical, improvements, profiles
from finebench.analysis.uncertainty.equal_budget import tuning
from finebench.analysis.uncertainty.expected_best import best_of
from finebench.analysis.uncertainty.lr_tolerance import plateau
from finebench.analysis.uncertainty.pairwise import pairs
from finebench.analysis.uncertainty.prediction_agreement import stability
from finebench.analysis.uncertainty.seeds_needed import power
from finebench.analysis.uncertainty.variance_components import sources
from finebench.analysis.uncertainty.without_collapsed import robustness


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
    tuned = tuning(runs, scores, expected, samples, results.study)
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
        "lr_tolerance": plateau(sensitivity, tuned),
        "best_of": expected,
        "equal_budget": tuned,
        "stability": stability(samples),
        "power": power(samples, claims, methods),
    }
