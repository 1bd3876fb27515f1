"""Columns in short notation, and those that many tables share."""

from finebench.analysis.tables.table import Column


def columns(*given: str) -> tuple[Column, ...]:
    """Columns from "key", "key|kind" or "key|kind|heading"; kind is text and the heading is the key where not given.

    >>> columns("low|score|95 % from")
    (Column(key='low', label='95 % from', kind='score'),)
    """
    made = []
    for text in given:
        key, kind, label, *_ = [*text.split("|"), "", ""]
        made.append(Column(key, label or key.replace("_", " "), kind or "text"))
    return tuple(made)


WHERE = columns("task", "fraction|percent", "budget_label|text|budget", "method")
SCORE = columns("score|score", "low|score|95 % from", "high|score|95 % to", "n|count|seeds")
SPREAD = columns("sd|score", "median|score", "iqm|score|IQM", "min|score", "max|score", "majority|score|constant")
ENDED = columns("collapsed|count", "failed|count")
REMARKS = columns("why|prose|remarks")
TRIAL = columns("setting|prose|configuration", "seed|id", "stage", "status")
