"""The choice of a configuration sees `select` alone, and only what has finished."""

import json
import math
from typing import get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from bench.choice import Scored, best_configuration

LOW, HIGH = json.dumps({"lr": 1e-4}), json.dumps({"lr": 1e-3})


def test_a_choice_cannot_see_the_score() -> None:
    assert set(get_type_hints(Scored)) == {"configuration", "status", "select_score"}


def test_the_highest_mean_wins() -> None:
    scored = [Scored(LOW, "ok", 0.5), Scored(LOW, "ok", 0.7), Scored(HIGH, "ok", 0.9), Scored(HIGH, "ok", 0.2)]
    assert best_configuration(scored) == {"lr": 1e-4}


def test_a_diverged_seed_counts_with_its_constant_score() -> None:
    scored = [Scored(LOW, "ok", 0.5), Scored(LOW, "ok", 0.5), Scored(HIGH, "ok", 0.9), Scored(HIGH, "diverged", 0.0)]
    assert best_configuration(scored) == {"lr": 1e-4}


def test_pruned_failed_and_unscored_trials_count_for_nothing() -> None:
    bad = [Scored(HIGH, status, 1.0) for status in ("pruned", "oom", "timeout", "error")]
    bad += [Scored(HIGH, "ok", None), Scored(HIGH, "ok", math.nan), Scored(HIGH, "ok", math.inf)]
    assert best_configuration(bad) is None
    assert best_configuration([*bad, Scored(LOW, "ok", -0.3)]) == {"lr": 1e-4}


def test_a_lucky_half_finished_configuration_does_not_win() -> None:
    scored = [Scored(LOW, "ok", 0.5), Scored(LOW, "ok", 0.5), Scored(HIGH, "ok", 0.99), Scored(HIGH, "error", None)]
    assert best_configuration(scored) == {"lr": 1e-4}


def test_nothing_finished_is_no_choice() -> None:
    assert best_configuration([]) is None


@given(
    st.permutations([Scored(LOW, "ok", 0.5), Scored(HIGH, "ok", 0.5), Scored(LOW, "ok", 0.3), Scored(HIGH, "ok", 0.3)])
)
def test_ties_do_not_depend_on_the_order_of_rows(scored: list[Scored]) -> None:
    assert best_configuration(scored) == {"lr": 1e-4}
