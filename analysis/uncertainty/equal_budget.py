"""Equal-budget comparison: what each method scores as it comes, tuned, with as many tries as the one given fewest."""

import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import pandas as pd

from finebench.analysis.load.cost_columns import occupied
from finebench.analysis.load.expected import Key
from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.scores.samples import bare
from finebench.analysis.scores.selected_configuration import CHOOSING
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.mean import mean_t
from finebench.analysis.statistics.paired import paired_difference
from finebench.analysis.statistics.sample import Sample
from finebench.bench.methods import methods

UNKNOWN = "not known: the default is not among what was tried; it is run where the study sets confirm_seeds"
NOT_RERUN = "not known: the study sets confirm_default to false"


def tuning(
    runs: pd.DataFrame,
    scores: pd.DataFrame,
    best_of: pd.DataFrame,
    samples: Mapping[Key, Sample],
    study: Mapping[str, Any],
) -> pd.DataFrame:
    """One row per scored cell; `study` is the stored one, which says whether a confirm stage ran the defaults.

    Columns: the cell's, budget_label, metric; default, default_low, default_high, default_n and default_note; tuned,
    low, high, n; gain (tuned − default, by seed) with gain_low and gain_high; k (fewest configurations of any method
    here) and best_of_k (from `best_of`; missing where that refuses), best_of_note; configurations, trials and
    train_seconds spent on choosing; lr, edge (lowest or highest lr tried, else empty) and reused (the seeds that chose
    also scored).
    """
    parts = groups(runs, CELL)
    scored = scores[scores["n"] > 0]
    fewest = scored.groupby(["task", "fraction", "budget"])["configurations"].min()
    rerun, made = _default_rerun(study), []
    for row in records(scored):
        key = (row["task"], row["fraction"], row["budget"], row["method"])
        k = int(fewest.loc[key[:3]])
        made.append(_row(key, row, parts[key], samples.get(key), rerun) | {"k": k} | _best_of(best_of, key, k))
    return pd.DataFrame(made)


def _default_rerun(study: Mapping[str, Any]) -> bool:
    search = study.get("search")
    kinds = search.values() if isinstance(search, Mapping) else ()
    return all(one.get("confirm_default", True) for one in kinds if isinstance(one, Mapping))


def _row(
    key: Key, row: dict[str, Any], rows: pd.DataFrame, sample: Sample | None, default_rerun: bool
) -> dict[str, Any]:
    tried = rows[rows["stage"].isin(CHOOSING)]
    lrs = sorted(set(tried["lr"].dropna()))
    made: dict[str, Any] = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2])}
    made |= {"metric": row["metric"], "tuned": row["score"]} | {c: row[c] for c in ("low", "high", "n", "lr")}
    made |= _default(key, row, rows, sample, default_rerun)
    learnt = row["n"] > row["collapsed"]  # where every run is collapsed the learning rates tie
    made["edge"] = _edge(row["lr"], lrs) if learnt else ""
    made |= {"configurations": row["configurations"], "trials": len(tried)}
    made["train_seconds"] = float(occupied(rows).loc[tried.index, "train_seconds"].sum())
    return made | {"reused": row["source"] == "same seeds" and row["configurations"] > 1}


def _edge(lr: float, tried: list[float]) -> str:
    if len(tried) < 2 or lr not in (tried[0], tried[-1]):
        return ""
    return "lowest" if lr == tried[0] else "highest"


def _default(
    key: Key, row: dict[str, Any], rows: pd.DataFrame, sample: Sample | None, default_rerun: bool
) -> dict[str, Any]:
    """The default's score: of the confirm stage, the configuration that is not the chosen one; without such a stage, of
    the grid or search, the configuration that is the method's default.
    """
    none = Estimate(math.nan, math.nan, math.nan, 0, "")
    confirm = rows[rows["stage"].eq("confirm") & rows["is_result"]]
    others = confirm[confirm["configuration"] != row["configuration"]]
    gain, made, note = none, none, UNKNOWN if default_rerun else NOT_RERUN
    by_itself = confirm.empty or not default_rerun
    if others["configuration"].nunique() == 1:
        default = bare(others.drop_duplicates("seed").sort_values("seed"))
        made, note = mean_t(default.entered, over=default.scored.of), ""
        if sample is not None:
            gain = paired_difference(sample, default)
    elif (not by_itself and others.empty and row["complete"]) or (
        by_itself and row["configuration"] == default_configuration(key[3])
    ):
        made = Estimate(row["score"], row["low"], row["high"], row["n"], "")
        chosen = "the default was chosen" if row["configurations"] > 1 else "nothing but the default was tried"
        gain, note = Estimate(0.0, math.nan, math.nan, row["n"], ""), chosen
    elif confirm.empty and not (tried := _tried(rows, default_configuration(key[3]))).empty:
        default = bare(tried)
        made, note = mean_t(default.entered, over=default.scored.of), "of the runs that chose"
        if sample is not None:
            gain = paired_difference(sample, default)
    return {
        "default": made.value, "default_low": made.low, "default_high": made.high, "default_n": made.n,
        "default_note": note, "gain": gain.value, "gain_low": gain.low, "gain_high": gain.high,
    }  # fmt: skip


def _tried(rows: pd.DataFrame, configuration: str | None) -> pd.DataFrame:
    """The finished runs of a configuration in the stages that choose, by seed."""
    mine = rows["configuration"].eq(configuration or "") & rows["stage"].isin(CHOOSING) & rows["is_result"]
    return rows[mine].drop_duplicates("seed").sort_values("seed")


@cache
def default_configuration(method: str) -> str | None:
    """The default hyperparameters of a method, written as `runs.configuration` is.

    None where this installation does not know the method, and for members of families: their defaults are not ours.
    """
    known = methods().get(method)
    return None if known is None or method.endswith(":") else json.dumps(known().model_dump(), sort_keys=True)


def _best_of(best_of: pd.DataFrame, key: Key, k: int) -> dict[str, Any]:
    if best_of.empty:
        return {"best_of_k": math.nan, "best_of_note": "no search"}
    mine = best_of[(best_of[CELL] == pd.Series(key, index=CELL)).all(axis=1)]
    at = mine[mine["tries"] == k]
    if at.empty:
        return {"best_of_k": math.nan, "best_of_note": str(mine["why"].iloc[0]) if len(mine) else "not tuned"}
    return {"best_of_k": float(at["expected"].iloc[0]), "best_of_note": ""}
