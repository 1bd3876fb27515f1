"""How values are worded: one place for numbers, bytes, seconds and p-values, whatever shows them."""

import math
from collections.abc import Callable
from typing import Any

import pandas as pd

BLANK = "–"
"""Shown where there is no value: not run, not measured, not defined."""


def missing(value: Any) -> bool:
    """Whether a cell holds no value; an infinite number is none."""
    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and not math.isfinite(value))


def word(value: Any, kind: str) -> str:
    """One cell in words; `BLANK` where there is no value."""
    if missing(value):
        return BLANK
    return KINDS[kind](value)


def _bytes(value: float) -> str:
    return _scaled(value, 1024.0, ("B", "KiB", "MiB", "GiB", "TiB"))


def _count(value: float) -> str:
    return f"{int(value):,}"


def _flops(value: float) -> str:
    return f"{value:.2e}"


def _seconds(value: float) -> str:
    if value >= 3600:
        return f"{value / 3600:.1f} h"
    return f"{value / 60:.1f} min" if value >= 120 else f"{value:.3g} s"


def _scaled(value: float, base: float, units: tuple[str, ...]) -> str:
    index = 0
    while abs(value) >= base and index < len(units) - 1:
        value, index = value / base, index + 1
    return f"{value:,.0f} {units[index]}" if index == 0 else f"{value:,.1f} {units[index]}"


def _percent(value: float) -> str:
    return f"{100 * value:.4g} %"


def _p(value: float) -> str:
    """A p-value; the tails of a t distribution are not known to more than this."""
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"


def _ratio(value: float) -> str:
    if value >= 0.095:
        return f"{value:.2f}×"
    if value == 0:
        return "0×"
    return f"{value:.2g}×" if value >= 1e-4 else f"{value:.1e}×"


KINDS: dict[str, Callable[[Any], str]] = {
    "text": str,
    "prose": str,  # may be long: the page lets it wrap
    "score": lambda v: f"{v:.4f}",
    "signed": lambda v: f"{v:+.4f}",
    "count": _count,
    "number": lambda v: f"{v:,.4g}",
    "lr": lambda v: f"{v:g}",
    "id": lambda v: str(int(v)),
    "p": _p,
    "percent": _percent,
    "level": lambda v: "exact" if v == 1 else _percent(v),  # an exact count has no interval
    "bytes": _bytes,
    "seconds": _seconds,
    "flops": _flops,
    "joules": lambda v: f"{v:,.0f} J",
    "money": lambda v: f"{v:,.2f}",
    "ratio": _ratio,
    "flag": lambda v: "yes" if v else "no",
}
