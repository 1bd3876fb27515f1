"""Which rows the plan still asks for, of those that the study contains: no more of a cell and stage than are planned.

plan.json counts trials by cell and stage; which ones are part of the study, `analysis.load.part` has told by then.
"""

import pandas as pd

from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.frames import groups
from finebench.analysis.load.runs import CELL
from finebench.analysis.scores.selected_configuration import CHOOSING


def asked(runs: pd.DataFrame, expected: Expectation) -> pd.Series:
    """Of each row of `runs`, whether the plan asks for it; all, where the folder has no plan."""
    if not expected.known:
        return pd.Series(True, runs.index)
    made = pd.Series(False, runs.index)
    confirm = runs["stage"].where(runs["stage"].eq("confirm"), "choosing")
    for (*cell, part), rows in groups(runs.assign(part=confirm), [*CELL, "part"]).items():
        key = (cell[0], cell[1], cell[2], cell[3])
        stages = ("confirm",) if part == "confirm" else CHOOSING
        most = sum(expected.trials(key, stage) or 0 for stage in stages)
        kept = rows.sort_values(["is_result", "seed"], ascending=[False, True]).head(most)
        made[kept.index] = True
    return made
