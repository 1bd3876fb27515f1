"""Scores per cell: the chosen configuration's mean over seeds, with its interval and everything that qualifies it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.load.cost_columns import of_one_kind
from finebench.analysis.load.expected import Expectation, Key, Missing, key_of
from finebench.analysis.load.frames import groups, records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.scores.selected_configuration import CHOOSING, choose
from finebench.analysis.statistics.crossed import crossed_mean
from finebench.analysis.statistics.design import design
from finebench.analysis.statistics.location import iqm, median
from finebench.analysis.statistics.mean import mean_t
from finebench.analysis.statistics.sample import Sample
from finebench.analysis.statistics.spread import extremes, sd

FRESH = "fresh seeds"
SAME = "same seeds"
"""`source` of a score: runs on seeds that chose nothing, or the very runs that the choice was made from."""

COLUMNS = (
    *CELL, "budget_label", "metric", "score", "low", "high", "n", "interval", "sd", "median", "iqm", "min", "max",
    "setting", "configuration", "lr", "select_mean", "select_n", "left_out", "source", "stage", "complete",
    "planned_seeds", "missing", "collapsed", "constant_output", "diverged", "failed", "configurations",
    "configurations_planned", "majority", "train_seconds", "trainable_params", "why",
)  # fmt: skip


def scores(runs: pd.DataFrame, expected: Expectation, samples: Mapping[Key, Sample] | None = None) -> pd.DataFrame:
    """One row per cell that was planned or run, in the order of `CELL`.

    Columns: COLUMNS. score is the mean of what entered, low and high its 95 % interval over seeds and, where there are
    predictions, scored examples (without `samples`: over seeds alone); `interval` says how it was made. collapsed
    (no better than a constant predictor), constant_output, diverged and failed count runs of the chosen configuration;
    train_seconds is the median of its exclusive runs on one kind of device.
    """
    chosen = {key_of(row): row for row in records(choose(runs))}
    parts = groups(runs, CELL)
    keys = sorted(expected.planned_cells() | set(parts))
    made = [_score(key, parts.get(key), chosen.get(key), expected, (samples or {}).get(key)) for key in keys]
    return pd.DataFrame(made, columns=pd.Index(COLUMNS))


def _score(
    key: Key,
    rows: pd.DataFrame | None,
    chosen: dict[str, Any] | None,
    expected: Expectation,
    sample: Sample | None,
) -> dict[str, Any]:
    head: dict[str, Any] = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2])}
    head["configurations_planned"] = expected.configurations(key)
    if rows is None or chosen is None:
        return head | _empty(rows)
    mine = rows[rows["configuration"] == chosen["configuration"]]
    reported, stage = reporting(mine)
    missing = expected.missing(key, stage, set(reported.loc[reported["is_result"], "seed"].astype(int)))
    row = head | summarise(reported, missing)
    row |= {
        column: chosen[column] for column in ("configuration", "select_mean", "select_n", "configurations", "left_out")
    }
    if sample is not None:
        made = crossed_mean(sample.scored)
        row |= {"score": made.value, "low": made.low, "high": made.high, "n": made.n, "interval": made.method}
    row["stage"] = stage
    row["source"] = FRESH if stage == "confirm" else SAME
    fewer = row["configurations_planned"] is not None and row["configurations"] < row["configurations_planned"]
    confirm_due = stage != "confirm" and expected.trials(key, "confirm") is not None
    row["why"] = _why(row, fewer, confirm_due)
    return row


def reporting(rows: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Of one configuration's rows, those that its score is reported from, and their stage: confirm if there is one."""
    confirm = rows[(rows["stage"] == "confirm") & (rows["status"] != "pruned")]
    if not confirm.empty:
        return confirm, "confirm"
    usable = rows[rows["stage"].isin(CHOOSING) & (rows["status"] != "pruned")]
    return usable, str(usable["stage"].iloc[0])


def summarise(rows: pd.DataFrame, missing: Missing) -> dict[str, Any]:
    """The statistics of one configuration's rows; failed ones are counted and never averaged."""
    good = rows[rows["is_result"]]
    entered = good["entered"].to_numpy(dtype="float64")
    estimate, ends = mean_t(entered, over=design(good["seed"].to_numpy(dtype=np.int64))), extremes(entered)
    first = rows.iloc[0]
    _, [[timed]] = of_one_kind([[rows[rows["status"].eq("ok")]]], ["train_seconds"])
    return {
        "metric": first["metric"],
        "score": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "n": estimate.n,
        "interval": estimate.method,
        "sd": sd(entered),
        "median": median(entered),
        "iqm": iqm(entered),
        "min": ends.low,
        "max": ends.high,
        "setting": first["setting"],
        "lr": first["lr"],
        "complete": not missing.any,
        "planned_seeds": missing.planned,
        "missing": str(missing),
        "collapsed": int(good["collapsed"].sum()),
        "constant_output": int(good["constant_output"].sum()),
        "diverged": int(good["status"].eq("diverged").sum()),
        "failed": int(rows["is_failed"].sum()),
        "majority": float(good["constant"].mean()) if len(good) else float("nan"),
        "train_seconds": median(timed["train_seconds"].to_numpy(dtype="float64")),
        "trainable_params": rows["trainable_params"].max(),
    }


def _empty(rows: pd.DataFrame | None) -> dict[str, Any]:
    """A cell without a score: nothing ran yet, or nothing that a choice can be made from."""
    failed = 0 if rows is None else int(rows["is_failed"].sum())
    if rows is None:
        why = "not run yet"
    elif failed == len(rows):
        why = f"every run failed ({failed})"
    else:
        why = "no finished run to choose a configuration from"
    return {
        "metric": None if rows is None else rows["metric"].iloc[0],
        "n": 0,
        "complete": False,
        "collapsed": 0,
        "constant_output": 0,
        "diverged": 0,
        "failed": failed,
        "configurations": 0,
        "why": why,
    }


def _why(row: dict[str, Any], fewer: bool, confirm_due: bool) -> str:
    parts = []
    if not row["complete"]:
        parts.append(f"incomplete: {row['n']} of {row['planned_seeds']} seeds, missing {row['missing']}")
    if fewer:
        parts.append(f"chosen from {row['configurations']} of {row['configurations_planned']} configurations")
    if row["left_out"]:
        parts.append(row["left_out"])
    if confirm_due:
        parts.append("confirm runs not there yet")
    if pd.isna(row["low"]):
        parts.append(row["interval"])
    return "; ".join(parts)
