"""What the report says in words, from frames made by hand."""

import math
from typing import Any

import pandas as pd

from finebench.analysis.report.sentences import findings, not_shown_to_swap

PLACE = {"task": "cola", "budget": "b", "fraction": 1.0}


def answer(**scores: tuple[float, float, float]) -> pd.DataFrame:
    """Complete cells of six seeds: score, low and high by method."""
    rows: list[dict[str, Any]] = [
        PLACE | {"method": name, "score": score, "low": low, "high": high, "n": 6, "complete": True, "majority": 0.0,
                 "metric": "mcc", "budget_label": "b", "interval": ""}
        for name, (score, low, high) in scores.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def pairs(*rows: tuple[str, str, float, float]) -> pd.DataFrame:
    """Rows of a, b, difference and p after Holm."""
    return pd.DataFrame([PLACE | dict(zip(("a", "b", "difference", "p_holm"), row, strict=True)) for row in rows])


SCORES = answer(one=(0.8, 0.7, 0.9), two=(0.7, 0.6, 0.8), three=(0.5, 0.4, 0.6), four=(0.75, 0.65, 0.85))


def test_paired_differences_separate_what_intervals_do_not() -> None:
    (said,) = findings(
        SCORES, pairs(("one", "two", 0.1, 0.01), ("four", "one", -0.05, 0.2), ("three", "one", -0.3, 0.001))
    )
    assert said == (
        "cola, 100 % of the data: one scored highest in mcc, 0.800 (95 % over 6 seeds: 0.700 to 0.900). Its interval "
        "lies above that of three. It overlaps those of two and four: the intervals alone do not separate them. Paired "
        "by seed, it is ahead of two and three (p after Holm below 0.05)."
    )


def test_an_incomplete_method_above_the_best_complete_one_is_told() -> None:
    """Its mean may be of its easy seeds alone; that another scored highest would be untrue beside it."""
    given = SCORES.copy()
    given.loc[given["method"].eq("four"), ["score", "complete", "n"]] = [0.95, False, 3]
    given.loc[given["method"].eq("two"), ["complete", "n"]] = [False, 5]
    (said,) = findings(given, pairs())
    assert said.startswith(
        "cola, 100 % of the data: of the methods with all of their seeds, one scored highest in mcc, 0.800"
    )
    assert said.endswith(
        "Not compared, because seeds are missing: two, four. "
        "Higher so far, though incomplete: four (0.950 over 3 seeds)."
    )
    assert "so far" not in findings(SCORES, pairs())[0]
    nothing = given.assign(majority=0.9)
    assert "no method with all of its seeds scored above the constant predictor" in findings(nothing, pairs())[0]


def test_without_pairs_or_p_nothing_is_said_of_them() -> None:
    for given in (pairs(), pairs(("one", "two", 0.1, math.nan)), pairs(("one", "two", 0.1, 0.06))):
        (said,) = findings(SCORES, given)
        assert "Paired" not in said


def test_crossings_by_noise_are_told_by_couple_and_axis() -> None:
    def row(other: str, axis: str, label: str = "3 epochs", shown: bool = False) -> dict[str, Any]:
        return {"task": "cola", "method": "one", "other": other, "axis": axis, "budget_label": label, "shown": shown}

    frame = pd.DataFrame([row("two", "steps"), row("two", "flops"), row("six", "steps", shown=True)])
    assert not_shown_to_swap(frame) == [
        "Mean curves that cross, but are not shown to differ before and after: one and two on cola (steps, flops)."
    ]
    (said,) = not_shown_to_swap(pd.DataFrame([*frame.to_dict("records"), row("two", "steps", "across budgets")]))
    assert "one and two on cola, 3 epochs (steps, flops); one and two on cola, across budgets (steps)." in said
    many = pd.DataFrame([row(f"m{i}", "steps") for i in range(11)])
    assert not_shown_to_swap(many)[0].endswith("; and 3 more.")
    assert not_shown_to_swap(frame[frame["shown"]]) == not_shown_to_swap(pd.DataFrame()) == []


def test_pairs_of_another_fraction_or_task_do_not_count() -> None:
    other = pairs(("one", "two", 0.1, 0.01)).assign(fraction=0.1)
    assert "Paired" not in findings(SCORES, other)[0]
    assert "Paired" not in findings(SCORES, pairs(("one", "two", 0.1, 0.01)).assign(task="mrpc"))[0]
