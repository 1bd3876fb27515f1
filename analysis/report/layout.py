"""The report's tables: which columns of which frame are shown, under which headings."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from finebench.analysis.report.contents import Contents, answer
from finebench.analysis.report.layout_costs import COSTS_AND_CLAIMS
from finebench.analysis.report.layout_variance import VARIANCE
from finebench.analysis.tables.columns import ENDED, REMARKS, SCORE, SPREAD, TRIAL, WHERE, columns
from finebench.analysis.tables.table import Table

INTERVAL = (
    "Mean over seeds at the configuration chosen on the select split; 95 % intervals hold the noise of seeds and, "
    "where there are predictions, of the scored examples; the column interval of “Scores per task and fraction” says "
    "how each was made. What is shown of an interval ends where the metric's range does."
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
    shown = (*WHERE, *SCORE, *columns("metric"), *SPREAD, *chosen, *ended, *columns("interval|prose"), *REMARKS)
    return Table("scores", "Scores per task and fraction", note, contents.frames["scores"], shown)


def _per_seed(contents: Contents) -> Table:
    note = (
        "The runs behind each score, at the chosen configuration; “score” is what entered. The figures join the runs "
        "of one seed, which share subset and data order, and show a degenerate run hollow."
    )
    shown = columns("seed|id", "score|score", "metric", "degenerate|flag", "setting|prose", "trial_id|text|trial")
    return Table("per_seed", "Scores seed by seed", note, contents.frames["per_seed"], (*WHERE, *shown))


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
        "for their own end: no substitute for runs at a smaller budget. Figures cut bands that are far wider than "
        "the scores lie apart; this table does not."
    )
    shown = (*WHERE, *columns("step|count", "train_seconds|seconds|train time"), *SCORE)
    return Table("curves", "Anytime curves", note, contents.frames["curves"], shown)


def _cells(contents: Contents) -> Table:
    note = (
        "Done holds degenerate and diverged runs. Planned confirm runs are an upper bound until the best is known. "
        "Unplanned runs are of cells, settings or seeds that the plan does not have, or has no longer."
    )
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
    return Table("failures", "Failed and diverged trials", note, contents.frames["failures"], shown, empty_tells=True)


def _origins(contents: Contents) -> Table:
    note = (
        "The trials behind each number, by id, as rows of “All runs” and of the results' own tables. A score is the "
        "mean over the first list, in the order of its seeds; comparisons, verdicts and aggregates rest on those of "
        "their common seeds; measured costs come from the second, which had their device to themselves."
    )
    shown = columns(
        "setting|prose", "score|score", "n|count|seeds", "stage", "trials|prose", "cost_trials|prose|for costs"
    )
    return Table("origins", "Where each number comes from", note, contents.frames["origins"], (*WHERE, *shown))


def _runs(contents: Contents) -> Table:
    note = "“entered” is the score that enters the analysis."
    scored = columns("entered|score", "score|score", "select_score|score", "degenerate|flag")
    cost = columns("steps|count", "train_seconds|seconds|train time", "exclusive|flag", "trial_id|text|trial")
    return Table("runs", "All runs", note, contents.frames["runs"], (*WHERE, *TRIAL, *scored, *cost))


COUNTS = ("planned", "done", "failed", "degenerate", "diverged", "pruned", "pending", "unplanned")

MAKERS: Sequence[Callable[[Contents], Table]] = (
    _answer, _scores, _per_seed, _variants, _sensitivity, _curves, _cells, _failures, _runs, _origins,
    *COSTS_AND_CLAIMS, *VARIANCE,
)  # fmt: skip
