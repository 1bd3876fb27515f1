"""Score against what it costs."""

from typing import Literal

import altair as alt
import pandas as pd

from analysis.figures import base
from analysis.figures.base import Figure, Look, Rows


def with_time(scores: pd.DataFrame, costs: pd.DataFrame) -> pd.DataFrame:
    """Scores at the largest fraction beside median train times; where several devices were used, the first by name."""
    if costs.empty or costs["train_seconds"].isna().all():
        return pd.DataFrame()
    keys = ["task", "fraction", "budget", "method"]
    known = costs[costs["train_seconds"].notna()].drop_duplicates(keys)
    return scores.drop(columns="train_seconds").merge(known[[*keys, "train_seconds", "device"]], on=keys)


def by_time(rows: Rows, look: Look) -> Figure:
    """Score against train time at the largest fraction, a point per method."""
    timed = [row | {"cost": row["train_seconds"]} for row in rows]
    x = cost_axis([row["cost"] for row in timed], "median train time (s, exclusive runs)")
    drawn = alt.layer(
        base.interval(timed, x, look), base.points(timed, x, look, [base.tip("cost", "train seconds", ",.3~r")])
    )
    title = f"{look.where(rows)}: {rows[0]['metric']} against train time"
    return base.finish(drawn, title, base.in_words(timed, lambda row: f"{row['cost']:.3g} s"))


def cost_axis(costs: list[float], title: str) -> alt.X:
    """A cost, on a log axis where the largest is more than eight times the smallest."""
    kind: Literal["log", "linear"] = "log" if max(costs) > 8 * min(costs) > 0 else "linear"
    scale = alt.Scale(type=kind, nice=False, padding=24, zero=False)
    return alt.X("cost:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, labelOverlap=True, format="~s"))
