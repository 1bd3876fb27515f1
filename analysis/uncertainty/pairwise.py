"""Method against method: every pair within a task, fraction and budget, by common seeds and common examples."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from finebench.analysis.load.expected import Key
from finebench.analysis.load.frames import records
from finebench.analysis.load.rng import generator
from finebench.analysis.load.runs import budget_label
from finebench.analysis.statistics.estimate import Estimate
from finebench.analysis.statistics.holm import holm
from finebench.analysis.statistics.paired import difference, paired_p
from finebench.analysis.statistics.sample import Pairs, Sample, pair
from finebench.analysis.statistics.stochastic_order import almost_stochastic_order
from finebench.analysis.statistics.superiority import LEAST, superiority, verdict

PLACE = ("task", "fraction", "budget")


def couples(samples: Mapping[Key, Sample], methods: Sequence[str] = ()) -> Iterator[tuple[Key, Key]]:
    """The keys of every two methods that share a task, fraction and budget, in the order of `methods`."""
    rank = {name: place for place, name in enumerate(methods)}
    places: dict[tuple[str, float, str], list[Key]] = {}
    for key in sorted(samples, key=lambda k: (k[:3], rank.get(k[3], len(rank)), k[3])):
        places.setdefault(key[:3], []).append(key)
    for keys in places.values():
        yield from combinations(keys, 2)


def pairs(samples: Mapping[Key, Sample], methods: Sequence[str] = ()) -> pd.DataFrame:
    """One row per couple of methods, each at its chosen configuration.

    Columns: task, fraction, budget, budget_label, metric, a, b, score_a, score_b (means over common seeds), difference
    (a − b) with low, high, pairs and interval; p (two-sided, of no difference) and p_holm; superiority, P(A > B) on one
    seed, with superiority_low, superiority_high, superiority_interval, superiority_p, superiority_p_holm and verdict;
    order_bound, the 95 % upper bound of
    the stochastic order's ε for the method that is ahead, and order_note; why. p is missing below 6 pairs: no
    verdict rests on so few. p_holm corrects over every p of this table.
    """
    made = [_row(samples, a, b) for a, b in couples(samples, methods)]
    frame = pd.DataFrame(made)
    if not frame.empty:
        frame["p_holm"] = holm(frame["p"].to_numpy(dtype="float64"))
        frame["family"] = int(frame["p"].notna().sum())
        frame["superiority_p_holm"] = holm(frame["superiority_p"].to_numpy(dtype="float64"))
        frame["verdict"] = [_verdict(row) for row in records(frame)]
    return frame


def _row(samples: Mapping[Key, Sample], a: Key, b: Key) -> dict[str, Any]:
    first, second = samples[a], samples[b]
    both = pair(first, second)
    row: dict[str, Any] = dict(zip(PLACE, a[:3], strict=True)) | {"budget_label": budget_label(a[2])}
    row |= {"metric": first.metric, "a": a[3], "b": b[3]}
    made = difference(both)
    row |= {"score_a": _mean(both.a), "score_b": _mean(both.b), "difference": made.value, "low": made.low}
    row |= {"high": made.high, "pairs": made.n, "interval": made.method}
    row["p"] = paired_p(both) if made.n >= LEAST and not both.design.few else math.nan
    return row | _superiority(both) | _order(first, second, made.value) | {"why": _why(both, made.has_interval)}


def _verdict(row: dict[str, Any]) -> str:
    """Of P(A > B), its p corrected over every couple of the table."""
    ends = (row["superiority"], row["superiority_low"], row["superiority_high"])
    return verdict(Estimate(*ends, row["pairs"], ""), row["superiority_p_holm"])


def _mean(values: Any) -> float:
    return float(values.mean()) if values.size else math.nan


def _superiority(both: Pairs) -> dict[str, Any]:
    found = superiority(both.difference, both.design)
    value, low, high, n, how = found.estimate
    made = {"superiority": value, "superiority_low": low, "superiority_high": high, "superiority_interval": how}
    return made | {"superiority_p": found.p if n >= LEAST else math.nan}


def _order(first: Sample, second: Sample, ahead: float) -> dict[str, Any]:
    """The bound for whichever method has the higher mean, so that below 0.5 it is said to be ahead."""
    a, b = (first, second) if not ahead < 0 else (second, first)
    if first.scored.of.crossed or second.scored.of.crossed:
        return {"order_bound": math.nan, "order_note": "crossed seeds are no independent draws"}
    found = almost_stochastic_order(a.entered, b.entered, generator("order", a.name, b.name, a.configuration))
    return {"order_bound": found.high, "order_note": found.method if math.isnan(found.high) else f"of {a.name}"}


def _why(both: Pairs, has_interval: bool) -> str:
    if both.seeds.size == 0:
        return "no seed in common"
    if not has_interval:
        return (
            "one common seed: no interval"
            if both.seeds.size == 1
            else both.design.why or "every pair differs by the same"
        )
    if both.design.few:
        return f"no p: crossed seeds have {both.design.few}"
    return f"over seeds only: {both.why}" if both.why and not both.scored.n_examples else both.why
