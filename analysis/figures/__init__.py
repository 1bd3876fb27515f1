"""The figures, one definition each in a declarative grammar: SVG and PNG files, and the same chart on the page.

A file per idea; each figure is made from one frame of the report, and of one task and budget where scores of different
metrics would otherwise share an axis.
"""

from collections.abc import Iterator

from analysis.contents import Contents
from analysis.figures import anytime, cost, learning_rate, pairs, scores, stability, verdicts
from analysis.figures.base import Figure, Look, named, panels, safe_rows, top
from analysis.frames import largest

__all__ = ["Figure", "figures"]


def figures(contents: Contents) -> list[Figure]:
    """All figures that the frames have rows for, in the order of the report."""
    several = contents.frames["scores"]["budget"].nunique() > 1
    look = Look(contents.methods, several)
    return [*_answer(contents, look), *_scores(contents, look), *_variance(contents, look), *_costs(contents, look)]


def _answer(contents: Contents, look: Look) -> Iterator[Figure]:
    frame = largest(contents.frames["scores"])
    scored = safe_rows(frame[frame["score"].notna()])
    if scored:
        yield named(scores.overview(scored, look), "overview", "overview")
    yield from verdicts.verdict_strips(list(contents.verdicts))


def _scores(contents: Contents, look: Look) -> Iterator[Figure]:
    frame = contents.frames["scores"]
    if frame.groupby(["task", "budget"])["fraction"].nunique().max() > 1:
        yield from panels(scores.by_fraction, "score-by-fraction", frame, look)
    yield from panels(learning_rate.by_lr, "score-by-lr", top(contents.frames["sensitivity"]), look)


def _variance(contents: Contents, look: Look) -> Iterator[Figure]:
    if "pairs" in contents.frames:
        yield from pairs.differences(contents.frames["pairs"], look)
        yield from pairs.superiority(contents.frames["pairs"], look)
    if "stability" in contents.frames:
        yield from stability.disagreement(contents.frames["stability"], look)


def _costs(contents: Contents, look: Look) -> Iterator[Figure]:
    yield from cost.pareto(contents.frames["fronts"], contents.frames["scores"], look)
    curves = top(contents.frames["curves"])
    yield from panels(anytime.by_step, "anytime", curves, look)
    if not curves.empty:
        yield from panels(anytime.by_seconds, "anytime-seconds", curves[curves["train_seconds"] > 0], look)
        yield from panels(anytime.by_flops, "anytime-flops", curves[curves["train_flops"] > 0], look)
