"""Shards: every trial of a plan in exactly one, evenly, and refused where trials hang together."""

from collections import Counter
from typing import Any

import pytest

from finebench.bench.study.plan import Cell, Identities, Plan
from finebench.bench.study.shards import Shard, ShardPlan, said_of
from finebench.bench.study.trial_id import Identity
from finebench.bench.util.errors import InputError, StudyError
from tests.bench.tiny import tiny_study

KNOWN = Identities(Identity("m", "1"), {name: Identity(name, "1") for name in ("mini-cola", "mini-mrpc", "mini-stsb")})
WIDE: dict[str, Any] = {
    "tasks": ["mini-cola", "mini-mrpc", "mini-stsb"],
    "methods": {"full": {"lr": [1e-3, 2e-3]}, "bitfit": {"lr": [5e-3]}, "head": {"lr": [1e-2]}},
    "fractions": [0.5, 1.0],
}
CONFIRMED: dict[str, Any] = {"search": {"grid": {"confirm_seeds": 6}}}
SEARCHED: dict[str, Any] = {
    "methods": {"full": {"lr": {"loguniform": [1e-5, 1e-2]}}, "bitfit": {"lr": {"loguniform": [1e-4, 1e-1]}}},
    "search": {"optuna": {"trials": 3, "seeds": 2, "confirm_seeds": 2}},
}


def weigh(cell: Cell) -> float:
    """Full training is dearest, and all of the data dearer than half of it."""
    return {"full": 9.0, "bitfit": 4.0, "head": 1.0}[cell.method] * cell.fraction


def shards(of: int, **changes: Any) -> list[ShardPlan]:
    """All shards of a study."""
    study = tiny_study(**changes)
    return [ShardPlan(study, Shard(k + 1, of), weigh) for k in range(of)]


@pytest.mark.parametrize("seeds", [1, 2, 5, [3, 7, 11], {"init": 2, "order": 2, "subset": 3}])
@pytest.mark.parametrize("of", [1, 2, 3, 4, 7, 18])
def test_every_trial_is_in_one_shard(seeds: Any, of: int) -> None:
    whole = Plan(tiny_study(**WIDE, seeds=seeds))
    parts = shards(of, **WIDE, seeds=seeds)
    ids = [trial.id for part in parts for trial in part.grid(KNOWN, weigh)]
    assert sorted(ids) == sorted(trial.id for trial in whole.grid(KNOWN))
    assert [part.count() for part in parts] == [len(list(part.grid(KNOWN))) for part in parts]
    assert sum(part.count() for part in parts) == whole.count()


def check_even(parts: list[ShardPlan]) -> None:
    """Shards differ by one seed at most, and so do their parts of each cell."""
    units = [{(trial.cell, trial.seeds) for trial in part.grid(KNOWN)} for part in parts]
    assert max(map(len, units)) - min(map(len, units)) <= 1
    for cell in {cell for cell, _ in set[Any]().union(*units)}:
        own = [sum(one == cell for one, _ in part) for part in units]
        assert max(own) - min(own) <= 1


@pytest.mark.parametrize("of", [2, 3, 4, 5, 8, 12])
@pytest.mark.parametrize("seeds", [1, 4, 5, 6, 12])
def test_shards_have_as_many_seeds_and_a_cells_seeds_are_spread(of: int, seeds: int) -> None:
    check_even(shards(of, **WIDE, seeds=seeds))


@pytest.mark.parametrize("of", [2, 3, 4, 5, 6, 7, 12])
@pytest.mark.parametrize(
    "seeds", [{"init": 1, "order": 1, "subset": 6}, {"init": 2, "order": 2, "subset": 3}, {"init": 3, "order": 2}]
)
def test_shards_have_as_many_crossed_seeds_where_all_of_the_data_has_fewer(of: int, seeds: dict[str, int]) -> None:
    check_even(shards(of, **WIDE, seeds=seeds))


def test_no_shard_is_empty() -> None:
    given = {
        "fractions": [0.5, 1.0],
        "methods": {"full": {"lr": [1e-3]}},
        "seeds": {"init": 1, "order": 1, "subset": 3},
    }
    assert all(part.count() == 1 for part in shards(4, tasks=["mini-cola"], **given))


def test_shards_cost_about_as_much() -> None:
    """Six seeds of 18 cells on four machines: none has more than a dearest cell's seed above its share."""
    parts = shards(4, **WIDE, seeds=6)
    costs = [sum(weigh(cell) * count.planned for cell, count in ((c.cell, c) for c in part.counts())) for part in parts]
    assert max(costs) - min(costs) <= 9.0 * 2


@pytest.mark.parametrize("changes", [CONFIRMED, SEARCHED])
@pytest.mark.parametrize("of", [2, 3, 4])
def test_what_chooses_stays_in_its_cell(changes: dict[str, Any], of: int) -> None:
    """A confirm stage and a search see all trials of their cell."""
    given: dict[str, Any] = {"tasks": WIDE["tasks"], "seeds": 2} | changes
    parts = [list(part.cells()) for part in shards(of, **given)]
    assert Counter(cell for part in parts for cell in part) == Counter(Plan(tiny_study(**given)).cells())
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_shard_counts_its_confirm_stage() -> None:
    parts = shards(2, **CONFIRMED, seeds=2)
    assert [(count.stage, count.planned) for count in parts[0].counts()] == [("grid", 2), ("confirm", 12)]


@pytest.mark.parametrize(
    ("changes", "of", "says"),
    [
        ({"seeds": 2}, 5, "4 parts; give at most 4 shards"),
        (CONFIRMED, 3, "2 cells"),
        ({"budget": [{"seconds": 3}]}, 2, "epochs, steps or flops"),
        (
            {
                "seeds": {"most": 9, "until": "settled"},
                "claims": [{"id": "c", "says": "matches", "a": "bitfit", "b": "full", "fraction": 0.1, "margin": 0.1}],
            },
            2,
            "give a number of seeds",
        ),
    ],
)
def test_what_cannot_be_run_in_parts_is_refused(changes: dict[str, Any], of: int, says: str) -> None:
    with pytest.raises(StudyError, match=says):
        shards(of, **changes)


def test_a_shard_is_read_and_written() -> None:
    assert (Shard.parse(" 2/4 "), str(Shard(2, 4))) == (Shard(2, 4), "2/4")


@pytest.mark.parametrize("text", ["", "0/4", "5/4", "2", "2/", "-1/4", "1/0", "2/4/6", "a/b", "1/100001", "٢/٤"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="from 1/4 to 4/4"):
        Shard.parse(text)


def test_a_folder_says_which_shards_it_was_run_as() -> None:
    assert said_of([]) == []
    assert "as shard 2/4 of" in said_of(["2/4"])[0]
    assert "as shards 1/4, 2/4 of" in said_of(["1/4", "2/4"])[0]
