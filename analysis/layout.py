"""The report's tables: which columns of which frame are shown, under which headings."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from analysis.contents import Contents, answer
from analysis.tables import Column, Table


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
ENDED = columns("degenerate|count", "failed|count")
REMARKS = columns("why|prose|remarks")
TRIAL = columns("setting|prose", "seed|id", "stage", "status")

INTERVAL = (
    "Mean over seeds at the configuration chosen on the select split; 95 % intervals hold the noise of seeds and, "
    "where there are predictions, of the scored examples; the column interval says how each was made."
)


def tables(contents: Contents) -> dict[str, Table]:
    """Every table of the report by name."""
    made = [make(contents) for make in MAKERS]
    if contents.frames["runs"]["budget"].nunique() == 1:
        # one budget for all rows stands in the protocol
        made = [replace(table, columns=tuple(c for c in table.columns if c.key != "budget_label")) for table in made]
    return {table.name: table for table in made}


def _answer(contents: Contents) -> Table:
    shown = (*WHERE, *SCORE, *columns("metric", "setting|prose|chosen setting"), *ENDED, *REMARKS)
    return Table("answer", "Scores at the largest fraction", INTERVAL, answer(contents), shown)


def _scores(contents: Contents) -> Table:
    note = (
        f"{INTERVAL} A diverged or collapsed run enters with the score of the best constant predictor (column "
        "constant); failed ones are never averaged."
    )
    ended = (*ENDED, *columns("collapsed|count", "diverged|count"))
    chosen = columns("setting|prose|chosen setting", "source|text|scored on")
    shown = (*WHERE, *SCORE, *columns("metric"), *SPREAD, *chosen, *ended, *REMARKS)
    return Table("scores", "Scores per task and fraction", note, contents.frames["scores"], shown)


def _variants(contents: Contents) -> Table:
    note = (
        "Each setting of the hyperparameters that the study varied, at its own best learning rate; all on "
        "the seeds that chose, so that like is compared with like."
    )
    shown = (*WHERE, *columns("variant|prose", "lr|lr"), *SCORE, *ENDED, *REMARKS)
    return Table("variants", "Variants of a method", note, contents.frames["variants"], shown)


def _sensitivity(contents: Contents) -> Table:
    note = (
        "What each learning rate scored, at the variant that the select split prefers for it; on the seeds that chose."
    )
    shown = (*WHERE, *columns("lr|lr", "chosen|flag"), *SCORE, *ENDED)
    return Table("sensitivity", "Learning-rate sensitivity", note, contents.frames["sensitivity"], shown)


def _curves(contents: Contents) -> Table:
    note = (
        "The score had training stopped here. These are points inside longer runs, whose schedule was made "
        "for their own end: no substitute for runs at a smaller budget."
    )
    shown = (*WHERE, *columns("step|count", "train_seconds|seconds|train time"), *SCORE)
    return Table("curves", "Anytime curves", note, contents.frames["curves"], shown)


def _cells(contents: Contents) -> Table:
    note = "Done holds degenerate and diverged runs. Planned confirm runs are an upper bound until the best is known."
    if not contents.planned:
        note = "The folder has no plan.json: only what is there is counted, and what is still to come is not known."
    counts = columns(*(f"{key}|count" for key in COUNTS), "state")
    return Table("cells", "Map of all cells", note, contents.frames["cells"], (*WHERE, *counts))


def _failures(contents: Contents) -> Table:
    note = (
        "Failed trials (oom, timeout, error) say nothing of a method's score: they are counted and never averaged. "
        "Diverged ones are results and enter with the constant predictor's score."
    )
    shown = (*WHERE, *TRIAL, *columns("reason|prose", "trial_id|text|trial"))
    return Table("failures", "Failed and diverged trials", note, contents.frames["failures"], shown)


def _runs(contents: Contents) -> Table:
    note = "“entered” is the score that enters the analysis."
    scored = columns("entered|score", "score|score", "select_score|score", "degenerate|flag")
    cost = columns("steps|count", "train_seconds|seconds|train time", "exclusive|flag", "trial_id|text|trial")
    return Table("runs", "All runs", note, contents.frames["runs"], (*WHERE, *TRIAL, *scored, *cost))


def _efficiency(contents: Contents) -> Table:
    note = (
        "At the largest fraction: medians and ranges over runs that ended ok and had their device to "
        "themselves, at any "
        "learning rate of the chosen variant. × is the ratio to the method that trains most parameters. Stored is what "
        "must be kept per task, in float32."
    )
    counted = columns(
        "encoder_params|count|encoder params", "head_params|count|head params", "delta_bytes|bytes|stored"
    )
    times = columns("n|count|runs", "train_seconds|seconds|train time", "train_seconds_low|seconds|min")
    times += columns("train_seconds_high|seconds|max", "examples_per_second|number|examples/s")
    other = columns("peak_memory_bytes|bytes|peak memory", "train_flops|flops|FLOPs", "energy_joules|joules|energy")
    ratios = columns(
        "x_encoder_params|ratio|params ×", "x_train_seconds|ratio|time ×", "x_peak_memory_bytes|ratio|memory ×"
    )
    tail = columns("x_train_flops|ratio|FLOPs ×", "reference|text|× relative to", "device", "why|prose|remarks")
    shown = (*WHERE, *columns("setting|prose"), *counted, *times, *other, *ratios, *tail)
    return Table("efficiency", "What each method costs", note, contents.frames["efficiency"], shown)


def _ledger(contents: Contents) -> Table:
    note = "What each method was given to be tuned with, over all its cells."
    if contents.price_per_hour is not None:
        note += f" Cost at {contents.price_per_hour:g} per hour, as if each trial had its machine to itself."
    tried = columns(
        "method",
        "cells|count",
        "configurations_fewest|count|configurations per cell, from",
        "configurations_most|count|to",
    )
    spent = columns(
        "trials|count", "confirm_trials|count|of them confirm", "steps|count", "train_seconds|seconds|train time"
    )
    tail = columns("seconds|seconds|with evaluation and start-up", "cost|money")
    return Table("ledger", "Tuning ledger", note, contents.frames["ledger"], (*tried, *spent, *tail))


COUNTS = ("planned", "done", "failed", "degenerate", "diverged", "pruned", "pending")

MAKERS: Sequence[Callable[[Contents], Table]] = (
    _answer, _scores, _variants, _sensitivity, _curves, _cells, _failures, _runs, _efficiency, _ledger,
)  # fmt: skip
