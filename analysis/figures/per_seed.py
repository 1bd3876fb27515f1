"""Every run a point, the runs of one seed joined: what means, intervals and paired differences are made of."""

from collections.abc import Iterator

import altair as alt
import pandas as pd

from finebench.analysis.figures import base
from finebench.analysis.figures.base import Figure, Rows, Style

KEPT = ("method", "seed", "score", "whole", "setting")

MOST_FIGURES = 18
"""As many as a page holds of one kind: those of the largest fractions."""

MOST_SEEDS, MOST_METHODS = 60, 12
"""Seeds and methods above which lines cannot be told apart; the table has them all."""


MOST_LETTERS = 54
"""Letters that stand side by side under the axis; longer names are tilted."""


def per_seed(frame: pd.DataFrame, look: Style) -> Iterator[Figure]:
    """A figure per task, budget and fraction with two methods or more, the largest fraction first."""
    if frame.empty:
        return
    found = frame[frame["score"].notna()].groupby(["fraction", "task", "budget"], sort=True)
    parts = sorted((part for _, part in found if _fits(part)), key=lambda part: part["fraction"].iloc[0], reverse=True)
    for number, part in enumerate(parts[:MOST_FIGURES], start=1):
        rows = base.safe_rows(part)
        name = f"per-seed-{number:02d}-{base.slug(rows[0]['task'])}"
        yield base.named(_draw(rows, look), name, "per-seed")


def _fits(part: pd.DataFrame) -> bool:
    return 1 < part["method"].nunique() <= MOST_METHODS and part["seed"].nunique() <= MOST_SEEDS


def _draw(rows: Rows, look: Style) -> Figure:
    shown = [row | {"whole": not row["collapsed"]} for row in rows]
    present = {row["method"] for row in rows}
    methods = [name for name in look.methods if name in present]
    angle = 0 if len(methods) * max(map(len, methods)) <= MOST_LETTERS else -30
    axis = alt.Axis(labelAngle=angle, grid=True)
    x = alt.X("method:N", title=None, sort=methods, axis=axis, scale=alt.Scale(type="point", padding=0.5))
    metric = rows[0]["metric"]
    y = base.score_axis(metric)
    tips = [alt.Tooltip("method:N"), base.tip("seed", "seed", "d"), base.tip("score", "score", ".4f")]
    chosen = alt.Tooltip("setting:N", title="configuration")
    colour, shape = look.colour().legend(None), look.shape().legend(None)
    mark = base.chart(shown, KEPT).mark_point(size=60 if len(rows) <= 12 * len(methods) else 30, strokeWidth=1.3)
    means = base.chart(_means(rows), KEPT).mark_tick(thickness=2.4, size=34, orient="horizontal", opacity=1)
    drawn = alt.layer(
        base.chart(shown, KEPT)
        .mark_line(strokeWidth=1, color="#7F7F7F", opacity=0.45)
        .encode(x=x, y=y, detail="seed:N"),
        mark.encode(
            x=x, y=y, color=colour, shape=shape, fill=colour, tooltip=[*tips, chosen],
            fillOpacity=alt.condition("datum.whole", alt.value(0.75), alt.value(0.0)),
        ),
        means.encode(x=x, y=y, color=colour),
    )  # fmt: skip
    share = f"{100 * rows[0]['fraction']:.4g} % of the data"
    heading = f"{look.where(rows)}, {share}: {metric} of every run, those of one seed joined; a bar is the mean"
    return base.finish(drawn, heading, _said(rows))


def _means(rows: Rows) -> Rows:
    by_method: dict[str, list[float]] = {}
    for row in rows:
        by_method.setdefault(row["method"], []).append(row["score"])
    return [{"method": method, "score": sum(scores) / len(scores)} for method, scores in by_method.items()]


def _said(rows: Rows) -> str:
    lines: dict[str, list[str]] = {}
    for row in rows:
        hollow = " (collapsed)" if row["collapsed"] else ""
        lines.setdefault(row["method"], []).append(f"{row['score']:.3f}{hollow} with seed {row['seed']}")
    return " ".join(f"{method}: {'; '.join(parts)}." for method, parts in lines.items())
