"""Which configurations are one and the same, what acts somewhere in a space, and which default a confirm stage runs."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from finebench.bench.driver import preflight
from finebench.bench.results.folder import Done, ResultsFolder
from finebench.bench.scheduling.optuna_search import OptunaCell
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.configurations import Distinct, check_methods, find_defaults, structural_points
from finebench.bench.study.plan import Plan
from finebench.bench.training.worker.messages import Pack
from finebench.bench.util.errors import MethodError
from tests.bench.methods.test_methods_applied import tiny_architecture
from tests.bench.scheduling.test_scheduler import KNOWN, done_row
from tests.bench.tiny import drain, run_tiny, tiny_prepared, tiny_study

BERT = tiny_architecture("bert", max_position_embeddings=128)
PREFIX = "peft:PREFIX_TUNING"


@pytest.fixture(autouse=True, scope="module")
def one_cache(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FINEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def plan_of(name: str, space: dict[str, Any], search: Any = "grid") -> Plan:
    return Plan(tiny_study(methods={name: {"lr": 1e-3} | space}, search=search))


def check(plan: Plan) -> None:
    check_methods(plan, BERT, {"mini-cola": 2}, every=True)


# Options that act at some points only

BOTH, ONE = {"query": 8, "value": 8}, {"query": 8}


def test_an_option_that_acts_at_one_point_only_is_no_mistake() -> None:
    check(plan_of("peft:LORA", {"r": 4, "rank_pattern": [BOTH, ONE]}))


def test_an_option_that_acts_beside_no_value_of_the_space_is_refused() -> None:
    with pytest.raises(MethodError, match=r"methods\.peft:LORA: r: 4 has no effect"):
        check(plan_of("peft:LORA", {"r": 4, "rank_pattern": [BOTH]}))


def test_one_value_without_effect_is_refused_beside_one_that_has_some() -> None:
    with pytest.raises(MethodError, match=r"exclude_modules: \['qeury'\] has no effect"):
        check(plan_of("peft:LORA", {"exclude_modules": [["query"], ["qeury"]]}))


def test_a_point_that_repeats_another_is_refused_in_a_grid_and_passed_over_in_a_search() -> None:
    space = {"r": [4, 6], "rank_pattern": [BOTH, ONE]}
    with pytest.raises(MethodError, match="are the same configuration on this model"):
        check(plan_of("peft:LORA", space))
    check(plan_of("peft:LORA", space, search={"optuna": {"trials": 4}}))


# Equal configurations


@pytest.mark.parametrize(
    ("name", "one", "other", "same"),
    [
        ("adapter", {"bottleneck": 2}, {}, True),  # 32 / 16
        ("adapter", {"bottleneck": 3}, {}, False),
        ("peft:LORA", {"target_modules": ["query", "value"]}, {}, True),
        ("peft:LORA", {"target_modules": ["query"]}, {}, False),
        ("peft:LORA", {"lora_dropout": 1e-6}, {}, False),
        ("peft:LORA", {"lr": 2e-3}, {}, False),
    ],
)
def test_what_is_one_configuration_on_a_model(
    name: str, one: dict[str, Any], other: dict[str, Any], same: bool
) -> None:
    plan = plan_of(name, {})
    (cell,) = plan.cells()
    points = [plan.complete(cell, {"lr": 1e-3} | given) for given in (one, other)]
    assert Distinct(name, BERT, 2).same(points[0], points[1]) is same


@pytest.mark.parametrize(
    ("name", "space"),
    [("adapter", {"lr": 1e-4, "bottleneck": 6}), ("peft:LORA", {"target_modules": [["query", "value"]]})],
)
def test_a_best_configuration_that_is_the_default_is_confirmed_once(name: str, space: dict[str, Any]) -> None:
    made = tiny_prepared(methods={name: {"lr": 1e-3} | space}, search={"grid": {"confirm_seeds": 2}})
    scheduler = Scheduler(made.plan, made.known, {}, made.confirmed)
    for pack in drain(scheduler):
        scheduler.on_done(pack, [done_row(trial) for trial in pack.trials])
    confirm = [pack.trials[0] for pack in drain(scheduler)]
    assert len({trial.configuration for trial in confirm}) == 1
    assert [trial.stage for trial in confirm] == ["confirm"] * 2


def finished(pack: Pack) -> list[Done]:
    return [done_row(trial, select=0.5) for trial in pack.trials]


def test_a_search_tries_one_of_two_configurations_that_are_one(tmp_path: Path) -> None:
    """A bottleneck of 2 is what pfeiffer's null stands for here, and not what houlsby's does."""
    space = {"variant": {"choice": ["pfeiffer", "houlsby"]}, "bottleneck": {"choice": [2, None]}}
    plan = plan_of("adapter", space, search={"optuna": {"trials": 9, "confirm_seeds": 0}})
    check(plan)
    (cell,) = plan.cells()
    distinct, folder = Distinct("adapter", BERT, 2), ResultsFolder(str(tmp_path))
    search = OptunaCell(plan, cell, KNOWN, folder, {}, lambda trial_id, pruned: [], distinct=distinct)
    asked = []
    while (pack := search.ask()) is not None:
        asked.append(pack.trials[0].hyperparameters["variant"])
        search.tell(pack, finished(pack))
    assert sorted(asked) == ["houlsby", "houlsby", "pfeiffer"]


# The default that a confirm stage runs


def defaults(space: dict[str, Any], search: Any) -> Any:
    return find_defaults(plan_of(PREFIX, space, search), BERT, {"mini-cola": 2})


def test_a_default_keeps_what_it_needs_where_the_space_fixes_it() -> None:
    space = {"num_virtual_tokens": 4, "prefix_projection": True}
    found = defaults(space, {"grid": {"confirm_seeds": 2}})
    assert found == {(PREFIX, "mini-cola"): {"lr": 1e-3, "num_virtual_tokens": 4}}
    assert defaults(space, "grid") == {}


@pytest.mark.parametrize(
    ("tokens", "search", "key"),
    [
        ([4, 8], {"grid": {"confirm_seeds": 2}}, "search.grid.confirm_default"),
        ({"int": [4, 8]}, {"optuna": {"trials": 2}}, "search.optuna.confirm_default"),
    ],
)
def test_a_default_that_cannot_be_is_refused(tokens: Any, search: Any, key: str) -> None:
    with pytest.raises(
        MethodError, match=rf"needs num_virtual_tokens.*; a confirm stage also runs .*default.* {key} to false"
    ):
        defaults({"num_virtual_tokens": tokens}, search)


def test_the_preflight_tries_the_default_of_a_confirm_stage() -> None:
    def tried(search: Any) -> set[str]:
        made = tiny_prepared(methods={"bitfit": {"lr": 1e-3, "terms": "query"}}, search=search)
        asked = preflight.question(made.plan, made.known, made.model.folder, made.tasks, made.defaults)
        return {trial.hyperparameters["terms"] for trial in asked.trials}

    assert tried("grid") == {"query"}
    assert tried({"grid": {"confirm_seeds": 1}}) == {"query", "all"}


def test_a_tuner_whose_bare_default_cannot_be_is_confirmed(tmp_path: Path) -> None:
    space = {"lr": [1e-2, 1e-3], "num_virtual_tokens": 4, "prefix_projection": True}
    outcome = run_tiny(tmp_path, methods={PREFIX: space}, search={"grid": {"confirm_seeds": 1}})
    assert outcome.statuses == {"ok": 4}
    rows = pq.read_table(tmp_path / "trials").to_pylist()
    confirm = sorted(row["hyperparameters"] for row in rows if row["stage"] == "confirm")
    assert ["prefix_projection" in one for one in confirm] == [False, True]


def test_a_search_over_lists_is_looked_at_value_by_value() -> None:
    """Their product, of which a search tries some dozens, may be of hundreds of thousands."""
    lists = {"lr": [1e-3, 1e-2], "r": [2, 4, 8], "alpha": [2, 4, 8]}
    grid, search = ({"grid": {}}, 9), ({"optuna": {"trials": 3}}, 5)
    for given, number in (grid, search):
        plan = Plan(tiny_study(methods={"lora": lists}, search=given))
        assert len(structural_points(plan, next(plan.cells()))) == number
