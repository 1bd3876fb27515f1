"""Figures as SVG and PNG files, rendered from the same specification that the page shows."""

from functools import cache
from textwrap import wrap
from typing import Any

import vl_convert

from finebench.analysis.figures.palette import config

LETTERS = 64
"""Letters of a title that a figure of 430 pixels holds in a line."""

SCALE = 2.0
"""PNG pixels per pixel of the figure."""


def to_svg(spec: dict[str, Any]) -> str:
    """The chart as SVG, dark on a transparent ground; a title longer than the chart is wide stands in lines."""
    titled = spec | {"title": wrap(spec["title"], LETTERS)}
    return str(vl_convert.vegalite_to_svg(titled, config=config(), show_warnings=False))


def to_png(svg: str) -> bytes:
    """The SVG as PNG on white."""
    opaque = svg.replace(">", '><rect width="100%" height="100%" fill="white"/>', 1)
    return bytes(vl_convert.svg_to_png(opaque, scale=SCALE))


@cache
def javascript() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script that loads nothing else."""
    return str(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # its stub demands an optional argument
