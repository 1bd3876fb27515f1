"""Options of peft's tuners in a study: lists, mappings, defaults, and what is refused before anything runs."""

from pathlib import Path
from typing import Any

import pytest

from finebench.bench.methods import method
from finebench.bench.scheduling.distributions import distributions
from finebench.bench.study.configurations import check_alike, check_together, structural_points
from finebench.bench.study.load import build_study
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.plan import Identities, Plan
from finebench.bench.study.schema import Study
from finebench.bench.study.trial_id import Identity
from finebench.bench.util.errors import InputError, MethodError, StudyError
from tests.bench.tiny_models import tiny_architecture

KNOWN = Identities(Identity("m", "r"), {"mini-cola": Identity("mini-cola", "1:x")})


def study(name: str, space: dict[str, Any], **changes: Any) -> Study:
    raw = {"name": "x", "tasks": ["mini-cola"], "methods": {name: space}, "budget": {"steps": 4}, "seeds": 1}
    return build_study(raw | changes, "x.yaml", Path("."))


def points(name: str, space: dict[str, Any]) -> list[dict[str, Any]]:
    plan = Plan(study(name, space))
    return plan.points(next(plan.cells()))


def ids(name: str, *spaces: dict[str, Any]) -> set[str]:
    found = set()
    for space in spaces:
        plan = Plan(study(name, space))
        cell = next(plan.cells())
        found |= {plan.trial(cell, "grid", p, Seeds.paired(1), KNOWN).id for p in plan.points(cell)}
    return found


# Lists and mappings


def test_a_list_inside_a_list_is_one_value() -> None:
    assert points("peft:LORA", {"lr": 1e-3, "target_modules": [["query", "value", "key"]]}) == [
        {"lr": 1e-3, "target_modules": ["key", "query", "value"]}
    ]
    grid = points("peft:LOHA", {"lr": [1e-3, 2e-3], "layers_to_transform": [[0], [0, 1], None]})
    assert [p.get("layers_to_transform") for p in grid] == [0, [0, 1], None] * 2


def test_a_mapping_inside_a_list_is_one_value() -> None:
    assert points("peft:LORA", {"rank_pattern": [{"query": 4}, {"query": 4, "value": 2}]}) == [
        {"lr": 1e-3, "rank_pattern": {"query": 4}},
        {"lr": 1e-3, "rank_pattern": {"query": 4, "value": 2}},
    ]


@pytest.mark.parametrize(
    ("space", "says"),
    [
        (
            {"layers_to_transform": [0, 1]},
            "x.yaml: methods.peft:LORA.layers_to_transform: [0, 1] could be one value or a grid; "
            "write layers_to_transform: [[0, 1]] for one value that is a list, "
            "layers_to_transform: [[0], [1]] for a grid of 2",
        ),
        ({"target_modules": ["query"]}, "write target_modules: [[query]] for one value that is a list"),
        ({"rank_pattern": {"query": 4}}, "a value that is a mapping stands in a list: rank_pattern: [{query: 4}]"),
        ({"rank_pattern": {"a": 4, "b.c": 2}}, "rank_pattern: [{a: 4, b.c: 2}]"),
        ({"rank_pattern": [{"a": 4}, {"a": 4}]}, "stands twice in the grid"),
        ({"r": [[8]]}, "r: a grid holds plain values, not [8]"),
        (
            {"lora_alhpa": 8},
            "x.yaml: methods.peft:LORA: unknown hyperparameter of peft's LORA 'lora_alhpa'; did you mean",
        ),
        ({"r": [{"choice": [4, 8]}]}, "a distribution stands alone"),
    ],
)
def test_what_is_wrong_is_refused_with_what_is_right(space: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError) as caught:
        study("peft:LORA", space)
    assert says in str(caught.value)


def test_an_unknown_tuner_is_refused_when_the_study_is_read() -> None:
    with pytest.raises(InputError, match=r"x\.yaml: methods\.peft:LOHAA: unknown peft tuner.*did you mean 'LOHA'"):
        study("peft:LOHAA", {"lr": 1e-3})


def test_a_search_draws_lists_and_reads_them_back() -> None:
    space: dict[str, Any] = {"target_modules": {"choice": [["query"], ["query", "value"]]}, "r": [4, 8]}
    plan = Plan(study("peft:LORA", space, search={"optuna": {"trials": 4}}))
    drawn = distributions(plan.space(next(plan.cells())))["target_modules"]
    assert drawn.to_external_repr(drawn.to_internal_repr(["query", "value"])) == ["query", "value"]
    assert plan.count() == 4 + 2 * 5


# One configuration, one id


@pytest.mark.parametrize(
    ("name", "spaces"),
    [
        ("peft:LORA", [{}, {"r": 8}, {"lora_alpha": 8, "bias": "none", "init_lora_weights": True}]),
        ("peft:LORA", [{}, {"rank_pattern": [{}], "target_modules": None}]),
        ("peft:LOHA", [{"target_modules": [["query", "value"]]}, {"target_modules": [["value", "query"]], "r": 8}]),
        ("peft:LOHA", [{"layers_to_transform": [[1]]}, {"layers_to_transform": 1}]),
        ("adapter", [{}, {"reduction_factor": 16}, {"non_linearity": "relu", "train_layer_norm": False}]),
        ("adapter", [{"variant": "houlsby"}, {"variant": "houlsby", "bottleneck": 64, "non_linearity": "gelu"}]),
        ("prefix", [{}, {"projection": False, "projection_size": 64}]),
    ],
)
def test_a_default_by_its_value_is_the_default(name: str, spaces: list[dict[str, Any]]) -> None:
    assert len(ids(name, *({"lr": 1e-3} | space for space in spaces))) == 1


@pytest.mark.parametrize(
    ("name", "space"),
    [
        ("peft:LORA", {"target_modules": [["value", "query"], ["query", "value"]]}),
        ("adapter", {"reduction_factor": [16, None]}),
        ("peft:LOHA", {"layers_to_transform": [[1, 0], [0, 1]]}),
        ("prefix", {"projection_size": [64, 128]}),
    ],
)
def test_a_configuration_written_twice_is_refused(name: str, space: dict[str, Any]) -> None:
    with pytest.raises(StudyError, match="are the same configuration"):
        Plan(study(name, space))


def test_a_search_may_draw_what_only_matters_beside_another_value() -> None:
    space: dict[str, Any] = {"projection": {"choice": [False, True]}, "projection_size": {"choice": [64, 512]}}
    search = {"optuna": {"trials": 4}}
    plan = Plan(study("prefix", space, search=search))
    check_together(plan, next(plan.cells()), tiny_architecture("bert", max_position_embeddings=128))
    with pytest.raises(StudyError, match="are the same configuration"):
        Plan(study("prefix", space | {"projection": False}, search=search))


@pytest.mark.parametrize("space", [{"init_lora_weights": "gaussian"}, {"r": 4}, {"use_dora": True}])
def test_what_differs_from_a_default_has_an_id_of_its_own(space: dict[str, Any]) -> None:
    assert len(ids("peft:LORA", {}, space)) == 2


@pytest.mark.parametrize("name", ["adapter", "prefix", "lora", "bitfit", "full"])
def test_a_methods_default_is_written_canonically(name: str) -> None:
    assert method(name)().canonical() == method(name)()


# One configuration on a model


@pytest.mark.parametrize(
    ("kind", "name", "space"),
    [
        ("bert", "adapter", {"bottleneck": [2, None]}),  # 32 / 16
        ("gpt2", "lora", {"target": ["query+value", "query"]}),  # one fused matrix
        ("gpt2", "vera", {"target": ["key", "value"]}),
        ("bert", "peft:LORA", {"target_modules": [["query", "value"], None]}),  # what peft chooses for BERT
        ("bert", "peft:LORA", {"layers_to_transform": [[0, 1], None], "r": [4, 8]}),  # all layers there are
    ],
)
def test_one_configuration_on_this_model_is_refused(
    kind: str, name: str, space: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path))
    with pytest.raises(MethodError, match="are the same configuration on this model; leave out one"):
        check(kind, name, space)


@pytest.mark.parametrize(
    ("kind", "name", "space"),
    [
        ("bert", "adapter", {"bottleneck": [4, None]}),
        ("bert", "lora", {"target": ["query+value", "query"]}),
        ("bert", "peft:LORA", {"target_modules": [["query"], None], "lora_dropout": [0.0, 1e-6]}),
    ],
)
def test_what_differs_on_this_model_is_not(
    kind: str, name: str, space: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path))
    check(kind, name, space)


def check(kind: str, name: str, space: dict[str, Any]) -> None:
    plan = Plan(study(name, {"lr": [1e-3, 2e-3]} | space))
    cell = next(plan.cells())
    check_together(plan, cell, tiny_architecture(kind))
    check_alike(plan, cell, structural_points(plan, cell), tiny_architecture(kind), 2)
