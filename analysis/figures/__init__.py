"""The figures, one definition each in a declarative grammar: SVG and PNG files, and the same chart on the page.

A file per idea; each figure is made from one frame of the report, and of one task and budget where scores of different
metrics would otherwise share an axis.
"""

from collections.abc import Sequence

import pandas as pd

from analysis.figures import anytime, cost, learning_rate, scores
from analysis.figures.base import Figure, Look, named, panels, safe_rows, top
from analysis.frames import largest

__all__ = ["Figure", "figures"]


def figures(tables: dict[str, pd.DataFrame], methods: Sequence[str]) -> list[Figure]:
    """All figures that the frames have rows for, in the order of the report."""
    look = Look(tuple(methods), tables["scores"]["budget"].nunique() > 1)
    return [*_scores(tables, look), *_costs(tables, look)]


def _scores(tables: dict[str, pd.DataFrame], look: Look) -> list[Figure]:
    frame = tables["scores"]
    several = frame.groupby(["task", "budget"])["fraction"].nunique().max() > 1
    answer = largest(frame)
    scored = safe_rows(answer[answer["score"].notna()])
    made = [named(scores.overview(scored, look), "overview", "overview")] if scored else []
    if several:
        made += panels(scores.by_fraction, "score-by-fraction", frame, look)
    made += panels(learning_rate.by_lr, "score-by-lr", top(tables["sensitivity"]), look)
    return made


def _costs(tables: dict[str, pd.DataFrame], look: Look) -> list[Figure]:
    timed = cost.with_time(tables["scores"], tables["efficiency"])
    made = [*panels(cost.by_time, "score-by-time", timed, look)]
    made += panels(anytime.by_step, "anytime", top(tables["curves"]), look)
    return made
