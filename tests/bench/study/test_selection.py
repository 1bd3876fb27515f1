"""The choice of a configuration sees `select` alone, and only what has finished."""

import json
import math
from typing import get_type_hints

from hypothesis import given
from hypothesis import strategies as st

from finebench.bench.study.selection import Scored, best_configuration, select

LOW, HIGH = json.dumps({"lr": 1e-4}), json.dumps({"lr": 1e-3})


def test_a_choice_cannot_see_the_score() -> None:
    assert set(get_type_hints(Scored)) == {"configuration", "seed", "status", "select_score"}


def test_the_highest_mean_wins() -> None:
    scored = [
        Scored(LOW, 1, "ok", 0.5),
        Scored(LOW, 2, "ok", 0.7),
        Scored(HIGH, 1, "ok", 0.9),
        Scored(HIGH, 2, "ok", 0.2),
    ]
    assert best_configuration(scored) == {"lr": 1e-4}


def test_a_diverged_seed_counts_with_its_constant_score() -> None:
    scored = [Scored(LOW, 1, "ok", 0.5), Scored(LOW, 2, "ok", 0.5), Scored(HIGH, 1, "ok", 0.9)]
    scored += [Scored(HIGH, 2, "diverged", 0.0)]
    assert best_configuration(scored) == {"lr": 1e-4}


def test_pruned_failed_and_unscored_trials_count_for_nothing() -> None:
    bad = [Scored(HIGH, 1, status, 1.0) for status in ("pruned", "oom", "timeout", "error")]
    bad += [Scored(HIGH, seed, "ok", value) for seed, value in enumerate((None, math.nan, math.inf))]
    assert best_configuration(bad) is None
    assert best_configuration([*bad, Scored(LOW, 1, "ok", -0.3)]) == {"lr": 1e-4}


def test_a_lucky_half_finished_configuration_does_not_win() -> None:
    scored = [Scored(LOW, 1, "ok", 0.5), Scored(LOW, 2, "ok", 0.5), Scored(HIGH, 1, "ok", 0.99)]
    scored += [Scored(HIGH, 2, "error", None)]
    assert best_configuration(scored) == {"lr": 1e-4}


def test_nothing_finished_is_no_choice() -> None:
    assert best_configuration([]) is None


@given(
    st.permutations(
        [Scored(LOW, 1, "ok", 0.5), Scored(HIGH, 1, "ok", 0.5), Scored(LOW, 2, "ok", 0.3), Scored(HIGH, 2, "ok", 0.3)]
    )
)
def test_ties_do_not_depend_on_the_order_of_rows(scored: list[Scored]) -> None:
    assert best_configuration(scored) == {"lr": 1e-4}


def test_one_failed_run_does_not_throw_the_best_out() -> None:
    """Compared on the seven seeds that both have, on which it is ahead."""
    scored = [Scored(HIGH, seed, "oom" if seed == 3 else "ok", 0.9) for seed in range(8)]
    scored += [Scored(LOW, seed, "ok", 0.83) for seed in range(8)]
    assert best_configuration(scored) == {"lr": 1e-3}


def test_an_undefined_select_score_does_not_either() -> None:
    scored = [Scored(HIGH, seed, "ok", math.nan if seed == 3 else 0.9) for seed in range(8)]
    scored += [Scored(LOW, seed, "ok", 0.89) for seed in range(8)]
    assert best_configuration(scored) == {"lr": 1e-3}


def test_being_spared_the_hard_seeds_is_no_advantage() -> None:
    hard = {6: 0.1, 7: 0.1}
    scored = [Scored(LOW, seed, "ok", hard.get(seed, 0.9)) for seed in range(8)]
    scored += [Scored(HIGH, seed, "timeout" if seed in hard else "ok", 0.8) for seed in range(8)]
    assert best_configuration(scored) == {"lr": 1e-4}


def test_holes_in_different_places_leave_out_the_fewest_then_the_lowest() -> None:
    """Each of four lacks another pair of eight seeds: what all have is nothing, what two have is half."""
    scores = {str(i): {seed: 0.5 + i / 10 for seed in range(8) if seed // 2 != i} for i in range(4)}
    made = select(scores)
    assert made is not None
    assert made.configuration == "3"
    assert 2 * len(made.seeds) > 6
    assert dict(made.left_out) == {"0": 6, "1": 6, "2": 6} or set(made.left_out) < {"0", "1", "2"}


@given(st.dictionaries(st.sampled_from("abcd"), st.dictionaries(st.integers(0, 6), st.floats(0, 1)), max_size=4))
def test_a_choice_is_the_best_of_what_is_compared_on_the_common_seeds(scores: dict[str, dict[int, float]]) -> None:
    made = select(scores)
    assert (made is None) == (not any(scores.values()))
    if made is not None:
        assert all(set(made.seeds) <= set(scores[name]) for name in made.compared)
        means = {name: math.fsum(scores[name][s] for s in made.seeds) / len(made.seeds) for name in made.compared}
        assert made.mean == max(means.values())
        assert made.configuration == min(name for name in means if means[name] == made.mean)
        assert set(made.compared) | set(made.left_out) == set(scores)
