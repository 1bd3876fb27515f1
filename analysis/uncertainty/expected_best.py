"""Expected best score of n tries, of a random search only: nothing else draws its configurations independently."""

from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.load.cost_columns import of_one_kind
from finebench.analysis.load.frames import groups
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.scores.selected_configuration import CHOOSING
from finebench.analysis.statistics.best_of import expected_best

GRID = "a grid: its configurations were not drawn at random"
UNTOLD = "no study.yaml says how configurations were drawn"


def best_of(runs: pd.DataFrame, study: dict[str, Any]) -> pd.DataFrame:
    """One row per cell × number of tries; for a cell that cannot have it, one row with `why` and no number.

    Columns: the cell's, budget_label, metric, tries, expected (mean score over seeds of the try that `select` prefers),
    train_seconds (of runs alone on one kind of device) and train_flops (of as many average tries), of (tries there
    were), why. No interval: bootstrap ones of a maximum are known to cover too little (Tang et al., 2020).
    """
    made: list[dict[str, Any]] = []
    reason = refusal(study)
    for key, rows in groups(runs[runs["stage"].isin(CHOOSING)], CELL).items():
        head = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2])}
        made += [head | {"metric": rows["metric"].iloc[0]} | row for row in _cell(rows, reason)]
    return pd.DataFrame(made)


def refusal(study: dict[str, Any]) -> str:
    """Why this study's configurations are no independent draws; empty where they are."""
    search = study.get("search")
    if search is None:
        return UNTOLD if not study else GRID
    optuna = search.get("optuna") if isinstance(search, dict) else None
    if not isinstance(optuna, dict):
        return GRID
    sampler = str(optuna.get("sampler", "tpe"))
    return "" if sampler == "random" else f"{sampler}: each try depends on those before it"


def _cell(rows: pd.DataFrame, reason: str) -> list[dict[str, Any]]:
    if not reason and rows["status"].eq("pruned").any():
        reason = "some tries were pruned, which says how they scored"
    if reason:
        return [{"tries": None, "why": reason}]
    good = rows[rows["is_result"]]
    _, [[timed]] = of_one_kind([[good]], ["train_seconds"])
    good = good.assign(train_seconds=timed["train_seconds"].reindex(good.index))
    columns = ["entered", "select_score", "train_seconds", "train_flops"]
    grouped = good.dropna(subset=["entered", "select_score"]).groupby("configuration")
    seeds = grouped["seed"].nunique()
    tries = grouped[columns].mean()[seeds == seeds.max()]
    if tries.empty:
        return [{"tries": None, "why": "no finished try"}]
    holes = int(rows["configuration"].nunique()) - len(tries)
    left = f"{holes} of the tries left out, whose seeds are not all there" if holes else ""
    expected = expected_best(
        tries["select_score"].to_numpy(dtype=np.float64), tries["entered"].to_numpy(dtype=np.float64)
    )
    seconds, flops = float(tries["train_seconds"].mean()), float(tries["train_flops"].mean())
    made = []
    for n, value in enumerate(expected, start=1):
        spent = {"train_seconds": n * seconds, "train_flops": n * flops}
        made.append({"tries": n, "expected": float(value)} | spent | {"of": len(tries), "why": left})
    return made
