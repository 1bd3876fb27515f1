"""The tables of claims and of costs: which columns are shown, under which headings."""

from finebench.analysis.report.contents import Contents
from finebench.analysis.report.sentences import not_shown_to_swap
from finebench.analysis.tables.columns import REMARKS, SCORE, WHERE, columns
from finebench.analysis.tables.table import Table

PLACE = columns("task", "fraction|percent", "budget_label|text|budget")

PARETO = (
    "pareto-train-seconds", "pareto-train-flops", "pareto-peak-memory-bytes", "pareto-delta-bytes",
    "pareto-trainable-params", "pareto-energy-joules",
)  # fmt: skip
"""Figures of score against cost, what matters most first."""


def _claims(contents: Contents) -> Table:
    note = (
        "What the study exists to test. A claim about every task is shown by the task that decides it. matches: "
        "supported where the 90 % interval lies inside ±margin, refuted where the 95 % interval lies outside; the "
        "others by the 95 % interval against the claim's bound. Both must hold after Holm's correction over the "
        "claims. With fewer than 6 pairs (8 for varies_more) there is no verdict. Where runs are missing there is "
        "one only if it comes out alike with each of them at the constant predictor's score. Collapsed: runs no "
        "better than that predictor, with the one-sided 95 % bound of their rate. Seeds to settle: per task, at the "
        "claim's own margin, were the truth not near its bound, with a chance of 80 % and before correction; its "
        "80 % interval beside it. Effect: in standard deviations of a pair. "
        "Where the same seeds chose a configuration and scored it, intervals "
        "of differences repeat the choice (test says so); those of spreads and costs are given the chosen "
        "configurations."
    )
    shown = columns("id|text|claim", "statement|prose", "verdict", "reason|prose|why", "quantity|text|estimate of")
    shown += columns("estimate|number", "low|number|from", "high|number|to", "level|level|interval", "pairs|count")
    shown += columns("p|p", "p_adjusted|p|p after Holm", "p_against|p|p against")
    shown += columns("p_against_adjusted|p|against, after Holm", "seeds_to_settle|count|seeds to settle")
    shown += columns("seeds_low|count|80 % from", "seeds_high|count|80 % to", "settling|prose|why no number")
    shown += columns("collapsed|prose", "missing|prose|runs missing", "filled_verdict|text|those as constant")
    shown += columns("effect_size|number|effect", "effect_low|number|95 % from", "effect_high|number|95 % to")
    shown += columns("effect_margin|number|margin in sd", "choice", "test|prose", "command|prose", "note|prose")
    return Table(
        "claims",
        "Claims and their verdicts",
        note,
        contents.frames["claims"],
        shown,
        section="claims",
        figures=("claims",),
    )


def _claims_by_task(contents: Contents) -> Table:
    note = "What each task says of each claim, before any correction; “pooled” is the average over tasks."
    shown = columns("id|text|claim", "task", "quantity|text|estimate of", "estimate|number", "low|number|from")
    shown += columns("high|number|to", "level|level|interval", "pairs|count", "supports|flag", "refutes|flag")
    shown += columns("p|p", "p_against|p|p against", "seeds_to_settle|count|seeds to settle")
    shown += columns("test|prose", "reason|prose|remarks")
    return Table(
        "claims_by_task",
        "Claims, task by task",
        note,
        contents.frames["claims_by_task"],
        shown,
        section="claims",
        folded=True,
    )


def _ledger(contents: Contents) -> Table:
    note = (
        "What each method was given to be tuned with, over all its cells. One search is what was run to choose the "
        "configuration of one cell, on average. Trials beside which others ran count with the time of those of their "
        "cell that had a device of their kind to themselves, by the step. Seconds of several kinds of device are added "
        "up as spent."
    )
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
    search = columns("search_trials|number|one search: trials", "search_seconds|seconds|time", "search_cost|money|cost")
    rest = columns("shared|count|trials that shared their device", "untimed|count|time not known")
    return Table(
        "tuning_cost",
        "Tuning cost",
        note,
        contents.frames["ledger"],
        (*tried, *spent, *tail, *search, *rest),
        section="tuning",
    )


def _efficiency(contents: Contents) -> Table:
    shared = contents.frames["efficiency"]
    left = int(shared.drop_duplicates(["task", "fraction", "budget", "method"])["shared"].sum()) if len(shared) else 0
    note = (
        "At the largest fraction: medians and ranges over runs that ended ok and had their device to themselves, at "
        f"any learning rate of the chosen variant; {left:,} runs that shared theirs are left out. × is the ratio to "
        "the method that trains most parameters, the geometric mean of ratios paired by seed. Stored is what must be "
        "kept per task, in float32."
    )
    counted = columns(
        "encoder_params|count|encoder params", "head_params|count|head params", "delta_bytes|bytes|stored"
    )
    times = columns("n|count|runs", "shared|count|left out", "train_seconds|seconds|train time")
    times += columns("train_seconds_low|seconds|min", "train_seconds_high|seconds|max")
    times += columns("examples_per_second|number|examples/s")
    times += columns("examples_per_second_low|number|min", "examples_per_second_high|number|max")
    other = columns("peak_memory_bytes|bytes|peak memory", "peak_memory_bytes_low|bytes|min")
    other += columns("peak_memory_bytes_high|bytes|max", "train_flops|flops|FLOPs", "train_flops_low|flops|min")
    other += columns("train_flops_high|flops|max", "energy_joules|joules|energy", "energy_joules_low|joules|min")
    other += columns("energy_joules_high|joules|max")
    ratios = columns("x_encoder_params|ratio|params ×", "x_train_seconds|ratio|time ×")
    ratios += columns("x_train_seconds_low|ratio|95 % from", "x_train_seconds_high|ratio|95 % to")
    ratios += columns("x_peak_memory_bytes|ratio|memory ×", "x_train_flops|ratio|FLOPs ×")
    tail = columns("reference|text|× relative to", "device", "why|prose|remarks")
    shown = (*WHERE, *columns("setting|prose|configuration"), *counted, *times, *other, *ratios, *tail)
    return Table(
        "efficiency", "What each method costs", note, contents.frames["efficiency"], shown, section="efficiency"
    )


def _ratios(contents: Contents) -> Table:
    note = (
        "The geometric mean over tasks and seeds of each cost divided by that of the reference, the method that trains"
        " most parameters, in the same task and seed; 95 % intervals are Student's t on the log scale, of these tasks: "
        "how far tasks lie apart is not in them. A count has no interval: it is the same in every run of a task. What "
        "depends on the kind of device is of one kind: the one on which most tasks have both methods."
    )
    shown = columns("budget_label|text|budget", "method", "label|text|cost", "ratio|ratio", "low|ratio|95 % from")
    shown += columns("high|ratio|95 % to", "n|count|pairs", "tasks|count", "reference|text|relative to", "device")
    return Table(
        "ratios",
        "Costs relative to training most",
        note,
        contents.frames["ratios"],
        (*shown, *REMARKS),
        section="efficiency",
    )


def _fronts(contents: Contents) -> Table:
    note = (
        "On the front: no other method scores at least as high at no higher cost. Probability: the share of 2,000 "
        "resamples of the seeds, the same for all methods, in which it is, given the chosen configurations; three "
        "seeds have ten different resamples, so that 0 % or 100 % of few seeds is no certainty. Costs are means over "
        "seeds, a seed whose run shared its device taking the mean of the others; several costs at once are beaten "
        "only by a method that is no worse in any of them. Times, memory and energy of a front are of one kind of "
        "device; a method that was measured on another one alone is left out."
    )
    shown = (*PLACE, *columns("label|text|cost", "method", "score|score", "value|number|mean cost", "on_front|flag"))
    shown += columns("probability|percent", "beaten_by|text|beaten by", "n|count|seeds", "device")
    return Table(
        "fronts",
        "Pareto fronts of score against cost",
        note,
        contents.frames["fronts"],
        (*shown, *REMARKS),
        section="efficiency",
        figures=PARETO,
        folded=True,
    )


def _reach(contents: Contents) -> Table:
    note = (
        "The smallest fraction of the data at which a method reaches a share of what the reference gains over the "
        "constant predictor with all data. Between measured fractions scores are taken as straight in log fraction. "
        "The interval holds every fraction at which reaching the target is compatible with the seeds (95 %, Student's "
        "t); it is about seeds, not about the scored examples, and given the chosen configurations."
    )
    shown = columns("task", "budget_label|text|budget", "method", "share|percent", "target|score", "outcome")
    shown += columns("fraction|percent", "low|percent|95 % from", "high|percent|95 % to", "n|count|seeds")
    shown += columns("reference")
    return Table(
        "reach", "How little data is enough", note, contents.frames["reach"], (*shown, *REMARKS), section="efficiency"
    )


def _curves(contents: Contents) -> Table:
    note = (
        "The score had training stopped here. These are points inside longer runs, whose schedule was made "
        "for their own end: no substitute for runs at a smaller budget. Figures cut bands that are far wider than "
        "the scores lie apart; this table does not. Times are of runs alone on their device, of one kind of device for "
        "all methods of a place."
    )
    shown = (*WHERE, *columns("step|count", "train_seconds|seconds|train time", "device"), *SCORE)
    return Table(
        "learning_curves",
        "Learning curves",
        note,
        contents.frames["curves"],
        shown,
        section="efficiency",
        figures=("learning-curve", "learning-curve-seconds", "learning-curve-flops"),
        folded=True,
    )


def _crossovers(contents: Contents) -> Table:
    note = (
        "From here to the end of training the first method is ahead of the other. Listed where it is behind before and "
        "ahead after by t tests over pairs of seeds, corrected for all points, couples and axes; two equal methods "
        "cross by noise. Learning curves are points inside longer runs; across budgets each point is a run made for "
        "it. Intervals are Student's t over pairs of seeds, at 95 %: they hold the noise of seeds, not that of the "
        "scored examples nor of the choice of configurations."
    )
    frame = contents.frames["crossovers"]
    listed = frame if frame.empty else frame[frame["shown"]].drop(columns="shown").reset_index(drop=True)
    note = " ".join([note, *not_shown_to_swap(frame)])
    shown = (*PLACE, *columns("kind", "axis", "method|text|ahead after", "other|text|ahead before", "x|number|at"))
    shown += columns(
        "low|number|95 % from", "high|number|95 % to", "final|score|difference at the end", "n|count|pairs"
    )
    title = "Where methods swap places"
    return Table(
        "crossovers", title, note, listed, (*shown, *REMARKS), empty_tells=not frame.empty, section="efficiency"
    )
