"""Spaces as a study writes them: scalars, grids, distributions, and what is refused."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finebench.bench.study.search_space import Distribution, parse_space
from finebench.bench.util.errors import StudyError

AT = "x.yaml: methods.full"


def test_scalars_are_fixed_and_lists_are_grids_in_the_order_written() -> None:
    space = parse_space({"lr": [3e-4, 1e-4], "r": 8, "variant": ["a", "b"]}, AT)
    assert space.size == 4
    assert list(space.points()) == [
        {"lr": 3e-4, "r": 8, "variant": "a"},
        {"lr": 3e-4, "r": 8, "variant": "b"},
        {"lr": 1e-4, "r": 8, "variant": "a"},
        {"lr": 1e-4, "r": 8, "variant": "b"},
    ]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=5))
def test_size_is_the_number_of_points(lengths: list[int]) -> None:
    space = parse_space({f"p{i}": list(range(n)) for i, n in enumerate(lengths)}, AT)
    assert space.size == len(list(space.points()))


def test_distributions_stand_apart_from_grids() -> None:
    space = parse_space({"lr": {"loguniform": [1e-5, 1e-2]}, "r": {"choice": [8, 16]}, "k": {"int": [1, 4]}}, AT)
    assert dict(space.grids) == {}
    assert dict(space.distributions) == {
        "lr": Distribution("loguniform", (1e-5, 1e-2)),
        "r": Distribution("choice", (8, 16)),
        "k": Distribution("int", (1, 4)),
    }
    assert space.size == 1


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        ({"lr": []}, "lr: the grid is empty"),
        ({"lr": [1e-4, 1e-4]}, "lr: 0.0001 stands twice in the grid"),
        ({"lr": [[1e-4]]}, "lr: a grid holds plain values"),
        ({"lr": [{"uniform": [0, 1]}]}, "lr: a grid holds plain values"),
        ({"lr": {}}, "lr: a distribution is one of"),
        ({"lr": {"uniform": [0, 1], "choice": [1]}}, "lr: a distribution is one of"),
        ({"lr": {"loguniforn": [1e-5, 1e-2]}}, "unknown distribution 'loguniforn'; did you mean 'loguniform'?"),
        ({"lr": {"uniform": 3}}, "lr.uniform: a list is needed, not 3"),
        ({"lr": {"uniform": [0]}}, "two numbers [low, high] are needed"),
        ({"lr": {"uniform": ["0", 1]}}, "two numbers [low, high] are needed"),
        ({"lr": {"uniform": [False, True]}}, "two numbers [low, high] are needed"),
        ({"r": {"int": [1.5, 3]}}, "two numbers [low, high] are needed"),
        ({"lr": {"uniform": [1, 0]}}, "low must be below high"),
        ({"lr": {"uniform": [0, float("inf")]}}, "low must be below high"),
        ({"lr": {"uniform": [0, float("nan")]}}, "low must be below high"),
        ({"lr": {"loguniform": [0, 1]}}, "a log-uniform range starts above 0"),
        ({"r": {"choice": []}}, "r.choice: the grid is empty"),
    ],
)
def test_what_is_wrong_is_named(raw: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError) as caught:
        parse_space(raw, AT)
    assert says in str(caught.value)
    assert str(caught.value).startswith(AT)
