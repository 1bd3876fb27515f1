"""Marks that tell methods apart without relying on colour alone, and the look of every chart."""

from collections.abc import Sequence
from typing import Any

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#C466A0", "#B37A00", "#2F93D0", "#8C6D31", "#7F7F7F")
"""Okabe and Ito's hues without black and yellow, and two more; all at least 3 : 1 against white and the dark page."""

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
"""Seven, so that a colour repeats with another shape: 56 distinct marks."""


def marks(methods: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and shape of each method, the same in every figure of a report."""
    return {name: (COLOURS[i % len(COLOURS)], SHAPES[i % len(SHAPES)]) for i, name in enumerate(methods)}


LEGEND = {"orient": "bottom", "columns": 4, "labelLimit": 220}


def config(ink: str = "#1c1f23", faint: str = "#d9dce1") -> dict[str, Any]:
    """Vega-Lite config: transparent ground, so that the page's own shows through."""
    font = "system-ui, 'Segoe UI', 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif"
    axis = {"labelColor": ink, "titleColor": ink, "gridColor": faint, "domainColor": ink, "tickColor": ink}
    sizes = {"labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 260}
    return {
        "background": "transparent",
        "font": font,
        "view": {"stroke": None},
        "axis": axis | sizes | {"gridOpacity": 0.7},
        "axisQuantitative": {"labelOverlap": True, "labelSeparation": 6},  # a label that has no room is left out
        "legend": {"labelColor": ink, "titleColor": ink, "labelFontSize": 12, "symbolSize": 80, "symbolOpacity": 1}
        | LEGEND,
        "title": {"color": ink, "fontSize": 13, "anchor": "start", "subtitleColor": ink, "subtitleFontSize": 11},
    }
