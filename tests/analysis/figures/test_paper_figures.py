"""Figures for a paper: every run a point, and two methods over all tasks."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finebench.analysis.figures import forest as forest_figures
from finebench.analysis.figures import per_seed as seed_figures
from finebench.analysis.figures.base import Figure, Style
from finebench.analysis.load.read import load_results
from finebench.analysis.report.charts import figures
from finebench.analysis.report.contents import Contents, analyse
from finebench.analysis.report.statics import to_svg
from tests.analysis.claim_folder import drawn
from tests.analysis.fixtures import HOSTILE

TRUTH = {"one": {"mean": 0.8, "sd": 0.02}, "two": {"mean": 0.75, "sd": 0.02}, "three": {"mean": 0.7, "sd": 0.02}}


@pytest.fixture(scope="module")
def contents(tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """Three methods on two tasks at two fractions; one run of one method fell to the constant predictor."""
    folder = drawn(tmp_path_factory.mktemp("paper"), TRUTH, [], seeds=6, tasks=("alpha", "beta"), fractions=(0.1, 1.0))
    for row in folder.rows["trials"]:
        if (row["task"], row["fraction"], row["method"], row["seed"]) == ("alpha", 1.0, "two", 4):
            row["score"] = 0.5
    return analyse(load_results(folder.write()))


@pytest.fixture(scope="module")
def made(contents: Contents) -> list[Figure]:
    return figures(contents)


def of(kind: str, made: list[Figure]) -> list[Figure]:
    return [figure for figure in made if figure.kind == kind]


def layers(figure: Figure) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The mark of each layer with its rows."""
    for layer in figure.spec["layer"]:
        data = layer["data"]
        yield layer["mark"]["type"], data["values"] if "values" in data else figure.spec["datasets"][data["name"]]


def test_every_reported_run_is_a_point_and_seeds_are_joined(contents: Contents, made: list[Figure]) -> None:
    frame = contents.frames["per_seed"]
    assert len(frame) == 3 * 2 * 2 * 6
    means = frame.groupby(["task", "fraction", "method"])["score"].mean()
    shown = contents.frames["scores"].set_index(["task", "fraction", "method"])["score"]
    assert means.to_dict() == pytest.approx(shown.to_dict())
    found = of("per-seed", made)
    assert [figure.name for figure in found] == [
        *("per-seed-01-alpha", "per-seed-02-beta", "per-seed-03-alpha", "per-seed-04-beta")
    ]
    assert [figure.title.split(":")[0] for figure in found[1:3]] == [
        "beta, 100 % of the data",
        "alpha, 10 % of the data",
    ]
    (line, joined), (point, runs), (tick, bars) = layers(found[0])
    assert (line, point, tick) == ("line", "point", "tick")
    assert len(joined) == len(runs) == 18
    assert found[0].spec["layer"][0]["encoding"]["detail"]["field"] == "seed"
    assert [(row["method"], row["seed"]) for row in runs if not row["whole"]] == [("two", 4)]
    assert {row["method"]: row["score"] for row in bars} == pytest.approx(shown["alpha", 1.0].to_dict())
    assert "0.500 (collapsed) with seed 4" in found[0].description


def test_a_couple_has_a_forest_over_its_tasks(contents: Contents, made: list[Figure]) -> None:
    found = of("forest", made)
    assert len(found) == 3 * 2
    assert found[0].title == "one − two, 100 % of the data: paired differences by task, with 95 % intervals"
    pairs = contents.frames["pairs"]
    want = pairs[(pairs["fraction"] == 1.0) & (pairs["a"] == "one") & (pairs["b"] == "two")]
    _, (_, spans), (_, marks) = layers(found[0])
    assert [row["place"] for row in marks] == ["alpha", "beta"]
    for key in ("difference", "low", "high"):
        assert [row[key] for row in spans] == pytest.approx(want[key].tolist())


def test_one_task_has_no_forest_and_two_metrics_are_named(contents: Contents) -> None:
    pairs, look = contents.frames["pairs"], Style(contents.methods, False)
    assert list(forest_figures.forests(pairs[pairs["task"] == "alpha"], look)) == []
    mixed = pairs.assign(metric=pairs["task"].map({"alpha": "f1", "beta": "mcc"}))
    first = next(forest_figures.forests(mixed, look))
    assert [row["place"] for row in dict(layers(first))["point"]] == ["alpha (f1)", "beta (mcc)"]


def test_more_than_can_be_read_is_left_to_the_table(contents: Contents, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, look = contents.frames["per_seed"], Style(contents.methods, False)
    monkeypatch.setattr(seed_figures, "MOST_FIGURES", 3)
    assert len(list(seed_figures.per_seed(frame, look))) == 3
    monkeypatch.setattr(seed_figures, "MOST_SEEDS", 5)
    assert list(seed_figures.per_seed(frame, look)) == []
    assert list(seed_figures.per_seed(pd.DataFrame(), look)) == []
    assert list(seed_figures.per_seed(frame[frame["method"] == "one"], look)) == []  # nothing to join
    monkeypatch.setattr(forest_figures, "MOST_FIGURES", 2)
    assert len(list(forest_figures.forests(contents.frames["pairs"], look))) == 2


def test_hostile_names_are_drawn(tmp_path: Path) -> None:
    truth = {"one": TRUTH["one"], HOSTILE: TRUTH["two"]}
    folder = drawn(tmp_path, truth, [], seeds=3, tasks=("alpha", HOSTILE))
    found = figures(analyse(load_results(folder.write())))
    for figure in [*of("forest", found), *of("per-seed", found)]:
        assert "<script>" not in to_svg(figure.spec)
