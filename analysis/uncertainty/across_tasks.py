"""Methods over several tasks: on a common scale, over the tasks that every method has, by Agarwal et al. (2021)."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from finebench.analysis.load.expected import Key, key_of
from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.rng import generator
from finebench.analysis.load.runs import budget_label
from finebench.analysis.statistics import ranks
from finebench.analysis.statistics.aggregates import expand, interval, iqm_all, profile, within_tasks
from finebench.analysis.statistics.crossed import errors_of_mean
from finebench.analysis.statistics.design import design
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.improvement import improvement
from finebench.analysis.statistics.sample import Sample
from finebench.analysis.statistics.unit import GAIN_KNOWN

SCALE = "0 is the constant predictor, 1 what {reference} reaches with most data ({gains})"

LEVELS = 41
"""Heights at which a performance profile is given."""

LEAST_ABOVE = 0.01
"""A reference less than this above the constant predictor sets no scale."""


class Together(NamedTuple):
    """Scores [S, T] by method, on tasks and seeds that all methods have; of no method where there are none."""

    scores: dict[str, np.ndarray]
    tasks: list[str]
    seeds: int
    why: str
    """What is left out."""
    crossed: bool = False
    """Whether seeds are crossed: their runs are no independent draws, and resampling them would say too little."""

    @property
    def enough(self) -> bool:
        """Whether there is something to aggregate over: two tasks, and two seeds."""
        return len(self.tasks) > 1 and self.seeds > 1


class ScoreBlock(NamedTuple):
    """What can be compared at one fraction and budget: `raw` scores, and normalised ones on tasks that have a scale."""

    fraction: float
    budget: str
    raw: Together
    scaled: Together
    reference: str
    gains: str
    """What the reference gains over the constant predictor in each task: the unit of its normalised scores."""

    def head(self, of: Together) -> dict[str, Any]:
        """The columns that say where a number is from."""
        made = {"fraction": self.fraction, "budget": self.budget, "budget_label": budget_label(self.budget)}
        made |= {"tasks": len(of.tasks), "seeds": of.seeds, "why": of.why}
        scale = SCALE.format(reference=self.reference, gains=self.gains) if self.reference else ""
        return made | {"scale": scale} if of is self.scaled else made


def blocks(samples: Mapping[Key, Sample], scores: pd.DataFrame) -> list[ScoreBlock]:
    """One block per fraction and budget with at least two methods. Normalised as (score − constant) / (reference −
    constant), per task and budget, the reference being the method that trains most parameters, at the largest fraction.

    The reference's mean is taken as a fixed number: its own noise stretches a task's scale and cannot change who is
    ahead on it. A task where it gains next to nothing, or less than `GAIN_KNOWN` of its standard errors, has no scale.
    """
    scored = scores[(scores["n"] > 0) & scores["complete"].astype(bool)]
    scales = reference_scales(scored)
    cells = {place: key_of(row) for place, row in _references(scored).items()}
    errors = {place: errors_of_mean(samples[key].scored)[0] for place, key in cells.items() if key in samples}
    made = []
    for (fraction, budget), rows in groups(scored, ["fraction", "budget"]).items():
        have: dict[str, dict[str, Sample]] = {}
        for row in records(rows):
            key = key_of(row)
            if key in samples:
                have.setdefault(row["method"], {})[row["task"]] = samples[key]
        if len(have) > 1:
            made.append(_block(fraction, budget, have, scales, errors))
    return made


def _references(scored: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    """By task and budget the row that sets the scale: the reference's with the most data."""
    keys = ["trainable_params", "method", "fraction"]
    rows = scored.sort_values(keys, ascending=[False, True, False]).groupby(["task", "budget"], sort=True).head(1)
    return {(str(row["task"]), str(row["budget"])): row for row in records(rows)}


def reference_scales(scored: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float, str]]:
    """By task and budget: the constant's score, the reference's with the most data, and the reference: the method that
    trains most, whichever cells have ended first."""
    found = _references(scored)
    return {at: (float(row["majority"]), float(row["score"]), str(row["method"])) for at, row in found.items()}


def _block(
    fraction: float,
    budget: str,
    have: dict[str, dict[str, Sample]],
    scales: dict[tuple[str, str], tuple[float, float, str]],
    errors: Mapping[tuple[str, str], float],
) -> ScoreBlock:
    every = {task for tasks in have.values() for task in tasks}
    common = sorted(task for task in every if all(task in tasks for tasks in have.values()))
    why = [f"left out, as some method lacks them: {', '.join(sorted(every - set(common)))}"] * (
        len(common) < len(every)
    )
    gains = {task: scales[task, budget][1] - scales[task, budget][0] for task in common}
    no_scale = {task: _no_scale(task, gains[task], errors.get((task, budget), 0.0)) for task in common}
    tasks = [task for task in common if not no_scale[task]]
    raw = _together(have, common, why)
    scaled = _together(have, tasks, [*why, *filter(None, no_scale.values())])
    low, high = (np.array([scales[task, budget][end] for task in tasks]) for end in (0, 1))
    normalised = {method: (scores - low) / (high - low) for method, scores in scaled.scores.items()}
    references = " or ".join(sorted({scales[task, budget][2] for task in tasks}))
    told = ", ".join(f"{task} {gains[task]:+.3f}" for task in tasks)
    return ScoreBlock(fraction, budget, raw, scaled._replace(scores=normalised), references, told)


def _no_scale(task: str, gain: float, error: float) -> str:
    """Why a task has no scale; empty where it has."""
    if gain < LEAST_ABOVE:
        return f"left out, as the reference is less than {LEAST_ABOVE:g} above a constant: {task}"
    if gain >= GAIN_KNOWN * error:
        return ""
    return (
        f"left out, as a scale needs {GAIN_KNOWN} standard errors of the reference's gain over a constant: {task} "
        f"{gain:+.3f} ± {error:.3f}"
    )


def _together(have: dict[str, dict[str, Sample]], tasks: list[str], why: list[str]) -> Together:
    """The scores of these tasks, on the seeds that all methods have on each of them."""
    lists = [set(by_task[task].seeds.tolist()) for by_task in have.values() for task in tasks]
    seeds = sorted(set.intersection(*lists)) if lists else []
    if not seeds:
        return Together({}, tasks, 0, "; ".join([*why, "no seed in common" if tasks else "no task in common"]))
    scores = {
        method: np.stack([by_task[task].entered[np.isin(by_task[task].seeds, seeds)] for task in tasks], axis=1)
        for method, by_task in have.items()
    }
    crossed = design(np.array(seeds, dtype=np.int64)).crossed
    return Together(scores, tasks, len(seeds), "; ".join([*why, *["crossed seeds: no interval"] * crossed]), crossed)


def aggregate(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × method: the interquartile mean of normalised scores over all runs of all common tasks.

    Columns: fraction, budget, budget_label, tasks, seeds, scale, why, method, iqm, low, high, interval. With one task
    or one seed there is no row of a method, only the reason.
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if not block.scaled.enough:
            made.append(block.head(block.scaled) | {"why": _few(block.scaled)})
            continue
        for method, scores in block.scaled.scores.items():
            value = float(iqm_all(scores))
            one = _without(value, block.scaled) or interval(
                value, iqm_all(_draws(block, method)), block.scaled.seeds, "IQM"
            )
            made.append(
                block.head(block.scaled) | {"method": method, "iqm": one.value, "low": one.low, "high": one.high}
            )
            made[-1]["interval"] = one.method
    return pd.DataFrame(made)


def _without(value: float, of: Together) -> Estimate | None:
    """The value alone where no interval can be had of these seeds."""
    return Estimate(value, math.nan, math.nan, of.seeds, "crossed seeds: no interval") if of.crossed else None


def _few(of: Together) -> str:
    said = f"needs two tasks and two seeds that all methods have; {len(of.tasks)} and {of.seeds} are there"
    return "; ".join(filter(None, [said, of.why]))


def _draws(block: ScoreBlock, method: str) -> np.ndarray:
    scores = block.scaled.scores[method]
    rng = generator("aggregate", block.fraction, block.budget, method)
    return expand(within_tasks(scores, rng), scores)


def improvements(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × two methods: probability that a run of `a` beats one of `b` on a task drawn at random.

    Columns: as `aggregate`, but for the scale, which raw scores need not, with a, b, probability, low, high.
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if not block.raw.enough:
            continue
        for a, b in itertools.combinations(block.raw.scores, 2):
            one = improvement(block.raw.scores[a], block.raw.scores[b])
            one = _without(one.value, block.raw) or one
            ends = {"probability": one.value, "low": one.low, "high": one.high, "interval": one.method}
            made.append(block.head(block.raw) | {"a": a, "b": b} | ends)
    return pd.DataFrame(made)


def profiles(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × method × level: the share of runs whose normalised score is above the level.

    Columns: as `aggregate`, with method, level, share, low, high.
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if not block.scaled.enough:
            continue
        most = max(1.0, *(float(scores.max()) for scores in block.scaled.scores.values()))
        least = min(0.0, *(float(scores.min()) for scores in block.scaled.scores.values()))
        levels = np.linspace(least, most, LEVELS)
        for method, scores in block.scaled.scores.items():
            draws = within_tasks(scores, generator("profile", block.fraction, block.budget, method))
            share = np.stack([(draws > level).mean(axis=(1, 2)) for level in levels], axis=1)
            low, high = np.quantile(share, [0.025, 0.975], axis=0) * (math.nan if block.scaled.crossed else 1.0)
            rows = zip(levels, profile(scores, levels), low, high, strict=True)
            for at, one, least_share, most_share in rows:
                ends = {"share": float(one), "low": float(least_share), "high": float(most_share)}
                made.append(block.head(block.scaled) | {"method": method, "level": float(at)} | ends)
    return pd.DataFrame(made)


def critical(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × method: mean rank over tasks and the critical difference; below 5 tasks a row that says so.

    Columns: as `aggregate`, with method, rank (1 is best), difference (two mean ranks further apart differ at 5 %), p
    (of no difference between any, Iman and Davenport), group (methods that it does not tell apart share a letter).
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if len(block.raw.tasks) < ranks.LEAST or not block.raw.scores:
            why = f"ranks over tasks need at least {ranks.LEAST} tasks; {len(block.raw.tasks)} are there"
            made.append(block.head(block.raw) | {"why": "; ".join(filter(None, [why, block.raw.why]))})
            continue
        names = list(block.raw.scores)
        table = np.stack([block.raw.scores[name].mean(axis=0) for name in names], axis=1)
        ranked = ranks.mean_ranks(table)
        groups = ranks.cliques(ranked.means, ranked.critical)
        for i, name in enumerate(names):
            letters = "".join(chr(ord("a") + g) for g, members in enumerate(groups) if i in members)
            row = {"method": name, "rank": float(ranked.means[i]), "difference": ranked.critical}
            made.append(block.head(block.raw) | row | {"p": ranked.p, "group": letters})
    return pd.DataFrame(made)
