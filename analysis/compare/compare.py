"""Two results folders, cell by cell: what changed in scores and costs, what differs in how they were made.

Cells are matched by task, fraction, budget and method; in each, A's and B's chosen configurations are compared. Every
difference is B less A, every ratio B over A.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.compare.settings import settings
from finebench.analysis.load.cost_columns import device
from finebench.analysis.load.expected import Key
from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.ranges import within_range
from finebench.analysis.load.read import Results, load_results
from finebench.analysis.load.runs import CELL, budget_label, runs
from finebench.analysis.scores.samples import Sample, Samples
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.holm import holm
from finebench.analysis.statistics.mean import mean_t
from finebench.analysis.statistics.paired import difference, paired_p
from finebench.analysis.statistics.ratio import paired_ratio
from finebench.analysis.statistics.sample import pair
from finebench.analysis.statistics.welch import mean_difference

COMPARED = ("train_seconds", "peak_memory_bytes", "train_flops", "energy_joules", "eval_seconds", "startup_seconds")
"""Costs compared as ratios, on runs alone on their device."""

ALPHA = 0.05
FEWEST = 6
"""Pairs (or seeds on a side, where nothing pairs) below which no change is called; the rule of the claims' verdicts."""

OTHER_SPLIT = "not scored on the same examples"


@dataclass(frozen=True)
class Side:
    """One of the two folders."""

    results: Results
    runs: pd.DataFrame
    samples: Samples


@dataclass(frozen=True)
class Comparison:
    """The frames of a comparison, and the number of trials that both folders hold and of those that are bit-equal."""

    a: str
    b: str
    frames: dict[str, pd.DataFrame]
    methods: tuple[str, ...]
    common_trials: int
    equal_trials: int


def compare(a: str | Results, b: str | Results) -> Comparison:
    """Compare two results folders (local paths, URIs, or as they were loaded); raises ResultsError where one cannot be
    read."""
    left, right = _side(a), _side(b)
    common, differing = _again(left.runs, right.runs)
    changes = _changes(left, right)
    frames = {
        "changes": changes,
        "cost_changes": _costs(left.runs, right.runs, CELL),
        "method_costs": _costs(left.runs, right.runs, ["method"]),
        "reproduced": differing,
        "only": _only(left.samples, right.samples),
        "settings": settings(left.results, left.runs, right.results, right.runs),
    }
    methods = tuple(dict.fromkeys([*left.runs["method"], *right.runs["method"]]))
    return Comparison(left.results.uri, right.results.uri, frames, methods, common, common - len(differing))


def _side(given: str | Results) -> Side:
    results = load_results(given) if isinstance(given, str) else given
    table = runs(results)
    return Side(results, table, Samples(results, table))


def _changes(left: Side, right: Side) -> pd.DataFrame:
    """One row per cell that both have: both means (where runs pair, over common seeds), the difference with interval
    and p-value, and how it was made.
    """
    keys = [key for key in left.samples if key in right.samples]
    made = [_change(key, left.samples, right.samples) for key in keys]
    if not made:
        return pd.DataFrame()
    frame = pd.DataFrame(made)
    frame["p_holm"] = holm(frame["p"].to_numpy(dtype="float64"))
    frame["change"] = [_word(row) for row in records(frame)]
    return within_range("changes", frame.sort_values(CELL, ignore_index=True))


def _change(key: Key, left: Samples, right: Samples) -> dict[str, Any]:
    a, b = left[key], right[key]
    found, p, how = _difference(b, a)
    settings = {"setting_a": left.rows(key)["setting"].iloc[0], "setting_b": right.rows(key)["setting"].iloc[0]}
    paired = how.startswith("paired")
    means = {f"score_{side}": _mean(one, other if paired else one) for side, one, other in (("a", a, b), ("b", b, a))}
    counts = {"seeds_a": a.seeds.size, "seeds_b": b.seeds.size, "pairs": found.n if paired else 0}
    same = a.configuration == b.configuration
    ends = {"difference": found.value, "low": found.low, "high": found.high, "p": p}
    head = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2]), "metric": a.metric}
    why = [] if same else ["another configuration was chosen"]
    why += [f"scored by {a.metric} and by {b.metric}"] if a.metric != b.metric else []
    why += [] if found.has_interval else [found.method]
    return head | means | ends | counts | settings | {"same_configuration": same, "how": how, "why": "; ".join(why)}


def _mean(one: Sample, other: Sample) -> float:
    """Over the seeds that both have, so that the difference of two means is the one beside them."""
    return mean_t(one.entered[np.isin(one.seeds, other.seeds)]).value


def _difference(b: Sample, a: Sample) -> tuple[Estimate, float, str]:
    """B less A with its p-value, and how it was made: paired where seeds are common and the score split is one."""
    if a.metric != b.metric:
        return Estimate(np.nan, np.nan, np.nan, 0, "no difference of two metrics"), np.nan, "not comparable"
    pairs = pair(b, a)
    if pairs.seeds.size == 0:
        return *_unpaired(b, a), "unpaired: no seed in common"
    if pairs.why == OTHER_SPLIT:
        return *_unpaired(b, a), "unpaired: other score split"
    how = "paired by seed and example" if pairs.scored.n_examples else f"paired by seed ({pairs.why})"
    return difference(pairs), np.nan if pairs.design.few else paired_p(pairs), how


def _unpaired(b: Sample, a: Sample) -> tuple[Estimate, float]:
    if a.scored.of.crossed or b.scored.of.crossed:
        value = float(b.entered.mean() - a.entered.mean())
        return Estimate(
            value, np.nan, np.nan, a.seeds.size + b.seeds.size, "crossed seeds that do not pair: no interval"
        ), np.nan
    return mean_difference(b.entered, a.entered)


def _word(row: dict[str, Any]) -> str:
    if row["difference"] == 0 and row["how"].startswith("paired") and np.isnan(row["p"]):
        return "identical"
    if (row["pairs"] or min(row["seeds_a"], row["seeds_b"])) < FEWEST:
        return "too few seeds"
    if np.isnan(row["p_holm"]):
        return "not judged"
    if row["p_holm"] >= ALPHA:
        return "no change shown"
    return "higher" if row["difference"] > 0 else "lower"


def _costs(left: pd.DataFrame, right: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """One row per group and pair of kinds of device: each cost's ratio B / A over runs of the same cell, configuration
    and seed, alone on both."""
    keys = [*CELL, "configuration", "seed"]
    mine = [_alone(frame).drop_duplicates(keys)[[*keys, *COMPARED, "device"]] for frame in (left, right)]
    mine = [frame.assign(device=device(frame)) for frame in mine]
    sides = ["device_a", "device_b"]
    both = mine[0].merge(mine[1], on=keys, suffixes=("_a", "_b"))
    made = []
    for key, rows in groups(both, [*by, *sides]).items():
        named = dict(zip([*by, *sides], key, strict=True))
        head = {name: named[name] for name in by} | {"pairs": len(rows)}
        head |= {"budget_label": budget_label(head["budget"])} if "budget" in head else {}
        made.append(head | dict(_ratios(rows)) | {side: named[side] for side in sides})
    return pd.DataFrame(made)


def _alone(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["status"].eq("ok") & frame["exclusive"].eq(True)]


def _ratios(rows: pd.DataFrame) -> Iterator[tuple[str, float]]:
    for cost in COMPARED:
        a, b = (rows[f"{cost}_{side}"].to_numpy(dtype="float64") for side in "ab")
        found = paired_ratio(b, a, seeds=_seeds(rows))
        yield from ((cost, found.value), (f"{cost}_low", found.low), (f"{cost}_high", found.high))


def _seeds(rows: pd.DataFrame) -> "np.ndarray | None":
    """The seeds of pairs that are one a seed; None where several cells or configurations share them."""
    seeds = rows["seed"].to_numpy(dtype=np.int64)
    return seeds if len(set(seeds)) == len(seeds) else None


def _again(left: pd.DataFrame, right: pd.DataFrame) -> tuple[int, pd.DataFrame]:
    """Results of one trial_id in both folders: how many, and those whose score is not bit-equal."""
    shown = [*CELL, "budget_label", "setting", "seed", "stage", "trial_id"]
    ends = ["score", "device", "git_commit", "hostname"]
    mine = left.loc[left["is_result"], [*shown, *ends]]
    other = right.loc[right["is_result"], ["trial_id", *ends]]
    both = mine.merge(other, on="trial_id", suffixes=("_a", "_b"))
    a, b = both["score_a"].to_numpy(dtype="float64"), both["score_b"].to_numpy(dtype="float64")
    equal = (a == b) | (np.isnan(a) & np.isnan(b))
    return len(both), both[~equal].assign(difference=(b - a)[~equal]).reset_index(drop=True)


def _only(left: Samples, right: Samples) -> pd.DataFrame:
    """Cells that one folder alone has a result of."""
    made = []
    for where, mine, other in (("A", left, right), ("B", right, left)):
        for key in mine:
            if key not in other:
                head = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2])}
                made.append(head | {"only": where, "seeds": mine[key].seeds.size})
    return pd.DataFrame(made, columns=pd.Index([*CELL, "budget_label", "only", "seeds"]))
