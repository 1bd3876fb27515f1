"""What the variance is made of: each source of randomness that the study varied, and its share."""

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.load.expected import Key
from finebench.analysis.load.frames import groups
from finebench.analysis.load.rng import generator
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.scores.selected_configuration import CHOOSING
from finebench.analysis.statistics.design import CROSSED, INCOMPLETE, SOURCES, level_of
from finebench.analysis.statistics.sample import Sample
from finebench.analysis.statistics.shares import VarianceShare, shares

TOGETHER = (
    "a seed sets head initialisation, data order and subset at once, which cannot be told apart; cross them in seeds"
)

Axes = list[tuple[str, list[Any]]]


def sources(runs: pd.DataFrame, samples: Mapping[Key, Sample]) -> pd.DataFrame:
    """Variance components: within each method over what was tried, and between methods at their chosen configurations.

    Columns: task, fraction, budget, budget_label, scope (within a method | between methods), method (missing between
    methods), source, variance, low, high (of the variance), sd, share, share_low, share_high, df, negative (estimated
    below 0, given as 0), levels, runs, why. Where nothing can be estimated, one row with `why` and no source. Levels of
    a grid or of methods are taken as draws: their share is that of choosing one of them blindly.
    """
    made: list[dict[str, Any]] = []
    tried = runs[runs["stage"].isin(CHOOSING) & (runs["status"] != "pruned")]
    for key, rows in groups(tried, CELL).items():
        only_lr = rows["variant"].nunique() == 1
        label = "learning rate" if only_lr else "configuration"
        table = rows[rows["is_result"]].pivot_table(index="configuration", columns="seed", values="entered")
        made += _scope(key, "within a method", key[3], label, table)
    places: dict[Any, dict[str, pd.Series]] = {}
    for key in sorted(samples):
        sample = samples[key]
        places.setdefault(key[:3], {})[key[3]] = pd.Series(sample.entered, index=sample.seeds)
    for place, columns in places.items():
        made += _scope((*place, ""), "between methods", None, "method", pd.DataFrame(columns).T)
    return pd.DataFrame(made)


def _scope(key: Key, scope: str, method: str | None, label: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows for one table of scores, configurations by seeds."""
    head: dict[str, Any] = dict(zip(CELL[:3], key[:3], strict=True)) | {"budget_label": budget_label(key[2])}
    head |= {"scope": scope, "method": method}
    scores, axes, note = _block(table, label)
    if scores is None:
        return [head | {"why": note}]
    if not np.ptp(scores) > 0:
        return [head | {"why": "every run scored the same"}]
    levels = ", ".join(f"{len(values)} × {name}" for name, values in axes)
    if len(axes) == 1:
        note = "; ".join(filter(None, ["nothing else varied, so no share", note]))
    found = shares(scores, generator("sources", scope, *key))
    return [head | _row(one, axes) | {"levels": levels, "runs": scores.size, "why": note} for one in found]


def _row(one: VarianceShare, axes: Axes) -> dict[str, Any]:
    name = " × ".join(axes[axis][0] for axis in one.term)
    if len(one.term) == len(axes):
        name += " and what is left" if len(axes) > 1 else ""
    made = {"source": name, "variance": one.variance, "low": one.low, "high": one.high, "sd": float(one.variance**0.5)}
    if len(axes) > 1:  # of a single source 100 % by construction, which tells nothing
        made |= {"share": one.share, "share_low": one.share_low, "share_high": one.share_high}
    return made | {"df": one.df, "negative": one.negative}


def _block(table: pd.DataFrame, label: str) -> tuple[np.ndarray | None, Axes, str]:
    """The largest complete block of the table as one axis per factor with at least two levels, or why there is none."""
    if table.empty:
        return None, [], "no finished run"
    counted = table.notna().sum(axis=1)
    fullest = table[counted == counted.max()]
    seeds = [seed for seed in table.columns if fullest[seed].notna().all()]
    whole = table.loc[table[seeds].notna().all(axis=1), seeds] if seeds else table.iloc[:0]
    dropped = len(table) - len(whole)
    axes, note = _seed_axes([int(str(seed)) for seed in seeds])
    if axes is None:
        return None, [], note
    cells = list(product(*(values for _, values in axes)))
    order = [_code(cell, axes, seeds) for cell in cells]
    scores = whole[order].to_numpy(dtype=np.float64).reshape(len(whole), *(len(values) for _, values in axes))
    axes = [(label, list(whole.index)), *axes]
    kept = [(name, values) for name, values in axes if len(values) > 1]
    if not kept:
        return None, [], "one configuration and one seed: nothing varied"
    if dropped:
        note = "; ".join(filter(None, [note, f"{dropped} configurations left out, whose seeds are not all there"]))
    return scores.reshape([len(values) for _, values in kept]), kept, note


def _seed_axes(seeds: list[int]) -> tuple[Axes | None, str]:
    """The factors that the seeds vary; None with the reason where crossed seeds are not all there."""
    if not seeds:
        return None, "no seed that every configuration has"
    if max(seeds) < CROSSED:
        return [("seed", sorted(seeds))], TOGETHER if len(seeds) > 1 else "one seed"
    parts = [level_of(seed) for seed in seeds]
    axes: Axes = [(name, sorted({part[i] for part in parts})) for i, name in enumerate(SOURCES)]
    planned = int(np.prod([len(values) for _, values in axes]))
    if planned != len(seeds):
        return None, INCOMPLETE.format(there=len(seeds), planned=planned)
    single = [name for name, values in axes if len(values) == 1]
    return axes, f"not varied: {', '.join(single)}" if single else ""


def _code(cell: tuple[Any, ...], axes: Axes, seeds: list[Any]) -> Any:
    """The column that holds a combination of the seed factors."""
    if len(axes) == 1:
        return cell[0]
    return next(seed for seed in seeds if level_of(int(seed)) == cell)
