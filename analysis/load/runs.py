"""One row per trial, ready for analysis: how it ended, the score that enters, and its hyperparameters in words."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.load.frames import finite, records
from finebench.analysis.load.read import Results
from finebench.analysis.statistics.design import CROSSED, level_of
from finebench.bench.metrics import NEGATIVE
from finebench.bench.results.within import outside_note
from finebench.bench.util.errors import ResultsError

CELL = ["task", "fraction", "budget", "method"]
"""What is compared with what: a cell is one value of each."""

OUTSIDE = "outside"

RESULT = ("ok", "diverged")
"""Statuses that are results. A diverged run is one: the method did that."""

FAILED = ("oom", "timeout", "error")
"""Statuses that say nothing of the method's score: counted and listed, never averaged."""

TOLERANCE = 1e-9
"""Scores nearer than this to the constant predictor's are no better than it."""


def runs(results: Results) -> pd.DataFrame:
    """`results.trials` with the columns that every table rests on.

    is_result, is_failed: by status; a pruned row is neither.
    constant: score of the best constant predictor (0 where the row has none, as of correlations, which are undefined).
    constant_output: it predicted one constant for every example, or its metric is undefined (infinite counts as that).
    entered: the score that enters the analysis: where the run diverged or has constant output `constant`, or its own
    where that is lower (one on the wrong class earns no more than it scored), else `score`; NaN for non-results.
    collapsed: a result that diverged, has constant output, or scored no better than `constant`.
    configuration: canonical JSON of the hyperparameters; setting: those that the study varied, in words; variant: the
    same without lr; budget_label: the budget in words.

    Rows that the study no longer contains are left out; `attrs[OUTSIDE]` counts them by cell. Raises ResultsError where
    that leaves none, where two results are of one configuration and seed, and where a metric that is the negative of an
    error has no constant predictor's score: 0, the best there is of it, cannot stand for one.
    """
    part = results.part
    if part.trials.empty:
        raise ResultsError(f"{results.uri}: {outside_note(sum(part.outside.values()))}; nothing is left to report")
    frame = finite(part.trials)
    if part.unknown is not None:
        frame = of_study(frame, results.study.get("seeds"))
    frame["is_result"] = frame["status"].isin(RESULT)
    frame["is_failed"] = frame["status"].isin(FAILED)
    _refuse_errors_without_constant(frame, results.uri)
    frame["constant"] = frame["majority_score"].astype("float64").fillna(0.0)
    score = frame["score"].astype("float64")
    diverged = frame["status"].eq("diverged")
    no_better = frame["is_result"] & (diverged | score.isna() | (score <= frame["constant"] + TOLERANCE))
    frame["constant_output"] = _constant_output(results, frame, no_better & ~diverged)
    replaced = diverged | frame["constant_output"]
    frame["entered"] = np.where(replaced, np.fmin(frame["constant"], score), score)
    frame.loc[~frame["is_result"], "entered"] = math.nan
    frame["collapsed"] = no_better
    frame["budget_label"] = frame["budget"].map(_each(budget_label, frame["budget"]))
    frame = _describe(frame)
    _refuse_twins(frame, results.uri)
    if part.outside:
        frame.attrs[OUTSIDE] = [[*key, count] for key, count in part.outside.items()]  # attrs are written as JSON
    return frame


def _refuse_errors_without_constant(frame: pd.DataFrame, uri: str) -> None:
    lacking = frame[frame["majority_score"].isna() & frame["metric"].str.startswith(NEGATIVE)]
    if len(lacking):
        raise ResultsError(
            f"{uri}: trial {lacking['trial_id'].iloc[0]} has no majority_score, and of {lacking['metric'].iloc[0]} "
            "nothing else can stand for a constant predictor's score"
        )


def of_study(trials: pd.DataFrame, seeds: Any) -> pd.DataFrame:
    """Where no more is known of a study than its seeds: without grid runs whose seeds cannot stand beside the study's.

    Those are crossed ones in a study of plain seeds, and in one of crossed seeds those outside of its levels. At all of
    the data the subset is nothing, and a crossing has it as 1.
    """
    frame = trials.copy()
    grid = frame["stage"].eq("grid")
    if isinstance(seeds, int | list) or (isinstance(seeds, Mapping) and "until" in seeds):
        return frame[~(grid & frame["seed"].ge(CROSSED))] if _beyond(set(frame.loc[grid, "seed"])) else frame
    if not isinstance(seeds, Mapping):
        return frame
    most = [int(seeds.get(source) or 1) for source in ("init", "order", "subset")]
    whole = {int(seed) for seed in frame.loc[grid & frame["fraction"].eq(1.0), "seed"]}
    if any(level_of(seed)[2] > 1 for seed in whole if seed >= CROSSED):
        whole = set()  # made by hand: a harness does not cross the subset of all the data
    codes = [
        _in_crossing(int(seed), share == 1.0 and int(seed) in whole, most)
        for seed, share in zip(frame["seed"], frame["fraction"], strict=True)
    ]
    frame["seed"] = [
        old if code is None or not mine else code for old, code, mine in zip(frame["seed"], codes, grid, strict=True)
    ]
    return frame[~grid | pd.Series([code is not None for code in codes], frame.index)]


def _beyond(seeds: set[int]) -> bool:
    """Whether some plain seed is no combination of the crossed ones' levels: then they are of two studies."""
    levels = [level_of(int(seed)) for seed in seeds if seed >= CROSSED]
    tops = [top for top in (max(column) for column in zip(*levels, strict=True)) if top > 1]
    return bool(levels) and max((seed for seed in seeds if seed < CROSSED), default=0) > min(tops)


def _in_crossing(seed: int, whole: bool, most: list[int]) -> int | None:
    """The code by which a crossing knows a run, of the `whole` of the data or not; None outside of its levels."""
    init, order, subset = level_of(seed)
    subset = 1 if whole else subset
    if any(level > top for level, top in zip((init, order, subset), most, strict=True)):
        return None
    return init if init == order == subset else init * CROSSED + order * 1000 + subset


TOLD_APART = ("model", "versions", "git_commit", "batch_size", "precision", "n_fit", "n_select", "device")
"""Columns that may say why two trials of one configuration and seed are two."""


def _refuse_twins(frame: pd.DataFrame, uri: str) -> None:
    """Two results of one configuration and seed are of two models, versions or settings: a mean of both is of
    neither."""
    keys = [*CELL, "configuration", "seed", "stage"]
    results = frame[frame["is_result"]]
    twins = results[results.duplicated(keys, keep=False)]
    if twins.empty:
        return
    first, second = records(twins.sort_values([*keys, "finished_at"]).head(2))
    differ = [
        f"{name} {first[name]} and {second[name]}" for name in TOLD_APART if str(first[name]) != str(second[name])
    ]
    where = f"{first['method']} on {first['task']}, {first['setting']}, seed {first['seed']}"
    raise ResultsError(
        f"{uri}: {len(twins)} results share configuration and seed with another one, so that a mean would mix them: "
        f"trials {first['trial_id']} and {second['trial_id']} ({where}) differ in "
        f"{', '.join(differ) or 'training options'}. Move the files of one kind out of trials/, or give each a folder"
    )


def _constant_output(results: Results, frame: pd.DataFrame, candidates: pd.Series) -> pd.Series:
    """Of the candidate rows, those whose metric is undefined or whose predictions are all the same."""
    undefined = candidates & frame["score"].isna()
    ids = frame.loc[candidates & ~undefined, "trial_id"].tolist()
    if not ids:
        return undefined
    constant: set[str] = set()
    for part in results.predictions(["trial_id", "prediction"], ids):
        ends = part.groupby("trial_id")["prediction"].agg(["min", "max"])
        constant.update(ends.index[ends["min"] == ends["max"]])
    return undefined | (candidates & frame["trial_id"].isin(constant))


def _each(function: Any, values: Iterable[str]) -> dict[str, Any]:
    """`function` of each distinct value: a study has few settings and many rows."""
    return {value: function(value) for value in set(values)}


def _describe(frame: pd.DataFrame) -> pd.DataFrame:
    parsed = _each(json.loads, frame["hyperparameters"])
    canonical = {text: json.dumps(value, sort_keys=True) for text, value in parsed.items()}
    frame["configuration"] = frame["hyperparameters"].map(canonical)
    setting: dict[tuple[str, str], str] = {}
    variant: dict[tuple[str, str], str] = {}
    for name, rows in frame.groupby("method", sort=False):
        texts = rows["hyperparameters"].unique()
        keys = varied([parsed[text] for text in texts])
        for text in texts:
            setting[str(name), text] = words(parsed[text], ["lr", *keys])
            variant[str(name), text] = words(parsed[text], keys)
    pairs = list(zip(frame["method"], frame["hyperparameters"], strict=True))
    frame["setting"] = [setting[pair] for pair in pairs]
    frame["variant"] = [variant[pair] for pair in pairs]
    return frame


def varied(points: Iterable[Mapping[str, Any]]) -> list[str]:
    """Hyperparameters other than lr of which more than one value was tried, sorted."""
    seen: dict[str, set[str]] = {}
    for point in points:
        for key, value in point.items():
            seen.setdefault(key, set()).add(json.dumps(value, sort_keys=True))
    return sorted(key for key, values in seen.items() if len(values) > 1 and key != "lr")


def words(point: Mapping[str, Any], keys: Iterable[str]) -> str:
    """Hyperparameters in words, e.g. "lr 0.0003, variant houlsby"."""
    return ", ".join(f"{key} {_value(point[key])}" for key in keys if key in point)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def budget_label(budget: str) -> str:
    """A budget in words, e.g. "3 epochs, at least 200 steps"; the text itself where it is not a JSON object."""
    try:
        raw = json.loads(budget)
    except ValueError:
        return budget
    if not isinstance(raw, dict):
        return budget
    return ", ".join(_amount(str(unit), amount) for unit, amount in raw.items())


def _amount(unit: str, amount: object) -> str:
    if not isinstance(amount, int | float):
        return f"{unit} {json.dumps(amount)}"
    if unit == "min_steps":
        return f"at least {amount:,g} steps"
    return f"{amount:,g} {_unit(unit, amount)}"


def _unit(unit: str, amount: float) -> str:
    if unit == "flops":
        return "FLOPs"
    return unit.removesuffix("s") if amount == 1 else unit
