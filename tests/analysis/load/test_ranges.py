"""Intervals end where their metric does, in every table and figure, and nothing else changes with that."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finebench.analysis.compare.report import write_comparison
from finebench.analysis.load.ranges import DIFFERENCE, SCORE, claim_within_range, span, width
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.report.charts import figures
from finebench.analysis.report.contents import analyse
from finebench.analysis.scores.samples import Samples
from finebench.analysis.statistics.paired import paired_p
from finebench.analysis.statistics.sample import pair
from tests.analysis.fixtures import Folder, empty

SCORES = {"one": (0.99, 0.7, 0.98), "two": (0.02, 0.6, 0.05)}


def wide(path: Path, metric: str = "accuracy", shift: float = 0.0) -> Folder:
    """Three seeds that scatter so much that every interval goes beyond the metric's range, at both of its ends."""
    claims = [{"id": "c", "says": "better", "a": "one", "b": "two"}, {"id": "m", "says": "varies_more", "a": "one"}]
    folder = empty(path, claims=claims, methods={"one": {"lr": [1e-4, 1e-3]}, "two": {}})
    for method, scores in SCORES.items():
        for seed, score in enumerate(scores, start=1):
            for lr in (1e-4, 1e-3):
                given = {"method": method, "seed": seed, "lr": lr, "metric": metric, "majority_score": 0.0}
                trial = folder.add(**given, score=abs(score - shift), select_score=lr)
                folder.curve(trial, [(20, 0.5, score), (200, 0.6, score)])
    folder.study["claims"][1]["b"] = "two"
    return folder


def test_no_shown_interval_goes_beyond_the_metric(tmp_path: Path) -> None:
    contents = analyse(load_results(wide(tmp_path).write()))
    reached = set()
    for keys, least in ((SCORE, 0.0), (DIFFERENCE, -1.0)):
        for name, ends in keys.items():
            frame = contents.frames.get(name, pd.DataFrame())
            for end in ends if len(frame) else ():
                assert frame[end].dropna().between(least, 1.0).all(), (name, end)
                reached |= {name} if frame[end].isin([least, 1.0]).any() else set()
    assert reached >= {"scores", "sensitivity", "curves", "pairs", "robustness"}  # or nothing here is tested


def values(spec: Any) -> Iterator[dict[str, Any]]:
    """Every row of data in a chart."""
    if isinstance(spec, list):
        yield from spec if all(isinstance(one, dict) and "method" in one for one in spec) else ()
    parts = spec.values() if isinstance(spec, dict) else spec if isinstance(spec, list) else ()
    for part in parts:
        yield from values(part)


def test_no_figure_draws_beyond_the_metric(tmp_path: Path) -> None:
    contents = analyse(load_results(wide(tmp_path).write()))
    drawn = [figure for figure in figures(contents) if figure.kind in ("overview", "score-by-lr", "learning-curve")]
    assert len(drawn) == 3
    for figure in drawn:
        ends = [row for row in values(figure.spec) if "low" in row]
        assert ends
        assert all(0 <= row["low"] <= row["high"] <= 1 for row in ends), figure.kind


def test_claims_show_differences_within_the_range_and_keep_their_p(tmp_path: Path) -> None:
    results = load_results(wide(tmp_path).write())
    contents = analyse(results)
    better, other = contents.verdicts
    assert (better["low"], better["high"]) == (better["per_task"][0]["low"], better["per_task"][0]["high"])
    assert better["high"] == 1.0  # three pairs: the interval reaches beyond what can be
    samples = Samples(results, runs(results))
    one, two = (samples["alpha", 1.0, json.dumps(results.study["budget"][0], sort_keys=True), m] for m in SCORES)
    assert better["per_task"][0]["p"] == pytest.approx(paired_p(pair(one, two)))
    assert claim_within_range(other, {"alpha": "accuracy"}) is other  # a ratio has no such range


def test_a_comparison_shows_differences_within_the_range(tmp_path: Path) -> None:
    a, b = wide(tmp_path / "a"), wide(tmp_path / "b", shift=0.9)
    frame = write_comparison(a.write(), b.write()).comparison.frames["changes"]
    assert frame["low"].min() == -1.0
    assert frame["high"].max() <= 1.0


def test_ranges_by_metric() -> None:
    assert [width(name) for name in ("accuracy", "mcc", "rmse", "the user's own")] == [1, 2, float("inf"), float("inf")]
    assert span("pearson") == (-1, 1)
