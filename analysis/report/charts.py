"""The figures of a report, one definition each in a declarative grammar: for SVG and PNG files and for the page.

A file per idea; each figure is made from one frame of the report, and of one task and budget where scores of different
metrics would otherwise share an axis.
"""

from collections.abc import Iterator

from altair.utils.schemapi import debug_mode

from finebench.analysis.figures import (
    best_of,
    cost,
    forest,
    interim,
    learning_curves,
    learning_rate,
    over_tasks,
    pairs,
    per_seed,
    scores,
    shares,
    stability,
    verdicts,
)
from finebench.analysis.figures.base import Figure, Style, named, panels, safe_rows, top
from finebench.analysis.load.frames import largest
from finebench.analysis.report.contents import Contents


def figures(contents: Contents) -> list[Figure]:
    """All figures that the frames have rows for, in the order of the report."""
    several = contents.frames["scores"]["budget"].nunique() > 1
    look = Style(contents.methods, several)
    with debug_mode(False):  # the grammar's own check of every part takes two thirds of the time; a test has it on
        return [*_answer(contents, look), *_scores(contents, look), *_variance(contents, look), *_costs(contents, look)]


def _answer(contents: Contents, look: Style) -> Iterator[Figure]:
    frame = largest(contents.frames["scores"])
    scored = safe_rows(frame[frame["score"].notna()])
    if scored:
        yield named(scores.overview(scored, look), "overview", "overview")
    yield from verdicts.verdict_strips(list(contents.verdicts))
    yield from interim.looks(list(contents.verdicts))


def _scores(contents: Contents, look: Style) -> Iterator[Figure]:
    frame = contents.frames["scores"]
    if frame.groupby(["task", "budget"])["fraction"].nunique().max() > 1:
        yield from panels(scores.by_fraction, "score-by-fraction", frame, look)
    yield from per_seed.per_seed(contents.frames["per_seed"], look)
    yield from panels(learning_rate.by_lr, "score-by-lr", top(contents.frames["sensitivity"]), look)


def _variance(contents: Contents, look: Style) -> Iterator[Figure]:
    frames = contents.frames
    yield from pairs.differences(frames["pairs"], look)
    yield from forest.forests(frames["pairs"], look)
    yield from pairs.superiority(frames["pairs"], look)
    yield from over_tasks.over_tasks(frames["aggregates"], frames["profiles"], frames["ranks"], look)
    yield from shares.variance_shares(frames["variance_shares"], look)
    yield from stability.disagreement(frames["stability"], look)
    yield from best_of.expected_best(frames["best_of"], look)


def _costs(contents: Contents, look: Style) -> Iterator[Figure]:
    yield from cost.pareto(contents.frames["fronts"], contents.frames["scores"], look)
    curves = top(contents.frames["curves"])
    yield from panels(learning_curves.by_step, "learning-curve", curves, look)
    if not curves.empty:
        yield from panels(
            learning_curves.by_seconds, "learning-curve-seconds", curves[curves["train_seconds"] > 0], look
        )
        yield from panels(learning_curves.by_flops, "learning-curve-flops", curves[curves["train_flops"] > 0], look)
