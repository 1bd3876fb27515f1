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
from finebench.analysis.statistics.design import design
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.improvement import improvement
from finebench.analysis.statistics.sample import Sample

SCALE = "0 is the constant predictor, 1 what {reference} reaches with most data ({gains})"

LEVELS = 41
"""Heights at which a performance profile is given."""

LEAST_ABOVE = 0.01
"""A reference less than this above the constant predictor sets no scale."""


class ScoreBlock(NamedTuple):
    """What can be compared at one fraction and budget: scores [S, T] per method, on tasks and seeds that all have."""

    fraction: float
    budget: str
    scores: dict[str, np.ndarray]
    raw: dict[str, np.ndarray]
    tasks: list[str]
    seeds: int
    reference: str
    why: str
    crossed: bool = False
    """Whether seeds are crossed: their runs are no independent draws, and resampling them would say too little."""
    gains: str = ""
    """What the reference gains over the constant predictor in each task: the unit of its normalised scores."""

    @property
    def enough(self) -> bool:
        """Whether there is something to aggregate over: two tasks, and two seeds that all methods have."""
        return len(self.tasks) > 1 and self.seeds > 1

    @property
    def head(self) -> dict[str, Any]:
        """The columns that say where a number is from."""
        made = {"fraction": self.fraction, "budget": self.budget, "budget_label": budget_label(self.budget)}
        scale = SCALE.format(reference=self.reference, gains=self.gains) if self.reference else ""
        return made | {"tasks": len(self.tasks), "seeds": self.seeds, "scale": scale, "why": self.why}


def blocks(samples: Mapping[Key, Sample], scores: pd.DataFrame) -> list[ScoreBlock]:
    """One block per fraction and budget with at least two methods. Normalised as (score − constant) / (reference −
    constant), per task and budget, the reference being the method that trains most parameters, at the largest fraction.

    The reference's mean is taken as a fixed number: its own noise stretches a task's scale and cannot change who is
    ahead on it.
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
            made.append(_block(fraction, budget, have, scales))
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


def _block(fraction: float, budget: str, have: dict[str, dict[str, Sample]], scales: dict[Any, Any]) -> ScoreBlock:
    every = {task for tasks in have.values() for task in tasks}
    common = sorted(task for task in every if all(task in tasks for tasks in have.values()))
    flat = [task for task in common if scales[task, budget][1] - scales[task, budget][0] < LEAST_ABOVE]
    tasks = [task for task in common if task not in flat]
    lists = [set(have[method][task].seeds.tolist()) for method in have for task in tasks]
    seeds = sorted(set.intersection(*lists)) if lists else []
    why = [f"left out, as some method lacks them: {', '.join(sorted(every - set(common)))}"] * (
        len(common) < len(every)
    )
    why += [f"left out, as the reference is less than {LEAST_ABOVE:g} above a constant: {', '.join(flat)}"] * bool(flat)
    if not tasks or not seeds:
        why.append("no task in common" if not tasks else "no seed in common")
        return ScoreBlock(fraction, budget, {}, {}, tasks, len(seeds), "", "; ".join(why))
    raw, scores = {}, {}
    for method, by_task in have.items():
        columns = [by_task[task] for task in tasks]
        raw[method] = np.stack([one.entered[np.isin(one.seeds, seeds)] for one in columns], axis=1)
        low = np.array([scales[task, budget][0] for task in tasks])
        high = np.array([scales[task, budget][1] for task in tasks])
        scores[method] = (raw[method] - low) / (high - low)
    crossed = design(np.array(seeds, dtype=np.int64)).crossed
    why += ["crossed seeds: no interval"] * crossed
    references = sorted({scales[task, budget][2] for task in tasks})
    gains = ", ".join(f"{task} +{scales[task, budget][1] - scales[task, budget][0]:.3f}" for task in tasks)
    return ScoreBlock(
        fraction, budget, scores, raw, tasks, len(seeds), " or ".join(references), "; ".join(why), crossed, gains
    )


def aggregate(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × method: the interquartile mean of normalised scores over all runs of all common tasks.

    Columns: fraction, budget, budget_label, tasks, seeds, scale, why, method, iqm, low, high, interval. With one task
    or one seed there is no row of a method, only the reason.
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if not block.enough:
            made.append(block.head | {"why": _few(block)})
            continue
        for method, scores in block.scores.items():
            value = float(iqm_all(scores))
            one = _without(value, block) or interval(value, iqm_all(_draws(block, method)), block.seeds, "IQM")
            made.append(block.head | {"method": method, "iqm": one.value, "low": one.low, "high": one.high})
            made[-1]["interval"] = one.method
    return pd.DataFrame(made)


def _without(value: float, block: ScoreBlock) -> Estimate | None:
    """The value alone where no interval can be had of these seeds."""
    return Estimate(value, math.nan, math.nan, block.seeds, "crossed seeds: no interval") if block.crossed else None


def _few(block: ScoreBlock) -> str:
    said = f"needs two tasks and two seeds that all methods have; {len(block.tasks)} and {block.seeds} are there"
    return "; ".join(filter(None, [said, block.why]))


def _draws(block: ScoreBlock, method: str) -> np.ndarray:
    scores = block.scores[method]
    rng = generator("aggregate", block.fraction, block.budget, method)
    return expand(within_tasks(scores, rng), scores)


def improvements(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × two methods: probability that a run of `a` beats one of `b` on a task drawn at random.

    Columns: as `aggregate`, with a, b, probability, low, high.
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if not block.enough:
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
        if not block.enough:
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
                made.append(block.head | {"method": method, "level": float(at)} | ends)
    return pd.DataFrame(made)


def critical(found: list[ScoreBlock]) -> pd.DataFrame:
    """One row per block × method: mean rank over tasks and the critical difference; below 5 tasks a row that says so.

    Columns: as `aggregate`, with method, rank (1 is best), difference (two mean ranks further apart differ at 5 %), p
    (of no difference between any, Iman and Davenport), group (methods that it does not tell apart share a letter).
    """
    made: list[dict[str, Any]] = []
    for block in found:
        if len(block.tasks) < ranks.LEAST:
            why = f"ranks over tasks need at least {ranks.LEAST} tasks; {len(block.tasks)} are there"
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
