"""Methods over several tasks: on a common scale, over the tasks that every method has, by Agarwal et al. (2021)."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from finebench.analysis.load.expected import Key
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


class ScoreBlock(NamedTuple):
    """What can be compared at one fraction and budget, on tasks and seeds that all methods have: per method the
    normalised `scores` [S, T] on the `tasks` that have a scale, and `raw` ones [S, T'] on all tasks in `common`."""

    fraction: float
    budget: str
    scores: dict[str, np.ndarray]
    raw: dict[str, np.ndarray]
    tasks: list[str]
    common: list[str]
    seeds: int
    reference: str
    why: str
    """What is left out of `common`."""
    no_scale: str = ""
    """What is left out of `tasks` beside."""
    crossed: bool = False
    """Whether seeds are crossed: their runs are no independent draws, and resampling them would say too little."""
    gains: str = ""
    """What the reference gains over the constant predictor in each task: the unit of its normalised scores."""

    def enough(self, tasks: list[str]) -> bool:
        """Whether there is something to aggregate over: two tasks, and two seeds that all methods have."""
        return len(tasks) > 1 and self.seeds > 1

    @property
    def head(self) -> dict[str, Any]:
        """The columns that say where a number of raw scores is from."""
        made = {"fraction": self.fraction, "budget": self.budget, "budget_label": budget_label(self.budget)}
        return made | {"tasks": len(self.common), "seeds": self.seeds, "why": self.why}

    @property
    def scaled_head(self) -> dict[str, Any]:
        """The columns that say where a number of normalised scores is from."""
        scale = SCALE.format(reference=self.reference, gains=self.gains) if self.reference else ""
        why = "; ".join(filter(None, [self.why, self.no_scale]))
        return self.head | {"tasks": len(self.tasks), "scale": scale, "why": why}


def blocks(samples: Mapping[Key, Sample], scores: pd.DataFrame) -> list[ScoreBlock]:
    """One block per fraction and budget with at least two methods. Normalised as (score − constant) / (reference −
    constant), per task and budget, the reference being the method that trains most parameters, at the largest fraction.

    The reference's mean is taken as a fixed number: its own noise stretches a task's scale and cannot change who is
    ahead on it. A task where it gains next to nothing, or less than `GAIN_KNOWN` of its standard errors, has no scale.
    """
    scored = scores[(scores["n"] > 0) & scores["complete"].astype(bool)]
    scales = reference_scales(scored)
    made = []
    for (fraction, budget), rows in groups(scored, ["fraction", "budget"]).items():
        have: dict[str, dict[str, Sample]] = {}
        for row in records(rows):
            key = (row["task"], row["fraction"], row["budget"], row["method"])
            if key in samples:
                have.setdefault(row["method"], {})[row["task"]] = samples[key]
        if len(have) > 1:
            errors = {task: _error_of_gain(samples, task, budget, scales) for tasks in have.values() for task in tasks}
            made.append(_block(fraction, budget, have, scales, errors))
    return made


def reference_scales(scored: pd.DataFrame) -> dict[tuple[str, str], tuple[float, float, str]]:
    """By task and budget: the constant's score, the reference's with the most data, and the reference: the method that
    trains most, whichever cells have ended first."""
    made = {}
    for (task, budget), rows in scored.groupby(["task", "budget"]):
        keys = ["trainable_params", "method", "fraction"]
        order = rows.sort_values(keys, ascending=[False, True, False])
        made[str(task), str(budget)] = (
            float(order["majority"].iloc[0]),
            float(order["score"].iloc[0]),
            str(order["method"].iloc[0]),
        )
    return made


def _error_of_gain(samples: Mapping[Key, Sample], task: str, budget: str, scales: dict[Any, Any]) -> float:
    """The standard error of what sets a task's scale: the reference's mean with the most data."""
    of = [key for key in samples if (key[0], *key[2:]) == (task, budget, scales[task, budget][2])]
    return errors_of_mean(samples[max(of, key=lambda key: key[1])].scored)[0] if of else 0.0


def _block(
    fraction: float,
    budget: str,
    have: dict[str, dict[str, Sample]],
    scales: dict[Any, Any],
    errors: Mapping[str, float],
) -> ScoreBlock:
    every = {task for tasks in have.values() for task in tasks}
    common = sorted(task for task in every if all(task in tasks for tasks in have.values()))
    gains = {task: scales[task, budget][1] - scales[task, budget][0] for task in common}
    flat = [task for task in common if gains[task] < LEAST_ABOVE]
    unknown = [task for task in common if task not in flat and gains[task] < GAIN_KNOWN * errors[task]]
    tasks = [task for task in common if task not in flat + unknown]
    lists = [set(have[method][task].seeds.tolist()) for method in have for task in common]
    seeds = sorted(set.intersection(*lists)) if lists else []
    why = [f"left out, as some method lacks them: {', '.join(sorted(every - set(common)))}"] * (
        len(common) < len(every)
    )
    no_scale = [f"left out, as the reference is less than {LEAST_ABOVE:g} above a constant: {', '.join(flat)}"] * bool(
        flat
    )
    no_scale += [
        f"left out, as a scale needs {GAIN_KNOWN} standard errors of the reference's gain over a constant: {task} "
        f"{gains[task]:+.3f} ± {errors[task]:.3f}"
        for task in unknown
    ]
    if not common or not seeds:
        why.append("no seed in common" if common else "no task in common")
        return ScoreBlock(fraction, budget, {}, {}, tasks, common, len(seeds), "", "; ".join(why), "; ".join(no_scale))
    raw, scores = {}, {}
    low, high = (np.array([scales[task, budget][end] for task in tasks]) for end in (0, 1))
    for method, by_task in have.items():
        columns = [by_task[task].entered[np.isin(by_task[task].seeds, seeds)] for task in common]
        raw[method] = np.stack(columns, axis=1)
        scores[method] = (raw[method][:, [task in tasks for task in common]] - low) / (high - low)
    crossed = design(np.array(seeds, dtype=np.int64)).crossed
    why += ["crossed seeds: no interval"] * crossed
    references = " or ".join(sorted({scales[task, budget][2] for task in tasks}))
    told = ", ".join(f"{task} {gains[task]:+.3f}" for task in tasks)
    return ScoreBlock(
        fraction, budget, scores, raw, tasks, common, len(seeds), references, "; ".join(why), "; ".join(no_scale),
        crossed, told,
    )  # fmt: skip


def aggregate(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × method: the interquartile mean of normalised scores over all runs of all common tasks.

    Columns: fraction, budget, budget_label, tasks, seeds, scale, why, method, iqm, low, high, interval. With one task
    or one seed there is no row of a method, only the reason.
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if not block.enough(block.tasks):
            made.append(block.scaled_head | {"why": _few(block)})
            continue
        for method, scores in block.scores.items():
            value = float(iqm_all(scores))
            one = _without(value, block) or interval(value, iqm_all(_draws(block, method)), block.seeds, "IQM")
            made.append(block.scaled_head | {"method": method, "iqm": one.value, "low": one.low, "high": one.high})
            made[-1]["interval"] = one.method
    return pd.DataFrame(made)


def _without(value: float, block: ScoreBlock) -> Estimate | None:
    """The value alone where no interval can be had of these seeds."""
    return Estimate(value, math.nan, math.nan, block.seeds, "crossed seeds: no interval") if block.crossed else None


def _few(block: ScoreBlock) -> str:
    said = f"needs two tasks and two seeds that all methods have; {len(block.tasks)} and {block.seeds} are there"
    return "; ".join(filter(None, [said, block.why, block.no_scale]))


def _draws(block: ScoreBlock, method: str) -> np.ndarray:
    scores = block.scores[method]
    rng = generator("aggregate", block.fraction, block.budget, method)
    return expand(within_tasks(scores, rng), scores)


def improvements(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × two methods: probability that a run of `a` beats one of `b` on a task drawn at random.

    Columns: as `aggregate`, but for the scale, which raw scores need not, with a, b, probability, low, high.
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if not block.enough(block.common):
            continue
        for a, b in itertools.combinations(block.raw, 2):
            one = improvement(block.raw[a], block.raw[b])
            one = _without(one.value, block) or one
            ends = {"probability": one.value, "low": one.low, "high": one.high, "interval": one.method}
            made.append(block.head | {"a": a, "b": b} | ends)
    return pd.DataFrame(made)


def profiles(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × method × level: the share of runs whose normalised score is above the level.

    Columns: as `aggregate`, with method, level, share, low, high.
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if not block.enough(block.tasks):
            continue
        most = max(1.0, *(float(scores.max()) for scores in block.scores.values()))
        least = min(0.0, *(float(scores.min()) for scores in block.scores.values()))
        levels = np.linspace(least, most, LEVELS)
        for method, scores in block.scores.items():
            draws = within_tasks(scores, generator("profile", block.fraction, block.budget, method))
            share = np.stack([(draws > level).mean(axis=(1, 2)) for level in levels], axis=1)
            low, high = np.quantile(share, [0.025, 0.975], axis=0) * (math.nan if block.crossed else 1.0)
            rows = zip(levels, profile(scores, levels), low, high, strict=True)
            for at, one, least_share, most_share in rows:
                ends = {"share": float(one), "low": float(least_share), "high": float(most_share)}
                made.append(block.scaled_head | {"method": method, "level": float(at)} | ends)
    return pd.DataFrame(made)


def critical(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × method: mean rank over tasks and the critical difference; below 5 tasks a row that says so.

    Columns: as `aggregate`, with method, rank (1 is best), difference (two mean ranks further apart differ at 5 %), p
    (of no difference between any, Iman and Davenport), group (methods that it does not tell apart share a letter).
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if len(block.common) < ranks.LEAST:
            why = f"ranks over tasks need at least {ranks.LEAST} tasks; {len(block.common)} are there"
            made.append(block.head | {"why": "; ".join(filter(None, [why, block.why]))})
            continue
        names = list(block.raw)
        table = np.stack([block.raw[name].mean(axis=0) for name in names], axis=1)
        ranked = ranks.mean_ranks(table)
        groups = ranks.cliques(ranked.means, ranked.critical)
        for i, name in enumerate(names):
            letters = "".join(chr(ord("a") + g) for g, members in enumerate(groups) if i in members)
            row = {"method": name, "rank": float(ranked.means[i]), "difference": ranked.critical}
            made.append(block.head | row | {"p": ranked.p, "group": letters})
    return pd.DataFrame(made)
