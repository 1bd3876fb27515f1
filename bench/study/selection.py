"""Choose a cell's best configuration by `select` alone; the one rule of the harness and of the reports.

Configurations are compared on the seeds that they have in common, so that a run that failed neither throws its
configuration out nor lets it win by the seeds that it was spared.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class Scored(NamedTuple):
    """What a choice may see of a trial: its configuration, seed, how it ended, and its score on `select`."""

    configuration: str
    seed: int
    status: str
    select_score: float | None


class Selection(NamedTuple):
    """The configuration chosen, its mean `select` score over the `seeds` that all the `compared` ones have.

    left_out: those that have too few of them, with how many they have.
    """

    configuration: str
    mean: float
    seeds: tuple[int, ...]
    compared: tuple[str, ...]
    left_out: Mapping[str, int]


def select(scores: Mapping[str, Mapping[int, float]]) -> Selection | None:
    """Choose from `select` scores by configuration and seed; None where there are none.

    The highest mean over the common seeds; ties go to the alphabetically first. A configuration must have more than
    half as many seeds as the one with most, and so must all of them together: as long as they have not, the one with
    fewest is left out, of equals the one with the lowest mean.
    """
    most = max(map(len, scores.values()), default=0)
    if not most:
        return None
    # fsum: the mean of the same scores must not depend on their order, or equal configurations would not tie
    own = {name: math.fsum(by.values()) / len(by) for name, by in scores.items() if by}
    kept = sorted((name for name in own if 2 * len(scores[name]) > most), reverse=True)
    kept.sort(key=lambda name: (len(scores[name]), own[name]))  # the next to be left out first
    common = set[int]()
    while kept and 2 * len(common := set.intersection(*(set(scores[name]) for name in kept))) <= most:
        kept.pop(0)
    seeds = sorted(common)
    means = {name: math.fsum(scores[name][seed] for seed in seeds) / len(seeds) for name in kept}
    best = min(means, key=lambda name: (-means[name], name))
    left = {name: len(by) for name, by in sorted(scores.items()) if name not in means}
    return Selection(best, means[best], tuple(seeds), tuple(sorted(means)), left)


def by_configuration(scored: Iterable[Scored]) -> dict[str, dict[int, float]]:
    """The scores that a choice may look at, by configuration and seed.

    Diverged trials count with the select score that their row carries (the constant predictor's). Pruned and failed
    ones never count, and those whose select score is undefined count as a seed that is not there.
    """
    made: dict[str, dict[int, float]] = defaultdict(dict)
    for one in scored:
        scores = made[one.configuration]
        if one.status in ("ok", "diverged") and one.select_score is not None and math.isfinite(one.select_score):
            scores[one.seed] = one.select_score
    return dict(made)


def best_configuration(scored: Iterable[Scored]) -> dict[str, Any] | None:
    """The configuration that `select` chooses; None where nothing has finished."""
    chosen = select(by_configuration(scored))
    return None if chosen is None else dict(json.loads(chosen.configuration))
