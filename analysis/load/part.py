"""Which of a folder's trials a report is about: those that its study, as it now is, contains
(`bench.results.scope`)."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from finebench.bench.results.scope import ROW_COLUMNS, rows_of
from finebench.bench.results.within import scope_of
from finebench.bench.util.errors import InputError

EMPTY: Mapping[tuple[str, float, str, str], int] = {}


@dataclass(frozen=True)
class StudyRows:
    """The rows of `trials` that are part of the study, configuration and seed as the study writes them; the number of
    others by (task, fraction, budget, method); and why that cannot be told here, where it cannot: then every row is
    taken."""

    trials: pd.DataFrame
    outside: Mapping[tuple[str, float, str, str], int]
    unknown: str | None = None


def part_of_study(
    trials: pd.DataFrame, study: Mapping[str, Any], plan: Mapping[str, Any] | None, where: str
) -> StudyRows:
    """Set the trials of `study` apart, a parsed study.yaml; `where` is what messages call it."""
    if not study or plan is None:
        return StudyRows(trials, EMPTY, f"there is no {'plan.json' if study else 'study.yaml'}")
    try:
        scope = scope_of(study, where, plan)
    except InputError as error:
        return StudyRows(trials, EMPTY, str(error))
    rows = rows_of(trials[name] for name in ROW_COLUMNS)
    places = scope.places(rows)
    made = trials[[place is not None for place in places]].copy()
    kept = [place for place in places if place is not None]
    made["hyperparameters"] = [place.configuration for place in kept]
    made["seed"] = [place.seed for place in kept]
    cells = [row.cell for row, place in zip(rows, places, strict=True) if place is None]
    return StudyRows(made, Counter((task, fraction, budget, method) for task, method, fraction, budget in cells))
