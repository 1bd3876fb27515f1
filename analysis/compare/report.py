"""A comparison as sentences, tables, figures and files; one definition for the terminal, the page and the rest."""

from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from finebench.analysis.compare.compare import ALPHA, FEWEST, Comparison, compare
from finebench.analysis.figures.base import Style
from finebench.analysis.figures.changes import changes
from finebench.analysis.load.frames import records
from finebench.analysis.load.words import missing
from finebench.analysis.report import render
from finebench.analysis.report.sections import Section
from finebench.analysis.report.write import draw_all, file_contents, write_files
from finebench.analysis.tables.columns import WHERE, columns
from finebench.analysis.tables.table import Column, Table
from finebench.bench.util.storage import Store

ORDER = (
    Section("answer", "What changed", "Changes"),
    Section("costs", "Costs, B over A", "Costs"),
    Section("again", "The same trials twice", "Same trials"),
    Section("settings", "What differs in how they were made", "Settings"),
    Section("only", "Cells of one folder only", "Only one"),
    Section("caveats", "Caveats", "Caveats"),
)

CAVEATS = (
    "A difference is between the configurations that each folder's own select split chose; where they are two, the "
    "change is of the choice too.",
    "Paired intervals hold the noise of seeds, of the scored examples where predictions are there, and of the choice "
    "where the same seeds chose a configuration and scored it. Unpaired ones hold the noise of seeds alone.",
    f"A change is called higher or lower where Holm's p over all cells is below {ALPHA:g}, from {FEWEST} pairs up. No "
    "change shown does not mean that there is none: read the interval.",
    "Ratios of times hold on the machines named beside them. They come from runs of the same configuration and seed "
    "that had their device to themselves in both folders.",
)  # fmt: skip


@dataclass(frozen=True)
class ComparisonReport:
    """What a comparison found: sentences, tables by name, and the page's path where one was written."""

    comparison: Comparison
    findings: list[str]
    tables: dict[str, Table]
    path: str | None

    def document(self) -> dict[str, Any]:
        """All of it as one JSON document."""
        frames = {name: _plain(table.frame) for name, table in self.tables.items()}
        trials = {"in_both": self.comparison.common_trials, "bit_equal": self.comparison.equal_trials}
        return {"a": self.comparison.a, "b": self.comparison.b, "trials": trials, "findings": self.findings} | frames


def write_comparison(a: str, b: str, out: str | None = None) -> ComparisonReport:
    """Compare two results folders, and write page, Markdown, tables and figures into `out` where it is given."""
    made = compare(a, b)
    tables, said = _tables(made), findings(made)
    if out is None:
        return ComparisonReport(made, said, tables, None)
    frame = made.frames["changes"]
    look = Style(made.methods, not frame.empty and frame["budget"].nunique() > 1)
    drawn = draw_all(changes(frame, look)) if not frame.empty else []
    files = file_contents(tables, drawn)
    files["compare.md"] = render.markdown(_words(made, said), ORDER, tables, drawn).encode()
    files["index.html"] = render.html(_words(made, said), ORDER, tables, drawn).encode()
    return ComparisonReport(made, said, tables, write_files(Store(out), files))


def findings(made: Comparison) -> list[str]:
    """What was found, in sentences that say no more than the numbers do."""
    return [*_changes(made.frames["changes"]), *_again(made), *_apart(made.frames)]


def _changes(frame: pd.DataFrame) -> list[str]:
    if frame.empty:
        return ["No cell has a score in both folders."]
    counts = frame["change"].value_counts()
    said = ", ".join(f"{counts[word]} {phrase}" for word, phrase in WORDS.items() if word in counts)
    lines = [f"{_cells(len(frame), 'has', 'have')} a score in both folders: {said}."]
    moved = frame[frame["change"].isin(["higher", "lower"])]
    for row in records(moved.sort_values("p").head(5)):
        where = f"{row['task']} at {row['fraction']:g}, {row['method']}"
        lines.append(
            f"{where}: {row['difference']:+.4f} in {row['metric']} (95 %: {row['low']:+.4f} to {row['high']:+.4f})."
        )
    return lines


def _cells(number: int, one: str, more: str) -> str:
    return f"1 cell {one}" if number == 1 else f"{number} cells {more}"


def _again(made: Comparison) -> list[str]:
    total, equal = made.common_trials, made.equal_trials
    if not total:
        return ["No trial is in both folders, so nothing is said about reproducibility."]
    if equal == total:
        return [f"All {total} trials that both folders hold have bit-equal scores."]
    most = made.frames["reproduced"]["difference"].abs().max()
    return [
        f"{equal} of {total} trials that both folders hold have bit-equal scores; the rest differ by up to {most:.2g}."
    ]


def _apart(frames: dict[str, pd.DataFrame]) -> list[str]:
    only, differs = frames["only"], frames["settings"]
    lines = [] if only.empty else [f"{_cells(len(only), 'is', 'are')} in one folder only, and not compared."]
    if differs.empty:
        return [*lines, "Nothing differs in study, versions, commit or machine."]
    names = [row["setting"] if row["where"] != "versions" else f"{row['setting']} version" for row in records(differs)]
    more = f" and {len(names) - 8} more" if len(names) > 8 else ""
    return [*lines, f"What differs in how they were made: {', '.join(names[:8])}{more}."]


WORDS = {
    "identical": "identical",
    "no change shown": "without a change shown",
    "higher": "higher in B",
    "lower": "lower in B",
    "too few seeds": "with too few seeds to judge",
    "not judged": "not judged",
}


def _words(made: Comparison, said: list[str]) -> dict[str, Any]:
    return {
        "name": "A against B",
        "state": [f"A is {made.a}, B is {made.b}. Differences are B less A, ratios B over A."],
        "verdicts": [], "no_verdict": [],
        "findings": said, "collapsed": [], "warnings": [], "facts": None, "map": None,
        "caveats": list(CAVEATS), "methods": made.methods, "markdown_file": "compare.md", "best": False,
    }  # fmt: skip


def _tables(made: Comparison) -> dict[str, Table]:
    frames = made.frames
    shown = [
        Table(
            "changes", "Scores, cell by cell", CHANGES_NOTE, frames["changes"], CHANGES,
            section="answer", figures=("changes",),
        ),
        Table(
            "method_costs", "Costs per method", COSTS_NOTE, frames["method_costs"], _costs(columns("method")),
            section="costs",
        ),
        Table(
            "cost_changes", "Costs per cell", COSTS_NOTE, frames["cost_changes"], _costs(WHERE),
            section="costs", folded=True,
        ),
        Table(
            "reproduced", "Trials whose score is not bit-equal", _reproduced(made), frames["reproduced"], AGAIN,
            empty_tells=True, section="again",
        ),
        Table(
            "settings", "Differing settings", "Only what differs is listed.", frames["settings"], SETTINGS,
            empty_tells=True, section="settings",
        ),
        Table("only", "Cells of one folder only", "Not compared.", frames["only"], ONLY, section="only"),
    ]  # fmt: skip
    budgets = {b for frame in frames.values() if "budget" in frame for b in frame["budget"]}
    if len(budgets) < 2:
        shown = [replace(t, columns=tuple(c for c in t.columns if c.key != "budget_label")) for t in shown]
    return {table.name: table for table in shown}


CHANGES_NOTE = (
    "Means, difference (B less A) and interval at each folder's chosen configuration: over the seeds that both have "
    "(pairs) where runs pair, else over each folder's own."
)
COSTS_NOTE = (
    "Geometric means of B over A, over runs of the same cell, configuration and seed that were alone on their device "
    "in both; 95 % intervals by Student's t on the log scale. Below 1, B costs less."
)
CHANGES = (
    *WHERE,
    *columns("metric", "score_a|score|A", "score_b|score|B", "difference|signed", "low|signed|95 % from"),
    *columns("high|signed|95 % to", "p_holm|p|p (Holm)", "change", "pairs|count", "seeds_a|count|seeds A"),
    *columns(
        "seeds_b|count|seeds B", "how|prose", "setting_a|prose|configuration A", "setting_b|prose|configuration B"
    ),
    *columns("why|prose|remarks"),
)
AGAIN = (
    *WHERE,
    *columns("setting|prose|configuration", "seed|id", "score_a|number|A", "score_b|number|B", "difference|number"),
    *columns("device_a|prose|device A", "device_b|prose|device B", "git_commit_a|text|commit A"),
    *columns("git_commit_b|text|commit B", "trial_id|text|trial"),
)
SETTINGS = columns("where", "setting", "a|prose|A", "b|prose|B")
ONLY = (*WHERE, *columns("only|text|in", "seeds|count"))


def _costs(head: tuple[Column, ...]) -> tuple[Column, ...]:
    times = columns("pairs|count", "train_seconds|ratio|train time", "train_seconds_low|ratio|95 % from")
    times += columns("train_seconds_high|ratio|95 % to", "eval_seconds|ratio|evaluation time")
    other = columns("peak_memory_bytes|ratio|peak memory", "train_flops|ratio|FLOPs", "energy_joules|ratio|energy")
    return (*head, *times, *other, *columns("device_a|prose|device A", "device_b|prose|device B"))


def _reproduced(made: Comparison) -> str:
    return (
        f"{made.equal_trials} of {made.common_trials} trials with the same id in both folders have bit-equal scores. A "
        "trial's id is made from all that can change its result, other machines and package versions apart."
    )


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    rows = records(frame.astype(object)) if not frame.empty else []
    return [{key: None if missing(value) else value for key, value in row.items()} for row in rows]
