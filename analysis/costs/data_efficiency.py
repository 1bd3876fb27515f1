"""How little data is enough: the fraction at which a method reaches 95 % and 99 % of the reference with all data.

The reference is the method that trains most parameters, at the largest fraction; the share is of its gain over the
constant predictor (`statistics/saturation.py` says why). Between measured fractions scores are taken as straight in
log fraction.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from finebench.analysis.load.cost_columns import reference
from finebench.analysis.load.expected import Key
from finebench.analysis.load.frames import groups
from finebench.analysis.load.runs import budget_label
from finebench.analysis.statistics.design import design
from finebench.analysis.statistics.root import Root
from finebench.analysis.statistics.sample import Sample
from finebench.analysis.statistics.saturation import reach

SHARES = (0.95, 0.99)

WORDS = {
    "crosses": "reached",
    "above from the start": "reached at the smallest fraction",
    "never": "not reached",
    "no curve": "no curve",
}


def reached(scores: pd.DataFrame, samples: Mapping[Key, Sample]) -> pd.DataFrame:
    """One row per task × budget × method × share, where the study has more than one fraction.

    Columns: task, budget, budget_label, method, reference, share, target (mean score), fraction, low, high, n (seeds
    that all of it rests on), outcome, why. low and high are missing where the interval is open; why says so.
    """
    made: list[dict[str, Any]] = []
    scored = scores[scores["n"] > 0]
    for (task, budget), rows in groups(scored, ["task", "budget"]).items():
        fractions = sorted(set(rows["fraction"]))
        top = rows[rows["fraction"] == fractions[-1]]
        if len(fractions) < 2:
            continue
        most = reference(top)
        constant = float(top.loc[top["method"] == most, "majority"].iloc[0])
        head = {"task": task, "budget": budget, "budget_label": budget_label(budget), "reference": most}
        for method in sorted(set(rows["method"])):
            keys = [(task, f, budget, method) for f in fractions if (task, f, budget, method) in samples]
            made += _method(head | {"method": method}, keys, samples, (task, fractions[-1], budget, most), constant)
    return pd.DataFrame(made)


def _method(
    head: dict[str, Any], keys: list[Key], samples: Mapping[Key, Sample], top: Key, constant: float
) -> list[dict[str, Any]]:
    by_seed = [dict(zip(samples[k].seeds.tolist(), samples[k].entered.tolist(), strict=True)) for k in (*keys, top)]
    seeds = sorted(set.intersection(*(set(one) for one in by_seed)))
    table = np.array([[one[seed] for one in by_seed] for seed in seeds]).reshape(len(seeds), len(by_seed))
    gain = float(table[:, -1].mean()) - constant if len(seeds) else math.nan
    made = []
    for share in SHARES:
        row = head | {"share": share, "target": constant + share * gain, "n": len(seeds)}
        if not gain > 0:
            row |= {"fraction": math.nan, "low": math.nan, "high": math.nan, "outcome": "no curve"}
            why = "no seed is there at every fraction" if not seeds else "the reference learned nothing"
            made.append(row | {"why": why})
            continue
        x = np.array([key[1] for key in keys], dtype=np.float64)
        over = design(np.array(seeds, dtype=np.int64))
        made.append(row | _shown(reach(x, table[:, :-1], table[:, -1], constant, share, over=over)))
    return made


def _shown(root: Root) -> dict[str, Any]:
    return {
        "fraction": root.value,
        "low": root.low if math.isfinite(root.low) else math.nan,
        "high": root.high if math.isfinite(root.high) else math.nan,
        "outcome": WORDS[root.outcome],
        "why": open_ends(root),
    }


def open_ends(root: Root) -> str:
    """Where the interval does not end within the measured range."""
    if root.n < 2:
        return "one seed: no interval" if root.n else ""
    ends = {(True, True): "both ends", (True, False): "the lower end", (False, True): "the upper end"}
    which = ends.get((root.low == -math.inf, root.high == math.inf))
    return f"{which} of the interval is outside what was measured" if which else ""
