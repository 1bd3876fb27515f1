"""Which rows the plan still asks for: a study that is narrowed in its own folder leaves rows there that it does not.

plan.json counts trials by cell and stage. Which seeds and settings of a grid they are, the folder's study.yaml says, as
far as this installation can read it; where not, and in a search, no more rows count than are planned.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.choice import CHOOSING
from analysis.frames import groups
from analysis.planned import Expectation, Key
from analysis.runs import CELL
from bench.errors import InputError
from bench.plan import Plan
from bench.study_file import build_study


def asked(runs: pd.DataFrame, expected: Expectation, study: Mapping[str, Any]) -> pd.Series:
    """Of each row of `runs`, whether the plan asks for it; all, where the folder has no plan."""
    if not expected.known:
        return pd.Series(True, runs.index)
    plan, made = _plan(study), pd.Series(False, runs.index)
    confirm = runs["stage"].where(runs["stage"].eq("confirm"), "choosing")
    for (*cell, part), rows in groups(runs.assign(part=confirm), [*CELL, "part"]).items():
        key = (cell[0], cell[1], cell[2], cell[3])
        stages = ("confirm",) if part == "confirm" else CHOOSING
        most = sum(expected.trials(key, stage) or 0 for stage in stages)
        if plan is not None and part != "confirm" and expected.trials(key, "search") is None:
            rows = rows[_in_grid(plan, key, rows)]
        kept = rows.sort_values(["is_result", "seed"], ascending=[False, True]).head(most)
        made[kept.index] = True
    return made


def _plan(study: Mapping[str, Any]) -> Plan | None:
    """The study, expanded; None where it names what this installation does not have, such as a method of its own."""
    try:
        return Plan(build_study(dict(study), "study.yaml", Path()))
    except InputError:
        return None


def _in_grid(plan: Plan, key: Key, rows: pd.DataFrame) -> pd.Series:
    """Of the rows of one cell, whether seed and hyperparameters are among those of the study's grid."""
    task, fraction, budget, method = key
    cell = next((one for one in plan.cells() if one.key == (task, method, fraction, budget)), None)
    if cell is None:
        return pd.Series(True, rows.index)
    seeds = {one.code for one in plan.seeds(fraction)}
    default = plan.default(cell)
    points = {_told(point, default) for point in plan.points(cell)}
    told = {text: _told(json.loads(text), default) in points for text in set(rows["hyperparameters"])}
    return rows["seed"].isin(seeds) & rows["hyperparameters"].map(told).astype(bool)


def _told(point: Mapping[str, Any], default: Mapping[str, Any]) -> str:
    """A point by what differs from the default: what an older version stored knows no later hyperparameters."""
    return json.dumps({key: value for key, value in point.items() if default.get(key) != value}, sort_keys=True)
