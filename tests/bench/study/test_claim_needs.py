"""Which claims of a study can get a verdict as it is planned, and what the others need."""

import json
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from finebench.analysis.claims.kinds.cheaper import COUNTED
from finebench.analysis.claims.kinds.varies_more import LEAST_PAIRS_OF_SPREAD
from finebench.analysis.load.cost_columns import COUNTED as COUNTED_IN_REPORTS
from finebench.analysis.statistics.design import LEAST_LEVELS as REPORTED_LEVELS
from finebench.analysis.statistics.power import LEAST
from finebench.analysis.statistics.spread_ratio import LEAST_PAIRS as SPREAD_PAIRS
from finebench.bench.driver.run import dump_study
from finebench.bench.study.claim_needs import LEAST_LEVELS, Lack, more_trials, needs, with_sets
from finebench.bench.study.load import build_study
from finebench.bench.study.parts.claim import COSTS
from finebench.bench.study.parts.claim_kinds import LEAST_PAIRS
from finebench.bench.study.plan import Plan
from finebench.bench.study.schema import Study

METHODS = {"full": {"lr": [1e-3, 1e-4]}, "bitfit": {"lr": [1e-2, 1e-3]}, "head": {"lr": 1e-2}}
BETTER = {"id": "better", "says": "better", "a": "full", "b": "head"}
MATCHES = {"id": "matches", "says": "matches", "a": "bitfit", "b": "full", "margin": 0.01}
VARIES = {"id": "varies", "says": "varies_more", "a": "full", "b": "bitfit"}
OVER_LR = VARIES | {"id": "lr", "over": "lr"}
CHEAPER = {"id": "cheaper", "says": "cheaper", "a": "bitfit", "b": "full", "factor": 2.0}
COUNTS = CHEAPER | {"id": "counts", "cost": "trainable_params"}
SATURATES = {"id": "saturates", "says": "saturates_by", "a": "full", "fraction": 0.3}


def study(*claims: dict[str, Any], **changes: Any) -> Study:
    raw = {"name": "x", "tasks": ["mini-cola", "mini-stsb"], "methods": METHODS, "fractions": [0.3, 1.0]}
    return build_study(raw | {"budget": {"steps": 10}, "claims": list(claims)} | changes, "x.yaml", Path("."))


def only(given: Study) -> Lack:
    (need,) = needs(given)
    return need


# Defaults


@pytest.mark.parametrize(
    ("claims", "seeds"),
    [
        ([], 5),
        ([COUNTS], 5),
        ([BETTER], 6),
        ([CHEAPER], 6),
        ([OVER_LR], 6),
        ([SATURATES, MATCHES], 6),
        ([BETTER, VARIES], 8),
    ],
)
def test_seeds_left_out_are_enough_for_a_verdict(claims: list[dict[str, Any]], seeds: int) -> None:
    made = study(*claims)
    assert made.seeds == seeds
    assert needs(made) == []


@pytest.mark.parametrize(("claims", "seeds"), [([], 5), ([COUNTS], 5), ([BETTER], 6), ([BETTER, VARIES], 8)])
def test_confirm_seeds_of_a_search_left_out_are_enough_for_a_verdict(claims: list[dict[str, Any]], seeds: int) -> None:
    made = study(*claims, search={"optuna": {"trials": 3}})
    assert made.search.confirm_seeds == seeds
    assert needs(made) == []


def test_what_a_study_says_of_its_seeds_stays() -> None:
    assert study(VARIES, seeds=2).seeds == 2
    assert study(VARIES, search={"optuna": {"confirm_seeds": 3}}).search.confirm_seeds == 3
    assert study(VARIES, search={"grid": {"confirm_seeds": 9}}).seeds == 5  # they choose; the confirm seeds score
    assert study(OVER_LR, search={"grid": {"confirm_seeds": 9}}).seeds == 6  # the spread is that of those that chose


def test_the_resolved_study_stores_the_number() -> None:
    stored = YAML(typ="safe", pure=True).load(dump_study(study(VARIES, search={"optuna": {}})))
    assert stored["search"]["optuna"]["confirm_seeds"] == 8
    stored = YAML(typ="safe", pure=True).load(dump_study(study(VARIES)))
    assert stored["seeds"] == 8


# Seeds


@pytest.mark.parametrize(
    ("changes", "why", "sets"),
    [
        ({"seeds": 5}, "5 pairs, and a verdict needs 6", [("seeds", 6)]),
        ({"seeds": 1}, "1 pair, and a verdict needs 6", [("seeds", 6)]),
        ({"seeds": 9, "search": {"grid": {"confirm_seeds": 5}}}, "5 pairs", [("search.grid.confirm_seeds", 6)]),
        ({"search": {"optuna": {"confirm_seeds": 2}}}, "2 pairs", [("search.optuna.confirm_seeds", 6)]),
        ({"search": {"optuna": {"seeds": 2, "confirm_seeds": 0}}}, "2 pairs", [("search.optuna.confirm_seeds", 6)]),
    ],
)
def test_too_few_seeds_that_score(changes: dict[str, Any], why: str, sets: list[Any]) -> None:
    need = only(study(BETTER, **changes))
    assert why in need.why
    assert list(need.sets) == sets


def test_a_spread_over_seeds_needs_more_pairs_than_a_mean() -> None:
    mean, spread = needs(study(BETTER, VARIES, MATCHES, COUNTS, seeds=5))
    assert (mean.claims, mean.sets) == (("better", "matches"), (("seeds", 6),))
    assert (spread.claims, spread.sets) == (("varies",), (("seeds", 8),))
    assert "a verdict needs 8" in spread.why
    assert only(study(BETTER, VARIES, seeds=7)).claims == ("varies",)


def test_measured_costs_are_those_of_all_seeds_that_ran() -> None:
    search = {"grid": {"confirm_seeds": 3}}
    assert needs(study(CHEAPER, seeds=3, search=search)) == []
    assert only(study(CHEAPER, seeds=2, search=search)).sets == (("search.grid.confirm_seeds", 4),)


@pytest.mark.parametrize(
    ("seeds", "sets"),
    [
        ((3, 3, 3), None),
        ((6, 1, 1), None),
        ((3, 3, 1), None),
        ((3, 2, 1), [("seeds.order", 3)]),
        ((2, 2, 3), [("seeds.init", 3), ("seeds.order", 3)]),
        ((2, 1, 1), [("seeds.init", 6)]),
        ((1, 1, 3), [("seeds.subset", 6)]),
        ((1, 1, 1), [("seeds.init", 6)]),
    ],
)
def test_crossed_seeds(seeds: tuple[int, int, int], sets: list[Any] | None) -> None:
    given = dict(zip(("init", "order", "subset"), seeds, strict=True))
    found = needs(study(BETTER | {"fraction": 0.3}, seeds=given))
    assert [list(one.sets) for one in found] == ([] if sets is None else [sets])
    for one in found:
        assert needs(with_sets(study(BETTER | {"fraction": 0.3}, seeds=given), one)) == []


def test_the_subset_changes_nothing_with_all_of_the_data() -> None:
    crossed = {"init": 3, "order": 3, "subset": 2}
    assert only(study(BETTER, BETTER | {"id": "less", "fraction": 0.3}, seeds=crossed)).claims == ("less",)
    assert needs(study(SATURATES, seeds=crossed)) == []  # its pairs have a side with all of the data
    assert "3 pairs" in only(study(BETTER, seeds={"init": 1, "order": 3, "subset": 6})).why


def test_crossed_seeds_are_no_independent_draws_of_a_spread() -> None:
    crossed = {"init": 4, "order": 4, "subset": 4}
    need = only(study(BETTER, VARIES, seeds=crossed))
    assert need.claims == ("varies",)
    assert "crossed" in need.why
    assert need.sets == (("seeds", 8),)


# What is not run


def test_a_fraction_that_is_not_run() -> None:
    given = study(BETTER | {"fraction": 0.5}, seeds=6)
    need = only(given)
    assert "fraction 0.5 is not run" in need.why
    assert need.arguments == ("fractions=[0.3, 1.0, 0.5]",)
    assert needs(with_sets(given, need)) == []


def test_a_budget_that_is_not_run_and_too_few_seeds() -> None:
    given = study(BETTER | {"budget": {"steps": 20}}, seeds=3)
    need = only(given)
    assert need.arguments == ('budget=[{"steps": 10}, {"steps": 20}]', "seeds=6")
    assert "not run" in need.why
    assert "3 pairs" in need.why
    assert needs(with_sets(given, need)) == []


def test_a_task_that_is_not_run() -> None:
    given = study(BETTER | {"tasks": ["mini-cola", "mini-mrpc"]})
    need = only(given)
    assert "not among the tasks that are run: mini-mrpc" in need.why
    assert need.arguments == ('tasks=["mini-cola", "mini-stsb", "mini-mrpc"]',)
    own = {"name": "own", "data": {"train": "a.csv", "validation": "b.csv"}, "text": "t", "label": "l", "metric": "f1"}
    assert only(study(BETTER | {"tasks": ["mini-mrpc"]}, tasks=[own])).sets == ()


def test_nothing_is_saturated_by_all_of_the_data() -> None:
    need = only(study(SATURATES, fractions=[0.1, 0.3]))
    assert "fraction 0.3 is all of the data" in need.why
    assert need.arguments == ()


# Learning rates


@pytest.mark.parametrize(
    ("b", "why"),
    [("head", "one learning rate has no spread: give head two"), ("lora", "full tries 2 learning rates and lora 3")],
)
def test_a_spread_over_learning_rates_needs_as_many_of_both(b: str, why: str) -> None:
    methods = METHODS | {"lora": {"lr": [1e-3, 1e-4, 1e-5]}}
    need = only(study(OVER_LR | {"b": b}, methods=methods))
    assert why in need.why
    assert need.sets == ()


def test_learning_rates_are_those_of_the_claims_tasks() -> None:
    methods = METHODS | {"head": {"lr": [1e-3, 1e-2], "per_task": {"mini-stsb": {"lr": 1e-2}}}}
    assert only(study(OVER_LR | {"b": "head"}, methods=methods)).sets == ()
    assert needs(study(OVER_LR | {"b": "head", "tasks": ["mini-cola"]}, methods=methods)) == []


def test_a_search_tries_learning_rates_of_its_own() -> None:
    methods = {"full": {"lr": {"loguniform": [1e-4, 1e-3]}}, "bitfit": {"lr": 1e-3}}
    given = study(OVER_LR, methods=methods, search={"optuna": {"seeds": 6}})
    assert "give bitfit two or more" in only(given).why


# What it would cost


def planned(given: Study, need: Lack) -> int:
    """How many trials of the settled study the present one does not have, counted one by one."""
    new, old = Plan(with_sets(given, need)), Plan(given)

    def ids(plan: Plan) -> set[str]:
        return {
            json.dumps([cell.key, point, s.init, s.order, None if cell.fraction == 1.0 else s.subset])
            for cell in plan.cells()
            for point in plan.points(cell)
            for s in plan.seeds(cell.fraction)
        }

    return len(ids(new) - ids(old))


@pytest.mark.parametrize(
    ("claims", "changes"),
    [
        ([BETTER], {"seeds": 5}),
        ([VARIES], {"seeds": 6}),
        ([BETTER | {"fraction": 0.5}], {"seeds": 3}),
        ([BETTER | {"tasks": ["mini-mrpc"], "budget": {"steps": 20}}], {}),
        ([VARIES], {"seeds": {"init": 3, "order": 3, "subset": 2}}),
        ([BETTER | {"fraction": 0.3}], {"seeds": {"init": 3, "order": 2, "subset": 2}}),
    ],
)
def test_more_trials_are_those_that_the_plan_does_not_have(claims: list[Any], changes: dict[str, Any]) -> None:
    given = study(*claims, **changes)
    need = only(given)
    more = more_trials(Plan(given), Plan(with_sets(given, need)))
    assert sum(more.values()) == planned(given, need) > 0


def test_more_trials_of_a_confirm_stage() -> None:
    given = study(BETTER, search={"optuna": {"trials": 2, "confirm_seeds": 2}})
    more = more_trials(Plan(given), Plan(with_sets(given, only(given))))
    assert sum(more.values()) == 2 * 4 * 3 * 2 * 2  # configurations, seeds, methods, tasks, fractions


def test_the_numbers_are_those_of_the_reports() -> None:
    assert LEAST_PAIRS == LEAST
    assert LEAST_PAIRS_OF_SPREAD == SPREAD_PAIRS
    assert LEAST_LEVELS == REPORTED_LEVELS
    assert set(COUNTED) == set(COUNTED_IN_REPORTS) & set(COSTS)


@pytest.mark.parametrize(("given", "lacks"), [({}, True), ({"scale": "gain"}, False)])
def test_tasks_of_two_metrics_are_pooled_on_a_scale_that_they_share(given: dict[str, str], lacks: bool) -> None:
    claim = {"id": "c", "says": "matches", "a": "full", "b": "head", "margin": 0.1, "tasks": "pooled"}
    raw = {"name": "x", "tasks": ["mini-cola", "mini-mrpc"], "methods": {"full": {"lr": 1e-3}, "head": {"lr": 1e-3}},
           "budget": {"steps": 10}, "claims": [claim | given]}  # fmt: skip
    found = needs(build_study(raw, "x.yaml", Path()))
    assert [one.why.split(":")[0] for one in found] == ["mcc and f1 have no mean over tasks"] * lacks
