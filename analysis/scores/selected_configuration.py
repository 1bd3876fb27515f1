"""The configuration of each cell, chosen on `select` alone, by the harness's own rule (`bench.study.selection`)."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.load.frames import groups
from finebench.analysis.load.runs import CELL
from finebench.analysis.statistics.reselect import Choice
from finebench.analysis.statistics.sample import Sample
from finebench.bench.study.selection import Scored, Selection, by_configuration, select

CHOOSING = ("grid", "search")
"""Stages that a choice may rest on; `confirm` is kept out of it."""

CHOSEN = ("configuration", "select_mean", "select_n", "configurations", "runners", "left_out")


def choose(runs: pd.DataFrame, by: Sequence[str] = CELL) -> pd.DataFrame:
    """The chosen configuration of each group (default: each cell).

    Columns: the group's, configuration, select_mean and select_n (its mean select score over the seeds that all
    compared configurations have, and their number), configurations (how many had a finished seed), runners (how many
    were compared) and left_out (which were not, and which seeds, in words; empty where nothing was).
    """
    made = []
    for key, rows in groups(runs[runs["stage"].isin(CHOOSING)], by).items():
        found = selection(rows)
        if found is not None:
            made.append(dict(zip(by, key, strict=True)) | _row(found, rows))
    return pd.DataFrame(made, columns=pd.Index([*by, *CHOSEN]))


def selection(rows: pd.DataFrame) -> Selection | None:
    """The choice among rows of one group."""
    columns = (rows[name] for name in ("configuration", "seed", "status", "select_score"))
    return select(by_configuration(Scored(*row) for row in zip(*columns, strict=True)))


def _row(found: Selection, rows: pd.DataFrame) -> dict[str, Any]:
    finished = len(found.compared) + sum(1 for n in found.left_out.values() if n)
    made = {"configuration": found.configuration, "select_mean": found.mean, "select_n": len(found.seeds)}
    return made | {"configurations": finished, "runners": len(found.compared), "left_out": _left(found, rows)}


def _left(found: Selection, rows: pd.DataFrame) -> str:
    """What the choice did not look at, in words."""
    setting = dict(zip(rows["configuration"], rows["setting"], strict=True))
    said = []
    results = rows[rows["is_result"]]
    unused = sorted(set(results.loc[results["configuration"].isin(found.compared), "seed"]) - set(found.seeds))
    if unused:
        said.append(f"chosen on {len(found.seeds)} seeds that all have, without {', '.join(map(str, unused))}")
    some = [f"{setting[name] or 'one configuration'} ({n} seeds)" for name, n in found.left_out.items() if n]
    if some:
        said.append(f"not compared, for want of seeds that the others have: {', '.join(some)}")
    return "; ".join(said)


def rivals(runs: pd.DataFrame, chosen: Sample) -> Choice | None:
    """The configurations of one cell among which `chosen` was chosen, on its seeds; None where it had no rival.

    A seed that one of them lacks stands at what its own mean and the chosen one's effect of that seed make: the choice
    is to be repeated on all seeds that scored.
    """
    mine = runs[runs["stage"].isin(CHOOSING) & runs["is_result"] & runs["seed"].isin(chosen.seeds)]
    found = selection(mine)
    if found is None or len(found.compared) < 2 or chosen.configuration not in found.compared:
        return None
    at = found.compared.index(chosen.configuration)
    select_scores, entered = (_table(mine, column, found, chosen, at) for column in ("select_score", "entered"))
    return Choice(select_scores, entered, at)


def _table(rows: pd.DataFrame, column: str, found: Selection, chosen: Sample, at: int) -> np.ndarray:
    """Scores [C, S] of the compared configurations on the chosen one's seeds, holes filled."""
    wide = rows.pivot_table(index="configuration", columns="seed", values=column)
    made = wide.reindex(index=list(found.compared), columns=chosen.seeds).to_numpy(dtype=np.float64)
    common = np.isin(chosen.seeds, found.seeds)
    own = np.where(np.isnan(made[at]), made[at][common].mean(), made[at])
    effect = own - own[common].mean()
    filled: np.ndarray = np.where(np.isnan(made), made[:, common].mean(axis=1, keepdims=True) + effect, made)
    return filled
