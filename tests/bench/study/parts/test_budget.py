"""Budgets: one unit each, turned into optimiser steps."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from finebench.bench.study.parts.budget import Budget, parse_duration


@pytest.mark.parametrize(
    ("budget", "n_fit", "batch", "steps"),
    [
        (Budget(steps=7), 1000, 16, 7),
        (Budget(epochs=3), 1000, 16, 189),  # 63 batches, the last one short, three times
        (Budget(epochs=3, min_steps=200), 1000, 16, 200),
        (Budget(epochs=3, min_steps=100), 1000, 16, 189),
        (Budget(epochs=0.5), 33, 16, 2),
        (Budget(epochs=0.001), 16, 16, 1),
    ],
)
def test_steps_and_epochs(budget: Budget, n_fit: int, batch: int, steps: int) -> None:
    assert budget.fixed
    assert budget.to_steps(n_fit, batch) == steps


@given(st.floats(0.01, 50), st.integers(1, 10_000), st.integers(1, 256), st.integers(1, 500))
def test_a_floor_never_takes_steps_away(epochs: float, n_fit: int, batch: int, floor: int) -> None:
    free = Budget(epochs=epochs).to_steps(n_fit, batch)
    floored = Budget(epochs=epochs, min_steps=floor).to_steps(n_fit, batch)
    assert floored == max(free, floor)
    assert free >= math.floor(epochs * n_fit / batch)


def test_seconds_need_a_calibration_and_flops_a_price() -> None:
    assert Budget(seconds=10).to_steps(1, 1, steps_per_second=3.3) == 33
    assert Budget(seconds=0.1).to_steps(1, 1, steps_per_second=1) == 1
    assert Budget(flops=1e9).to_steps(1, 1, flops_per_step=3e8) == 3
    assert not Budget(seconds=10).fixed
    assert not Budget(flops=1e9).fixed
    with pytest.raises(ValueError, match="calibration"):
        Budget(seconds=10).to_steps(1, 1)
    with pytest.raises(ValueError, match="FLOPs of one step"):
        Budget(flops=1e9).to_steps(1, 1)


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {"steps": 1, "epochs": 1},
        {"min_steps": 10},
        {"steps": 1, "min_steps": 1},
        {"steps": 0},
        {"steps": 1.5},
        {"steps": "200"},
        {"steps": True},
        {"epochs": 0},
        {"epochs": math.nan},
        {"seconds": math.inf},
        {"flops": -1.0},
        {"step": 10},
    ],
)
def test_a_budget_is_exactly_one_positive_unit(raw: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Budget.model_validate(raw)


def test_canonical_is_sorted_and_says_only_what_is_set() -> None:
    assert Budget(min_steps=200, epochs=3).canonical == '{"epochs": 3.0, "min_steps": 200}'
    assert Budget(steps=5).canonical == '{"steps": 5}'


@pytest.mark.parametrize(
    ("given_value", "seconds"),
    [("90s", 90), ("30m", 1800), ("1h", 3600), ("2d", 172800), ("1.5 h", 5400), (7, 7), (0.5, 0.5)],
)
def test_durations(given_value: object, seconds: float) -> None:
    assert parse_duration(given_value) == seconds


@pytest.mark.parametrize(
    "given_value", ["", "h", "1w", "-1h", "0s", 0, -3, True, None, [], "1h30m", math.nan, math.inf]
)
def test_what_is_no_duration(given_value: object) -> None:
    with pytest.raises(ValueError, match="a duration is a positive number"):
        parse_duration(given_value)
