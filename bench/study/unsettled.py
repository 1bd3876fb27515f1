"""What it would take to give a verdict on each claim that gets none as planned: settings, trials, time; and what every
command on a stored study takes."""

import math
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from finebench.bench.study.claim_needs import Lack, more_trials, needs, with_sets
from finebench.bench.study.plan import Cell, Plan
from finebench.bench.util.errors import StudyError

Seconds = Callable[[Plan, Cell], float | None]
"""Seconds of one trial of a cell on one core; None where they are not known."""


def unsettled(plan: Plan, seconds: Seconds, cores: float) -> list[dict[str, Any]]:
    """One JSON-ready row per reason: the claims, why, what `--set` takes, and the trials and seconds that are added.

    `set` is empty where the file has to change; trials is None then, and seconds also where no time is known.
    """
    return [_row(plan, need, seconds, cores) for need in needs(plan.study)]


def _row(plan: Plan, need: Lack, seconds: Seconds, cores: float) -> dict[str, Any]:
    row = uncosted(need)
    if not need.sets:
        return row
    try:
        after = Plan(with_sets(plan.study, need))
    except StudyError as error:  # more trials than a study may have
        return row | {"why": f"{need.why}; with {' and '.join(need.arguments)}, {error}", "set": []}
    more = {cell: number for cell, number in more_trials(plan, after).items() if number}
    times = [(seconds(after, cell), number) for cell, number in more.items()]
    total = math.fsum(one * number for one, number in times if one is not None)
    known = math.isfinite(total) and all(one is not None for one, _ in times)
    return row | {"trials": sum(more.values()), "seconds": total / cores if known else None}


def uncosted(need: Lack) -> dict[str, Any]:
    """The row of a need whose trials and seconds are not looked into."""
    row: dict[str, Any] = {"claims": list(need.claims), "why": need.why, "set": list(need.arguments)}
    return row | {"trials": None, "seconds": None}


def sentence(row: dict[str, Any], command: Sequence[str], time: str = "") -> str:
    """A row in words; `command` is what `--set` is added to, `time` what the trials take, in words."""
    said = f"no verdict on {', '.join(row['claims'])} as planned: {row['why']}"
    if not row["set"]:
        return said
    settings = [part for one in row["set"] for part in ("--set", one)]
    cost = [] if row["trials"] is None else [f"{row['trials']:,} more trials", *([time] if time else [])]
    shown = f" ({', '.join(cost)})" if cost else ""
    return f"{said}. For a verdict: {shlex.join([*command, *settings])}{shown}"
