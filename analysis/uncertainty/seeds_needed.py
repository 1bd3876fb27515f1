"""Power: the seeds that would settle each couple of methods at a margin stated beforehand, or that none would."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from finebench.analysis.load.expected import Key
from finebench.analysis.load.runs import budget_label
from finebench.analysis.statistics.crossed import components
from finebench.analysis.statistics.power import seeds_for_margin, seeds_range
from finebench.analysis.statistics.sample import Sample, pair
from finebench.analysis.uncertainty.pairwise import PLACE, couples
from finebench.bench.study.parts.claim_kinds import kind

DEFAULT_MARGIN = 0.01
"""Of a couple that no claim gives a margin: one point of the metric, the size of difference that papers report."""

FAR = "no number of seeds within reach"

LEAST_SEEDS = 3
"""Common seeds from which a variance is worth planning with."""


def power(
    samples: Mapping[Key, Sample], claims: Sequence[Mapping[str, Any]] = (), methods: Sequence[str] = ()
) -> pd.DataFrame:
    """One row per couple of methods: what it takes to decide at the margin, never at the observed difference.

    Columns: task, fraction, budget, budget_label, a, b, margin, margin_from (claim ids, or `default`), pairs,
    sd_seeds (of the difference from seed to seed), sd_examples (of its mean, that no number of seeds removes), needed
    (seeds that would support a true difference of 0) with its 80 % interval needed_low and needed_high, more_examples
    (by what factor the score split would have to grow where no number of seeds is enough), settles (in words).
    """
    made = []
    for a, b in couples(samples, methods):
        for margin, source in _margins(claims, a, b):
            made.append(_row(samples, a, b, margin) | {"margin_from": source})
    return pd.DataFrame(made)


def _margins(claims: Sequence[Mapping[str, Any]], a: Key, b: Key) -> list[tuple[float, str]]:
    """Each margin within which a claim says that these methods match on each task, with the claims' ids."""
    found: dict[float, list[str]] = {}
    for claim in claims:
        margin = claim.get("margin")
        if not isinstance(margin, int | float) or margin <= 0 or {claim.get("a"), claim.get("b")} != {a[3], b[3]}:
            continue
        plain = kind(claim.get("says")).holds == "within" and claim.get("scale") != "gain" and not claim.get("given")
        if plain and claim.get("tasks") != "pooled" and claim.get("fraction") in (None, a[1]):
            found.setdefault(float(margin), []).append(str(claim.get("id", "unnamed")))
    return sorted((margin, ", ".join(ids)) for margin, ids in found.items()) or [(DEFAULT_MARGIN, "default")]


def _row(samples: Mapping[Key, Sample], a: Key, b: Key, margin: float) -> dict[str, Any]:
    both = pair(samples[a], samples[b])
    row: dict[str, Any] = dict(zip(PLACE, a[:3], strict=True)) | {"budget_label": budget_label(a[2])}
    row |= {"a": a[3], "b": b[3], "margin": margin, "pairs": int(both.seeds.size)}
    blank = {"sd_seeds": math.nan, "sd_examples": math.nan, "needed": math.nan, "more_examples": math.nan}
    if both.seeds.size < LEAST_SEEDS:
        return row | blank | {"settles": f"not known from {both.seeds.size} common seeds"}
    if both.design.why:
        return row | blank | {"settles": f"not known: {both.design.why}"}
    found = components(both.scored)
    if not found.variance > 0:
        return row | blank | {"settles": "not known: every pair differs by the same"}
    needed = seeds_for_margin(found.of_seeds, found.examples, found.n_examples, margin)
    ends = seeds_range(found.of_seeds, found.seeds_df, found.examples, found.n_examples, margin)
    row |= {"needed_low": ends[0] or math.nan, "needed_high": ends[1] or math.nan}
    row |= {"sd_seeds": math.sqrt(found.of_seeds), "sd_examples": math.sqrt(found.examples)}
    row |= {"needed": needed.seeds or math.nan, "more_examples": needed.more_examples or math.nan}
    have = 0 if both.design.crossed else int(both.seeds.size)
    return row | {"settles": _words(needed.seeds, needed.more_examples, have, not both.scored.n_examples)}


def _words(seeds: int | None, examples: float | None, have: int, no_examples: bool) -> str:
    if seeds is None:
        return f"no number of seeds: {examples:.2g} times the scored examples are needed" if examples else FAR
    said = (
        "enough seeds are there"
        if seeds <= have
        else f"{seeds - have} more seeds"
        if have
        else f"{seeds} independent seeds"
    )
    return f"{said}; the examples’ own noise is not in it" if no_examples else said
