"""Costs that were measured on several kinds of device: no mean, ratio, front, curve or claim mixes them."""

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finebench.analysis.costs.crossovers import crossovers
from finebench.analysis.costs.pareto import fronts
from finebench.analysis.costs.ratios import ratios
from finebench.analysis.load.cost_columns import kinds_of, occupied, of_one_kind, per_seed
from finebench.analysis.scores.learning_curves import curves
from tests.analysis.claim_folder import drawn
from tests.analysis.claims.test_claims import judged
from tests.analysis.costs.test_efficiency import read
from tests.analysis.fixtures import Folder, empty

Places = dict[str, dict[int, str]]
"""By method and seed: the kind of device that it ran on."""

PACE = {"fast": 1.0, "slow": 9.0}


def placed(path: Path, places: Places, tasks: tuple[str, ...] = ("alpha",)) -> Folder:
    """Methods of which each takes a time of its own on each kind of device."""
    folder = empty(path, tasks=list(tasks))
    for task in tasks:
        for number, (method, by_seed) in enumerate(places.items(), start=1):
            for seed, kind in by_seed.items():
                folder.add(
                    task=task, method=method, seed=seed, device=kind, train_seconds=PACE[kind] * number,
                    score=0.7 + 0.01 * seed, trainable_params=1000 * number,
                )  # fmt: skip
    return folder


def by_cost(frame: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {str(row["cost"]): row for row in frame.to_dict("records")}


def test_the_kind_is_the_one_that_compares_most(tmp_path: Path) -> None:
    """`one` has more runs on the slow kind; both have runs on the fast one alone."""
    table, *_ = read(placed(tmp_path, {"one": {1: "fast", 2: "slow", 3: "slow"}, "two": {1: "fast", 2: "fast"}}))
    sides = [[table[table["method"] == name] for name in ("one", "two")]]
    kind, [[one, two]] = of_one_kind(sides, ["train_seconds"])
    assert kind == "fast"
    assert per_seed(one, "train_seconds").to_dict() == {1: 1.0}
    assert per_seed(two, "train_seconds").to_dict() == {1: 2.0, 2: 2.0}
    assert of_one_kind([sides[0][:1]], ["train_seconds"])[0] == "slow"
    kind, [[one, _]] = of_one_kind(sides, ["delta_bytes", "train_flops"])  # the same on any device
    assert (kind, len(one)) == ("", 3)
    assert kinds_of(table, "train_seconds") == "fast and slow"


def test_a_ratio_is_of_one_kind_and_says_which(tmp_path: Path) -> None:
    places = {"small": {1: "slow", 2: "fast", 3: "fast"}, "big": {1: "fast", 2: "fast", 3: "fast"}}
    table, _, scored, _ = read(placed(tmp_path, places))
    time = by_cost(ratios(table, scored))["train_seconds"]
    assert (time["ratio"], time["n"], time["device"]) == (pytest.approx(0.5), 2, "fast")


def test_methods_on_two_kinds_have_no_ratio_and_the_reason(tmp_path: Path) -> None:
    places = {"small": dict.fromkeys((1, 2, 3), "slow"), "big": dict.fromkeys((1, 2, 3), "fast")}
    table, _, scored, _ = read(placed(tmp_path, places))
    found = by_cost(ratios(table, scored))
    time = found["train_seconds"]
    assert math.isnan(time["ratio"])
    assert (time["n"], time["tasks"]) == (0, 0)
    assert time["why"] == "no task has both on one kind of device: small on slow, big on fast"
    assert found["encoder_params"]["ratio"] < 1  # a count is the same anywhere


def test_a_front_leaves_out_what_was_measured_elsewhere(tmp_path: Path) -> None:
    fast, slow = (dict.fromkeys((1, 2, 3), kind) for kind in ("fast", "slow"))
    table, _, scored, samples = read(placed(tmp_path, {"one": fast, "two": fast, "three": slow}))
    made = fronts(table, scored, samples)
    times = made[made["cost"] == "train_seconds"]
    assert sorted(times["method"]) == ["one", "two"]
    assert set(times["device"]) == {"fast"}
    assert set(times["why"]) == {"without three, measured on slow"}
    assert sorted(made[made["cost"] == "trainable_params"]["method"]) == ["one", "three", "two"]
    several = made[made["cost"] == "several"]
    assert (sorted(several["method"]), set(several["device"])) == (["one", "two"], {"fast"})


@pytest.mark.parametrize("other", ["fast", "slow"])
def test_a_claim_compares_one_kind_alone(tmp_path: Path, other: str) -> None:
    claim = {"id": "c", "says": "cheaper", "a": "a", "b": "b", "factor": 1.5}
    folder = drawn(tmp_path, {"a": {"mean": 0.8, "seconds": 5}, "b": {"mean": 0.8}}, [claim])
    for row in folder.rows["trials"]:
        row["device"] = "fast" if row["method"] == "a" else other
    found = judged(folder)["c"]
    if other == "fast":
        assert found["verdict"] == "supported"
        return
    assert found["verdict"] == "inconclusive"
    said = "train time was measured on different kinds of device, which are not compared: a on fast, b on slow; "
    assert found["reason"] == said + "resources.accelerator or resources.labels keep a study on one kind"


def test_a_claim_says_which_kind_it_is_of_where_there_are_several(tmp_path: Path) -> None:
    claim = {"id": "c", "says": "cheaper", "a": "a", "b": "b", "factor": 1.5}
    folder = drawn(tmp_path, {"a": {"mean": 0.8, "seconds": 5}, "b": {"mean": 0.8}}, [claim])
    for row in folder.rows["trials"]:
        row["device"] = "slow" if (row["method"], row["seed"]) == ("a", 1) else "fast"
    found = judged(folder)["c"]
    assert "t test of log train time on fast of b over a" in found["test"]
    assert found["pairs"] == len({row["seed"] for row in folder.rows["trials"]}) - 1


def test_what_shared_its_device_counts_with_the_times_of_its_own_kind(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed, kind, seconds, alone in ((1, "fast", 10.0, True), (2, "slow", 90.0, True), (3, "fast", 33.0, False)):
        folder.add(seed=seed, device=kind, train_seconds=seconds, exclusive=alone)
    folder.add(seed=4, device="other", train_seconds=70.0, exclusive=False)  # nothing ran alone on one
    table, *_ = read(folder)
    spent = occupied(table).set_index(table["seed"])["train_seconds"]
    assert spent.to_dict() == {1: 10.0, 2: 90.0, 3: 10.0, 4: 70.0}


def crossing(folder: Folder, kinds: dict[str, str]) -> None:
    """Two methods that swap places within their runs: `late` starts lower and ends higher."""
    for method, values in (("early", (0.6, 0.7, 0.72)), ("late", (0.5, 0.6, 0.8))):
        for seed in range(1, 9):
            trial = folder.add(method=method, seed=seed, score=values[-1] + 0.001 * seed, device=kinds[method])
            points = [(50 * (i + 1), value + 0.001 * seed, value + 0.001 * seed) for i, value in enumerate(values)]
            folder.curve(trial, points)


@pytest.mark.parametrize(("other", "axes"), [("fast", {"steps", "seconds"}), ("slow", {"steps"})])
def test_methods_swap_places_in_seconds_on_one_kind_alone(tmp_path: Path, other: str, axes: set[str]) -> None:
    folder = empty(tmp_path)
    crossing(folder, {"early": "fast", "late": other})
    table, evals, scored, samples = read(folder)
    assert set(crossovers(table, evals, scored, samples)["axis"]) - {"flops"} == axes
    made = curves(table, evals, scored)
    timed = made[made["train_seconds"].notna()]
    assert set(timed["method"]) == ({"early", "late"} if other == "fast" else {"early"})
    assert set(made["device"]) == {"fast"}
