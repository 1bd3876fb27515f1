"""Which trials the numbers of a cell rest on, by id: every number leads to rows of `trials`."""

from typing import Any

import pandas as pd

from finebench.analysis.load.cost_columns import alone, cell, chosen_rows
from finebench.analysis.load.frames import records
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.scores.samples import Samples


def origins(runs: pd.DataFrame, scores: pd.DataFrame, samples: Samples) -> pd.DataFrame:
    """One row per scored cell.

    Columns: the cell's, budget_label, setting, score, stage, n; trials, the trial ids whose mean the score is, in the
    order of their seeds (comparisons, verdicts and aggregates rest on those of their common seeds); cost_trials, those
    that its measured costs come from. Ids stand one after the other, a blank between them.
    """
    costly = chosen_rows(runs, scores)
    made: list[dict[str, Any]] = []
    for row in records(scores[scores["n"] > 0]):
        key = cell(row)
        own = samples.rows((key[0], key[1], key[2], key[3]))
        head: dict[str, Any] = dict(zip(CELL, key, strict=True)) | {"budget_label": budget_label(key[2])}
        head |= {column: row[column] for column in ("setting", "score", "stage", "n")}
        timed: list[str] = sorted(alone(costly[key])["trial_id"]) if key in costly else []
        made.append(head | {"trials": " ".join(own["trial_id"]), "cost_trials": " ".join(timed)})
    return pd.DataFrame(made)
