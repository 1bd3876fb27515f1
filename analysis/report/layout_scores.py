"""The tables of scores and of all runs: which columns are shown, under which headings."""

from finebench.analysis.report.contents import Contents, answer
from finebench.analysis.tables.columns import ENDED, REMARKS, SCORE, SPREAD, TRIAL, WHERE, columns
from finebench.analysis.tables.table import Table

INTERVAL = (
    "Mean over seeds at the configuration chosen on the select split; 95 % intervals hold the noise of seeds and, "
    "where there are predictions, of the scored examples; the column interval of “Scores per task and fraction” says "
    "how each was made. What is shown of an interval ends where the metric's range does."
)


COUNTS = (
    "planned|count", "done|count", "failed|count", "collapsed|count", "diverged|count", "pruned|count",
    "pending|count", "unplanned|count",
)  # fmt: skip


def _answer(contents: Contents) -> Table:
    shown = (*WHERE, *SCORE, *columns("metric", "setting|prose|chosen configuration"), *ENDED, *REMARKS)
    return Table(
        "answer",
        "Scores at the largest fraction",
        INTERVAL,
        answer(contents),
        shown,
        section="answer",
        figures=("overview",),
    )


def _scores(contents: Contents) -> Table:
    note = (
        f"{INTERVAL} A diverged or collapsed run enters with the score of the best constant predictor (column "
        "constant); failed ones are never averaged."
    )
    ended = (*ENDED, *columns("constant_output|count|constant output", "diverged|count"))
    chosen = columns("setting|prose|chosen configuration", "source|text|scored on")
    shown = (*WHERE, *SCORE, *columns("metric"), *SPREAD, *chosen, *ended, *columns("interval|prose"), *REMARKS)
    return Table(
        "scores",
        "Scores per task and fraction",
        note,
        contents.frames["scores"],
        shown,
        section="scores",
        figures=("score-by-fraction",),
    )


def _per_seed(contents: Contents) -> Table:
    note = (
        "The runs behind each score, at the chosen configuration; “score” is the score used. The figures join the runs "
        "of one seed, which share subset and data order, and show a collapsed run hollow."
    )
    shown = columns(
        "seed|id",
        "score|score",
        "metric",
        "collapsed|flag",
        "setting|prose|configuration",
        "trial_id|text|trial",
    )
    return Table(
        "per_seed",
        "Scores seed by seed",
        note,
        contents.frames["per_seed"],
        (*WHERE, *shown),
        section="scores",
        figures=("per-seed",),
        folded=True,
    )


def _variants(contents: Contents) -> Table:
    note = (
        "Each configuration of the hyperparameters that the study varied, at its own best learning rate; all on "
        "the seeds that chose, so that like is compared with like."
    )
    shown = (*WHERE, *columns("variant|prose", "lr|lr"), *SCORE, *ENDED, *REMARKS)
    return Table("variants", "Variants of a method", note, contents.frames["variants"], shown, section="scores")


def _sensitivity(contents: Contents) -> Table:
    note = (
        "What each learning rate scored, at the variant that the select split prefers for it; on the seeds that chose."
    )
    shown = (*WHERE, *columns("lr|lr", "chosen|flag"), *SCORE, *ENDED)
    return Table(
        "sensitivity",
        "Learning-rate sensitivity",
        note,
        contents.frames["sensitivity"],
        shown,
        section="tuning",
        figures=("score-by-lr",),
        folded=True,
    )


def _cells(contents: Contents) -> Table:
    note = (
        "Done holds collapsed and diverged runs. Planned confirm runs are an upper bound until the best is known. "
        "Unplanned runs are of cells, configurations or seeds that the plan does not have, or has no longer."
    )
    if not contents.planned:
        note = "The folder has no plan.json: only what is there is counted, and what is still to come is not known."
    counts = columns(*COUNTS, "state")
    return Table("coverage", "Coverage", note, contents.frames["cells"], (*WHERE, *counts), section="runs", folded=True)


def _runs(contents: Contents) -> Table:
    note = "“score used” is the score that enters the analysis."
    scored = columns("entered|score|score used", "score|score", "select_score|score", "collapsed|flag")
    cost = columns("steps|count", "train_seconds|seconds|train time", "exclusive|flag", "trial_id|text|trial")
    return Table("runs", "All runs", note, contents.frames["runs"], (*WHERE, *TRIAL, *scored, *cost), section="runs")


def _origins(contents: Contents) -> Table:
    note = (
        "The trials behind each number, by id, as rows of “All runs” and of the results' own tables. A score is the "
        "mean over the first list, in the order of its seeds; comparisons, verdicts and aggregates rest on those of "
        "their common seeds; measured costs come from the second, which had their device to themselves."
    )
    shown = columns(
        "setting|prose|configuration",
        "score|score",
        "n|count|seeds",
        "stage",
        "trials|prose",
        "cost_trials|prose|for costs",
    )
    return Table(
        "provenance",
        "Provenance",
        note,
        contents.frames["origins"],
        (*WHERE, *shown),
        section="runs",
        folded=True,
    )


def _failures(contents: Contents) -> Table:
    note = (
        "Failed trials (oom, timeout, error) say nothing of a method's score: they are counted and never averaged. "
        "Diverged ones are results and enter with the constant predictor's score."
    )
    shown = (*WHERE, *TRIAL, *columns("reason|prose", "trial_id|text|trial"))
    return Table(
        "failures",
        "Failed and diverged trials",
        note,
        contents.frames["failures"],
        shown,
        empty_tells=True,
        section="runs",
    )
