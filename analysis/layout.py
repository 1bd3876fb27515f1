"""The report's tables: which columns of which frame are shown, under which headings."""

from analysis.contents import Contents, answer
from analysis.tables import Column, Table

WHERE = (Column("task", "task"), Column("fraction", "fraction", "percent"), Column("budget_label", "budget"), Column("method", "method"))
SCORE = (Column("score", "score", "score"), Column("low", "95 % from", "score"), Column("high", "95 % to", "score"), Column("n", "seeds", "count"))
ENDED = (Column("degenerate", "degenerate", "count"), Column("failed", "failed", "count"))


def tables(contents: Contents) -> dict[str, Table]:
    """Every table of the report by name."""
    made = [*_scored(contents), *_ran(contents), *_cost(contents)]
    return {table.name: table for table in made}


def _scored(contents: Contents) -> list[Table]:
    frames = contents.frames
    tail = (Column("setting", "chosen setting"), *ENDED, Column("why", "remarks"))
    spread = (Column("sd", "sd", "score"), Column("median", "median", "score"), Column("iqm", "IQM", "score"))
    spread += (Column("min", "min", "score"), Column("max", "max", "score"), Column("majority", "constant predictor", "score"))
    return [
        Table("answer", "Scores at the largest fraction", _INTERVAL, answer(contents), (*WHERE, Column("metric", "metric"), *SCORE, *tail)),
        Table(
            "scores", "Scores per task and fraction", f"{_INTERVAL} {_ENTERED}", frames["scores"],
            (*WHERE, Column("metric", "metric"), *SCORE, *spread, Column("setting", "chosen setting"), Column("source", "scored on"),
             *ENDED, Column("collapsed", "collapsed", "count"), Column("diverged", "diverged", "count"), Column("why", "remarks")),
        ),
        Table(
            "variants", "Variants of a method",
            "Each setting of the hyperparameters that the study varied, at its own best learning rate; all on the seeds that chose.",
            frames["variants"], (*WHERE, Column("variant", "variant"), Column("lr", "lr", "lr"), *SCORE, *ENDED, Column("why", "remarks")),
        ),
        Table(
            "sensitivity", "Learning-rate sensitivity",
            "What each learning rate scored, at the variant that `select` prefers for it; all on the seeds that chose.",
            frames["sensitivity"], (*WHERE, Column("lr", "lr", "lr"), Column("chosen", "chosen", "flag"), *SCORE, *ENDED),
        ),
        Table(
            "curves", "Anytime curves",
            "Points inside longer runs, whose schedule was made for their own end: no substitute for runs at a smaller budget.",
            frames["curves"], (*WHERE, Column("step", "step", "count"), Column("train_seconds", "train time", "seconds"), *SCORE),
        ),
    ]  # fmt: skip


def _ran(contents: Contents) -> list[Table]:
    frames = contents.frames
    counts = ("planned", "done", "failed", "degenerate", "diverged", "pruned", "pending")
    ended = (Column("setting", "setting"), Column("seed", "seed", "lr"), Column("stage", "stage"), Column("status", "status"))
    note = "Done holds degenerate and diverged ones. Planned confirm runs are an upper bound until the best configuration is known."
    if not contents.planned:
        note = "The folder has no plan.json, so what is still to come is not known: only what is there is counted."
    return [
        Table("cells", "Map of all cells", note, frames["cells"], (*WHERE, *(Column(key, key, "count") for key in counts), Column("state", "state"))),
        Table(
            "failures", "Failed and diverged trials",
            "Failed trials (oom, timeout, error) say nothing of a method's score: they are counted and never averaged. "
            "Diverged ones are results and enter with the constant predictor's score.",
            frames["failures"], (*WHERE, *ended, Column("reason", "reason"), Column("trial_id", "trial")),
        ),
        Table(
            "runs", "All runs", "`entered` is the score that enters the analysis.", frames["runs"],
            (*WHERE, *ended, Column("entered", "entered", "score"), Column("score", "score", "score"),
             Column("select_score", "select score", "score"), Column("degenerate", "degenerate", "flag"), Column("steps", "steps", "count"),
             Column("train_seconds", "train time", "seconds"), Column("exclusive", "exclusive", "flag"), Column("trial_id", "trial")),
        ),
    ]  # fmt: skip


def _cost(contents: Contents) -> list[Table]:
    frames, price = contents.frames, contents.price_per_hour
    relative = tuple(
        Column(f"x_{key}", f"{label} ×", "ratio")
        for key, label in (("encoder_params", "encoder params"), ("train_seconds", "time"), ("peak_memory_bytes", "memory"), ("train_flops", "FLOPs"))
    )
    money = "" if price is None else f" Cost at {price:g} per hour, as if each trial had its machine to itself."
    return [
        Table(
            "efficiency", "What each method costs",
            "At the largest fraction: medians and ranges over runs that ended ok and had their device to themselves, at any learning rate "
            "of the chosen variant. × is the ratio to the method that trains most parameters. Bytes are what must be stored per task (float32).",
            frames["efficiency"],
            (*WHERE, Column("setting", "setting"), Column("encoder_params", "encoder params", "count"), Column("head_params", "head params", "count"),
             Column("delta_bytes", "stored", "bytes"), Column("n", "runs", "count"), Column("train_seconds", "train time", "seconds"),
             Column("train_seconds_low", "min", "seconds"), Column("train_seconds_high", "max", "seconds"),
             Column("examples_per_second", "examples/s", "number"), Column("peak_memory_bytes", "peak memory", "bytes"),
             Column("train_flops", "FLOPs", "flops"), Column("energy_joules", "energy", "joules"), *relative,
             Column("reference", "× relative to"), Column("device", "device"), Column("why", "remarks")),
        ),
        Table(
            "ledger", "Tuning ledger", f"What each method was given to be tuned with, over all its cells.{money}", frames["ledger"],
            (Column("method", "method"), Column("cells", "cells", "count"), Column("configurations_fewest", "configurations per cell, fewest", "count"),
             Column("configurations_most", "most", "count"), Column("trials", "trials", "count"), Column("confirm_trials", "of them confirm", "count"),
             Column("steps", "steps", "count"), Column("train_seconds", "train time", "seconds"), Column("seconds", "with evaluation and start-up", "seconds"),
             Column("cost", "cost", "money")),
        ),
    ]  # fmt: skip


_INTERVAL = "Mean over seeds at the configuration chosen on `select`; 95 % intervals are Student's t over seeds, without the noise of the scored examples."
_ENTERED = "A diverged or collapsed run enters with the constant predictor's score; failed ones are never averaged."
