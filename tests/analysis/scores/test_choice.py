"""The choice of a configuration: the harness's own rule, on select alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import CELL, runs
from finebench.analysis.scores.scores import scores
from finebench.analysis.scores.selected_configuration import choose
from finebench.bench.study.selection import Scored, best_configuration
from tests.analysis.fixtures import Folder, draw, empty


def chosen(folder: Folder) -> dict[str, Any]:
    (row,) = choose(runs(load_results(folder.write()))).to_dict("records")
    return {str(key): value for key, value in row.items()}


def test_highest_mean_select_score_wins_whatever_the_score_says(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for lr, select, score in ((1e-4, 0.8, 0.1), (1e-3, 0.7, 0.9)):
        for seed in (1, 2):
            folder.add(lr=lr, seed=seed, select_score=select, score=score)
    row = chosen(folder)
    assert json.loads(row["configuration"]) == {"lr": 1e-4}
    assert (row["select_mean"], row["select_n"], row["configurations"]) == (0.8, 2, 2)


def test_a_tie_goes_to_the_alphabetically_first_whatever_the_order_of_seeds(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for name, values in (("b", (0.1, 0.2, 0.3)), ("a", (0.3, 0.2, 0.1))):
        for seed, value in enumerate(values):
            folder.add(hp={"kind": name}, seed=seed, select_score=value)
    assert sum((0.1, 0.2, 0.3)) != sum((0.3, 0.2, 0.1))  # the rounding that must not decide
    assert json.loads(chosen(folder)["configuration"])["kind"] == "a"


def test_fewer_finished_seeds_do_not_win(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(lr=1e-3, seed=1, select_score=0.99)
    folder.add(lr=1e-3, seed=2, status="oom", reason="out of memory")
    for seed in (1, 2):
        folder.add(lr=1e-4, seed=seed, select_score=0.6)
    row = chosen(folder)
    assert json.loads(row["configuration"]) == {"lr": 1e-4}
    assert (row["configurations"], row["runners"]) == (2, 1)


def test_pruned_and_confirm_rows_never_choose_and_diverged_ones_do(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(lr=1e-2, seed=1, status="pruned", select_score=0.99, score=0.99, stage="search")
    folder.add(lr=1e-1, seed=1001, stage="confirm", select_score=0.99)
    for seed, status, select in ((1, "ok", 0.9), (2, "diverged", 0.3)):
        folder.add(lr=1e-3, seed=seed, status=status, select_score=select)
    for seed in (1, 2):
        folder.add(lr=1e-4, seed=seed, select_score=0.65)
    assert json.loads(chosen(folder)["configuration"]) == {"lr": 1e-4}


@pytest.mark.parametrize("seed", range(3))
def test_agrees_with_the_harness(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    folder = draw(tmp_path, seeds=3, tasks=("alpha",), curves=False)
    for row in folder.rows["trials"]:
        if rng.random() < 0.15:
            row.update(status=str(rng.choice(["oom", "diverged", "pruned"])))
    frame = runs(load_results(folder.write()))
    mine = {
        tuple(row[key] for key in CELL): json.loads(row["configuration"]) for row in choose(frame).to_dict("records")
    }
    for key, rows in frame.groupby(CELL):
        scored = [
            Scored(r["configuration"], r["seed"], r["status"], r["select_score"]) for r in rows.to_dict("records")
        ]
        assert mine.get(key) == best_configuration(scored)


def test_nothing_to_choose_from(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(status="error", reason="boom")
    assert choose(runs(load_results(folder.write()))).empty


def test_what_a_choice_left_out_is_said_where_it_is_shown(tmp_path: Path) -> None:
    """Eight seeds; one out-of-memory neither drops the better learning rate nor goes unsaid."""
    folder = empty(tmp_path)
    for seed in range(1, 9):
        lost = {"status": "oom", "reason": "out of memory"} if seed == 3 else {"score": 0.901, "select_score": 0.9}
        folder.add(lr=1e-2, seed=seed, **lost)
        folder.add(lr=1e-3, seed=seed, score=0.832, select_score=0.83)
    for seed in (1, 2):
        folder.add(lr=1e-4, seed=seed, score=0.5, select_score=0.99)
    row = chosen(folder)
    assert json.loads(row["configuration"]) == {"lr": 1e-2}
    assert (row["select_n"], row["runners"], row["configurations"]) == (7, 2, 3)
    assert row["left_out"] == (
        "chosen on 7 seeds that all have, without 3; not compared, for want of seeds that the others have: "
        "lr 0.0001 (2 seeds)"
    )
    table = runs(load_results(str(tmp_path)))
    (cell,) = scores(table, Expectation(None, table)).to_dict("records")
    assert row["left_out"] in cell["why"]
    assert cell["missing"] == "3"
