"""The frames of the variance section, by numbers made by hand; estimators have tests of their own."""

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.report.contents import analyse
from finebench.analysis.report.layout import tables
from finebench.analysis.scores.lr_sensitivity import sensitivity
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.scores import scores
from finebench.analysis.statistics.superiority import LEAST
from finebench.analysis.uncertainty.across_tasks import aggregate, blocks, critical, improvements, profiles
from finebench.analysis.uncertainty.equal_budget import tuning
from finebench.analysis.uncertainty.expected_best import best_of, refusal
from finebench.analysis.uncertainty.lr_tolerance import plateau
from finebench.analysis.uncertainty.pairwise import pairs
from finebench.analysis.uncertainty.prediction_agreement import stability
from finebench.analysis.uncertainty.seeds_needed import power
from finebench.analysis.uncertainty.variance import variance
from finebench.analysis.uncertainty.variance_components import TOGETHER, sources
from finebench.analysis.uncertainty.without_collapsed import robustness
from finebench.bench.methods import methods
from tests.analysis.fixtures import Folder, draw, empty


class Read:
    """A folder as the frames see it."""

    def __init__(self, folder: Folder) -> None:
        self.results = load_results(folder.write())
        self.runs = runs(self.results)
        self.expected = Expectation(self.results.plan, self.runs)
        self.samples = Samples(self.results, self.runs)
        self.scores = scores(self.runs, self.expected, self.samples)

    def tuning(self) -> pd.DataFrame:
        return tuning(self.runs, self.scores, best_of(self.runs, self.results.study), self.samples, self.results.study)


def rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(k): v for k, v in row.items()} for row in frame.to_dict("records")]


def test_leaving_collapsed_runs_out_is_shown_beside_the_score(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed, score in ((1, 0.8), (2, 0.9)):
        folder.add(seed=seed, score=score)
    folder.add(seed=3, status="diverged", majority_score=0.5)
    read = Read(folder)
    (row,) = rows(robustness(read.samples, read.scores))
    assert (row["score"], row["without"], row["change"]) == pytest.approx((2.2 / 3, 0.85, 0.85 - 2.2 / 3))
    assert (row["left_out"], row["n"], row["collapsed_share"]) == (1, 3, pytest.approx(1 / 3))
    assert row["collapsed_low"] == pytest.approx(0.0084, abs=1e-4)  # Clopper and Pearson, 1 of 3
    assert row["collapsed_high"] == pytest.approx(0.9057, abs=1e-4)


def test_every_collapsed_run_is_left_out_with_or_without_predictions(tmp_path: Path) -> None:
    """Seed 3 fell to the constant predictor's score, seed 4 below it; only seed 4 says with what predictions."""
    folder = empty(tmp_path)
    for seed, score in ((1, 0.8), (2, 0.9), (3, 0.5)):
        folder.add(seed=seed, score=score)
    folder.predict(folder.add(seed=4, score=0.25), [0.0, 0.0, 1.0, 0.0])
    read = Read(folder)
    (row,) = rows(robustness(read.samples, read.scores))
    assert (row["left_out"], row["collapsed"], row["n"]) == (2, 2, 4)
    assert row["without"] == pytest.approx(0.85)


def versus(folder: Folder, seeds: int, gap: float, method: str = "two") -> None:
    for seed in range(1, seeds + 1):
        noise = 0.01 * math.sin(7 * seed)
        folder.add(seed=seed, score=0.8 + noise, method="one")
        folder.add(seed=seed, score=0.8 + gap + noise + 0.002 * math.cos(11 * seed), method=method)


def test_pairs_use_the_pairing_and_correct_for_their_number(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    versus(folder, 8, 0.01)
    for seed in range(1, 9):
        folder.add(seed=seed, score=0.8 + 0.01 * math.sin(7 * seed) + 0.0001 * (-1) ** seed, method="three")
    made = {(row["a"], row["b"]): row for row in rows(pairs(Read(folder).samples, ["one", "two", "three"]))}
    assert list(made) == [("one", "two"), ("one", "three"), ("two", "three")]
    first = made["one", "two"]
    assert first["difference"] == pytest.approx(-0.01, abs=0.002)
    assert first["high"] < 0 < 0.8 - abs(first["low"])  # the common noise is gone
    assert (first["superiority"], first["verdict"], first["pairs"]) == (0.0, "meaningful", 8)
    assert made["one", "three"]["verdict"] == "not significant"
    assert made["one", "three"]["superiority"] == 0.5
    assert first["p_holm"] == pytest.approx(min(1, max(2 * first["p"], 3 * min(r["p"] for r in made.values()))))
    assert first["family"] == 3
    assert first["order_note"] == "needs 10 seeds of each, has 8"


def test_five_pairs_give_no_p_and_no_verdict(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    versus(folder, LEAST - 1, 0.3)
    (row,) = rows(pairs(Read(folder).samples))
    assert math.isnan(row["p"])
    assert math.isnan(row["p_holm"])
    assert row["verdict"] == "none: 5 of the 6 pairs that a verdict needs"
    assert not math.isnan(row["low"])


def test_power_is_at_the_claims_margin_and_not_at_the_observed_difference(tmp_path: Path) -> None:
    claims = [{"id": "c1", "says": "matches", "a": "two", "b": "one", "margin": 0.02}]
    needed = []
    for gap in (0.0, 0.3):
        folder = empty(tmp_path / str(gap), claims=claims)
        versus(folder, 8, gap)
        (row,) = rows(power(Read(folder).samples, claims))
        assert (row["margin"], row["margin_from"]) == (0.02, "c1")
        needed.append(row["needed"])
    assert needed[0] == needed[1]
    (default,) = rows(power(Read(folder).samples, [{"id": "c2", "a": "one", "b": "other", "margin": 0.5}]))
    assert (default["margin"], default["margin_from"]) == (0.01, "default")


def test_power_says_where_only_more_examples_would_do(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    labels = np.arange(60) % 2
    rng = np.random.default_rng(0)
    for method, share in (("one", 0.2), ("two", 0.25)):
        wrong = rng.random(60) < share  # the same examples for every seed: their noise does not shrink with seeds
        for seed in (1, 2, 3, 4):
            mine = wrong.copy()
            mine[seed] = ~mine[seed]
            folder.predict(folder.add(seed=seed, method=method, score=1 - mine.mean()), (labels ^ mine).astype(float))
    (row,) = rows(power(Read(folder).samples))
    assert math.isnan(row["needed"])
    assert row["more_examples"] > 1
    assert "no number of seeds" in row["settles"]


def crossed(folder: Folder, lrs: tuple[float, ...] = (1e-3,), drop: bool = False) -> None:
    for lr in lrs:
        for init in (1, 2, 3):
            for order in (1, 2):
                code = init if init == order == 1 else init * 1_000_000 + order * 1_000 + 1
                if drop and (init, order) == (3, 2):
                    continue
                folder.add(seed=code, lr=lr, score=0.8 + 0.02 * init + 0.001 * order + (0.1 if lr == 1e-3 else 0))


def test_crossed_seeds_tell_the_sources_apart(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    crossed(folder)
    made = [row for row in rows(sources(*both(folder))) if row["scope"] == "within a method"]
    assert [row["source"] for row in made] == [
        "head initialisation", "data order", "head initialisation × data order and what is left",
    ]  # fmt: skip
    assert made[0]["variance"] == pytest.approx(0.02**2)  # the variance of 0.02, 0.04, 0.06
    assert made[1]["variance"] == pytest.approx(0.001**2 / 2)
    assert made[0]["share"] > 0.99
    assert made[0]["levels"] == "3 × head initialisation, 2 × data order"
    assert made[0]["why"] == "not varied: subset"


def both(folder: Folder) -> tuple[pd.DataFrame, Samples]:
    read = Read(folder)
    return read.runs, read.samples


def test_the_learning_rate_is_a_source_too(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    crossed(folder, lrs=(1e-4, 1e-3))
    made = {row["source"]: row for row in rows(sources(*both(folder))) if row["scope"] == "within a method"}
    assert made["learning rate"]["variance"] == pytest.approx(0.1**2 / 2)
    assert len(made) == 7


def test_paired_seeds_cannot_be_taken_apart_and_holes_are_said(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    versus(folder, 4, 0.05)
    made = rows(sources(*both(folder)))
    assert {row["source"] for row in made if row["scope"] == "between methods"} == {
        "method", "seed", "method × seed and what is left",
    }  # fmt: skip
    assert all(row["why"] == TOGETHER for row in made if row["scope"] == "between methods")
    alone = [row for row in made if row["scope"] == "within a method"]
    assert all(row["why"] == f"nothing else varied, so no share; {TOGETHER}" for row in alone)
    assert all(math.isnan(row["share"]) and row["low"] < row["variance"] < row["high"] for row in alone)
    holed = empty(tmp_path / "holed")
    crossed(holed, drop=True)
    assert rows(sources(*both(holed)))[0]["why"] == "crossed seeds are incomplete: 5 of 6 combinations are there"


def test_plateau_by_hand(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for lr, score in ((1e-5, 0.5), (1e-4, 0.79), (1e-3, 0.8), (1e-2, 0.6)):
        for seed, off in ((1, -0.02), (2, 0.0), (3, 0.02)):
            folder.add(seed=seed, lr=lr, score=score + off, select_score=score)
    read = Read(folder)
    (row,) = rows(plateau(sensitivity(read.runs, read.expected), read.tuning()))
    assert row["se"] == pytest.approx(0.02 / math.sqrt(3))
    assert (row["best_lr"], row["lr_low"], row["lr_high"], row["tried"]) == (1e-3, 1e-4, 1e-3, 4)
    assert (row["factor"], row["decades"], row["drop"]) == pytest.approx((10, 1, 0.3))
    assert row["open"] is False


def test_the_best_learning_rate_is_the_one_that_select_prefers(tmp_path: Path) -> None:
    """The highest held-out score is a lucky one: measured against it, the learning rate that was chosen falls short."""
    folder = empty(tmp_path)
    for lr, score, select in ((1e-4, 0.83, 0.80), (1e-3, 0.80, 0.81), (1e-2, 0.60, 0.70)):
        for seed, off in ((1, -0.02), (2, 0.0), (3, 0.02)):
            folder.add(seed=seed, lr=lr, score=score + off, select_score=select)
    read = Read(folder)
    (row,) = rows(plateau(sensitivity(read.runs, read.expected), read.tuning()))
    assert (row["best_lr"], row["best"]) == (1e-3, pytest.approx(0.80))
    assert (row["lr_low"], row["lr_high"]) == (1e-4, 1e-3)
    assert row["drop"] == pytest.approx(0.2)


def test_a_learning_rate_without_all_its_seeds_is_on_no_plateau(tmp_path: Path) -> None:
    """One lucky seed must not be the best that others are measured against."""
    folder = empty(tmp_path)
    for lr, scored in ((1e-4, (0.78, 0.79, 0.80)), (1e-3, (0.79, 0.80, 0.81)), (1e-2, (0.99,))):
        for seed, score in enumerate(scored, start=1):
            folder.add(seed=seed, lr=lr, score=score, select_score=score)
    read = Read(folder)
    (row,) = rows(plateau(sensitivity(read.runs, read.expected), read.tuning()))
    assert (row["best_lr"], row["tried"]) == (1e-3, 2)
    assert row["why"] == "1 of 3 learning rates left out, whose seeds are not all there"


def test_tries_without_all_their_seeds_are_not_drawn_from(tmp_path: Path) -> None:
    folder = empty(tmp_path, search={"optuna": {"sampler": "random", "trials": 3, "seeds": 2}})
    for lr, scored in ((1e-4, (0.6, 0.8)), (1e-3, (0.8, 1.0)), (1e-2, (0.1,))):
        for seed, score in enumerate(scored, start=1):
            folder.add(stage="search", seed=seed, lr=lr, score=score, select_score=score)
    folder.add(stage="search", seed=2, lr=1e-2, status="error", reason="boom")
    made = rows(best_of(Read(folder).runs, folder.study))
    assert [row["expected"] for row in made] == pytest.approx([0.8, 0.9])
    assert {row["why"] for row in made} == {"1 of the tries left out, whose seeds are not all there"}


def confirmed(folder: Folder) -> None:
    for lr, select in ((1e-4, 0.7), (1e-3, 0.9)):
        for seed in (1, 2):
            folder.add(lr=lr, seed=seed, select_score=select)
    for seed in (1001, 1002, 1003):
        folder.add(stage="confirm", lr=1e-3, seed=seed, score=0.8 + seed / 1e5)
        folder.add(stage="confirm", lr=1e-4, seed=seed, score=0.7 + seed / 1e5)


def test_tuning_sets_default_and_tuned_side_by_side(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    confirmed(folder)
    (row,) = rows(Read(folder).tuning())
    assert (row["default"], row["tuned"], row["gain"]) == pytest.approx((0.71002, 0.81002, 0.1))
    assert (row["default_n"], row["default_note"], row["reused"], row["edge"]) == (3, "", False, "highest")
    assert (row["configurations"], row["trials"], row["k"]) == (2, 4, 2)
    assert row["best_of_note"].startswith("a grid")


def test_a_grid_without_confirm_seeds_knows_no_default_and_is_flagged(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for lr, select in ((1e-4, 0.7), (1e-3, 0.9), (1e-2, 0.3)):
        folder.add(lr=lr, seed=1, select_score=select)
    (row,) = rows(Read(folder).tuning())
    assert math.isnan(row["default"])
    assert "confirm_seeds" in row["default_note"]
    assert (row["reused"], row["edge"]) == (True, "")


def defaults() -> tuple[str, dict[str, Any]]:
    """A method that this installation has, and its default hyperparameters."""
    name = next(name for name in sorted(methods()) if not name.endswith(":"))
    return name, methods()[name]().model_dump()


@pytest.mark.parametrize("best", [False, True])
def test_a_default_that_is_on_the_grid_is_known_without_confirm_runs(tmp_path: Path, best: bool) -> None:
    name, hp = defaults()
    default_lr = hp.pop("lr")
    folder = empty(tmp_path, methods={name: {}})
    for lr, level in ((default_lr, 0.9 if best else 0.7), (default_lr / 10, 0.8)):
        for seed in (1, 2, 3):
            score = level + seed / 1e3 + (seed * lr) / 1e3
            folder.add(method=name, lr=lr, hp=hp, seed=seed, select_score=level, score=score)
    (row,) = rows(Read(folder).tuning())
    assert row["default"] == pytest.approx((0.9 if best else 0.7) + 0.002 + 2 * default_lr / 1e3)
    assert row["default_n"] == 3
    assert row["default_note"] == ("the default was chosen" if best else "of the runs that chose")
    assert row["gain"] == pytest.approx(0.0 if best else row["tuned"] - row["default"])


def test_other_hyperparameters_than_the_default_s_are_not_the_default(tmp_path: Path) -> None:
    name, hp = defaults()
    folder = empty(tmp_path, methods={name: {}})
    folder.add(method=name, lr=hp.pop("lr"), hp=hp | {"other": 1})
    (row,) = rows(Read(folder).tuning())
    assert math.isnan(row["default"])
    assert "not among what was tried" in row["default_note"]


def test_expected_best_is_for_random_search_alone(tmp_path: Path) -> None:
    folder = empty(tmp_path, search={"optuna": {"sampler": "random", "trials": 3}})
    for lr, score in ((1e-4, 0.7), (1e-3, 0.9), (1e-2, 0.8)):
        folder.add(lr=lr, score=score, select_score=score, stage="search")
    read = Read(folder)
    made = rows(best_of(read.runs, read.results.study))
    assert [row["tries"] for row in made] == [1, 2, 3]
    assert [row["expected"] for row in made] == pytest.approx([0.8, 2.6 / 3, 0.9])  # of two: 0.9, 0.9 or 0.8
    assert [row["train_seconds"] for row in made] == [10, 20, 30]
    assert rows(read.tuning())[0]["best_of_k"] == pytest.approx(0.9)
    folder.add(lr=3e-3, status="pruned", stage="search")
    assert rows(best_of(Read(folder).runs, read.results.study))[0]["why"].startswith("some tries were pruned")


@pytest.mark.parametrize(
    ("study", "reason"),
    [
        ({"search": "grid"}, "a grid"),
        ({"search": {"grid": {"confirm_seeds": 2}}}, "a grid"),
        ({"search": {"optuna": {"trials": 9}}}, "tpe: each try depends on those before it"),
        ({}, "no study.yaml"),
        ({"search": {"optuna": {"sampler": "random"}}}, ""),
    ],
)
def test_other_searches_are_refused_with_the_reason(study: dict[str, Any], reason: str) -> None:
    assert refusal(study).startswith(reason)
    assert bool(refusal(study)) == bool(reason)


def test_churn_between_seeds_of_equal_score(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    labels = np.arange(20) % 2
    for seed in (1, 2):
        wrong = np.isin(np.arange(20), [seed, seed + 5])
        folder.predict(folder.add(seed=seed, score=0.9), (labels ^ wrong).astype(float))
    (row,) = rows(stability(Read(folder).samples))
    assert (row["disagreement"], row["unanimous"], row["both_wrong"], row["sd"]) == (0.2, 0.8, 0.0, 0.0)
    assert (row["n"], row["examples"], row["kind"]) == (2, 20, "classes")


def over(folder: Folder, tasks: int) -> None:
    for task in range(tasks):
        for method, score, params in (("big", 0.9, 1000), ("small", 0.8, 10)):
            for seed in (1, 2, 3):
                given = {"task": f"t{task}", "method": method, "seed": seed, "trainable_params": params}
                folder.add(score=score + seed / 1000, majority_score=0.5, **given)


def test_tasks_are_put_on_one_scale(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    over(folder, 2)
    read = Read(folder)
    found = blocks(read.samples, read.scores)
    big, small = rows(aggregate(found))
    assert (big["method"], small["method"]) == ("big", "small")
    assert big["iqm"] == pytest.approx(1.0)
    assert small["iqm"] == pytest.approx(0.302 / 0.402)
    assert small["low"] < small["iqm"] < small["high"]
    assert (big["tasks"], big["seeds"], big["scale"].count("big")) == (2, 3, 1)
    (only,) = rows(improvements(found))
    assert (only["a"], only["b"], only["probability"]) == ("big", "small", 1.0)
    assert 0.5 < only["low"] < 0.9  # resamples of runs that are all ahead would show nothing else
    assert only["high"] == pytest.approx(1, abs=1e-3)
    shape = profiles(found)
    assert set(shape["method"]) == {"big", "small"}
    assert shape.groupby("method")["share"].apply(lambda s: s.is_monotonic_decreasing).all()


@pytest.mark.parametrize(
    ("gain", "spread", "why"),
    [(0.005, 0.0, "less than 0.01 above a constant: t9"), (0.02, 0.02, r"4 standard errors.*t9 \+0.020 ± 0.012")],
)
def test_a_task_whose_gain_is_not_known_has_no_scale(tmp_path: Path, gain: float, spread: float, why: str) -> None:
    """It is in no average of shares of a gain; raw scores need no scale, and keep it."""
    folder = empty(tmp_path)
    over(folder, 2)
    for method, params in (("big", 1000), ("small", 10)):
        for seed in (1, 2, 3):
            given = {"task": "t9", "method": method, "seed": seed, "trainable_params": params}
            folder.add(score=0.5 + gain + (seed - 2) * spread, majority_score=0.5, **given)
    read = Read(folder)
    found = blocks(read.samples, read.scores)
    big, small = rows(aggregate(found))
    assert big["tasks"] == 2
    assert small["iqm"] == pytest.approx(0.302 / 0.402)  # as without that task
    assert re.search(why, big["why"])
    assert set(profiles(found)["tasks"]) == {2}
    (only,) = rows(improvements(found))
    assert (only["tasks"], only["why"], "scale" in only) == (3, "", False)
    assert only["probability"] == pytest.approx((1 + 1 + 0.5) / 3)


def test_a_task_without_a_scale_decides_no_seeds_of_the_others(tmp_path: Path) -> None:
    """It may have stopped early, or have no seed that all methods have."""
    folder = empty(tmp_path)
    over(folder, 4)
    for method, params, seeds in (("big", 1000, (1,)), ("small", 10, (2,))):
        for seed in seeds:
            given = {"task": "t9", "method": method, "seed": seed, "trainable_params": params}
            folder.add(score=0.505, majority_score=0.5, **given)
    read = Read(folder)
    found = blocks(read.samples, read.scores.assign(complete=True))  # all that is planned there
    assert {row["seeds"] for row in rows(aggregate(found))} == {3}
    assert improvements(found).empty
    (row,) = rows(critical(found))
    assert "no seed in common" in row["why"]


def test_the_error_of_a_gain_is_that_of_the_cell_which_sets_it(tmp_path: Path) -> None:
    """Not that of one with more data which has not ended."""
    folder = empty(tmp_path, seeds=3, fractions=[0.1, 1.0])
    for task, spread in (("t0", 0.0), ("t1", 0.0), ("t9", 0.02)):
        for method, score, params in (("big", 0.52, 1000), ("small", 0.51, 10)):
            for seed in (1, 2, 3):
                given = {"task": task, "method": method, "seed": seed, "trainable_params": params}
                folder.add(score=score + (seed - 2) * spread, majority_score=0.5, fraction=0.1, **given)
    before = Read(folder)
    folder.add(score=0.52, majority_score=0.5, task="t9", method="big", seed=1, trainable_params=1000, fraction=1.0)
    after = Read(folder)
    after.scores.loc[after.scores["fraction"] == 1.0, "complete"] = False
    for read in (before, after):
        (block,) = (one for one in blocks(read.samples, read.scores) if one.fraction == 0.1)
        assert block.scaled.tasks == ["t0", "t1"]


def test_there_is_no_average_over_a_hole(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    over(folder, 2)
    for seed in (1, 2, 3):
        folder.add(task="t9", method="big", seed=seed, score=0.99, trainable_params=1000)
    read = Read(folder)
    (block,) = blocks(read.samples, read.scores)
    assert block.raw.tasks == block.scaled.tasks == ["t0", "t1"]
    assert "t9" in block.raw.why


def test_one_task_is_no_aggregate_and_few_tasks_have_no_ranks(tmp_path: Path) -> None:
    for tasks in (1, 2):
        folder = empty(tmp_path / str(tasks))
        over(folder, tasks)
        read = Read(folder)
        found = blocks(read.samples, read.scores)
        assert f"at least 5 tasks; {tasks} are there" in rows(critical(found))[0]["why"]
    folder = empty(tmp_path / "one")
    over(folder, 1)
    read = Read(folder)
    (row,) = rows(aggregate(blocks(read.samples, read.scores)))
    assert row["why"].startswith("needs two tasks and two seeds")


def test_five_tasks_have_ranks(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    over(folder, 5)
    read = Read(folder)
    big, small = rows(critical(blocks(read.samples, read.scores)))
    assert (big["rank"], small["rank"], big["group"], small["group"]) == (1, 2, "", "")
    assert big["difference"] == pytest.approx(1.960 * math.sqrt(6 / 30), rel=1e-3)  # Demšar, table 5


def test_every_frame_has_a_table_and_every_shown_column_exists(tmp_path: Path) -> None:
    results = load_results(draw(tmp_path, seeds=3, curves=False).write())
    contents = analyse(results)
    made = tables(contents)
    read = [contents.frames[name] for name in ("runs", "scores", "sensitivity")]
    names = variance(results, read[0], read[1], read[2], Samples(results, read[0]))
    assert set(names) <= set(made)
    for name, frame in names.items():
        if not frame.empty and name not in ("ranks", "best_of"):  # these hold reasons only, here
            missing = {column.key for column in made[name].columns} - set(frame.columns)
            assert missing <= {"why", "budget_label"}, name
