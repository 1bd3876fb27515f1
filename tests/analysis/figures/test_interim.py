"""Figures of the path of a claim, from analysis to analysis."""

from typing import Any

import pytest

from finebench.analysis.figures.interim import looks

SPREAD: dict[str, Any] = {
    "id": "full-varies-more", "says": "varies_more", "a": "full", "b": "bitfit", "margin": None, "factor": 1.0,
    "verdict": "inconclusive", "quantity": "spread of full / spread of bitfit", "bound": 1.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.6, None, "1.5 (0.6 and above)"), (None, 2.4, "1.5 (2.4 and below)"), (None, None, "8 seeds: 1.5.")],
)
def test_an_interval_that_is_open_at_an_end_is_said_to_be(low: float | None, high: float | None, said: str) -> None:
    """A ratio of spreads has none above where the second method may not vary at all."""
    steps = [
        {"look": 0, "task": "one", "seeds": 8, "pairs": 8, "estimate": 1.5, "low": low, "high": high},
        {"look": 1, "task": "one", "seeds": 11, "pairs": 11, "estimate": 1.4, "low": 0.9, "high": 2.1},
    ]
    path = {"planned": [8, 11], "taken": 2, "decided_at": None, "path": steps}
    (figure,) = looks([SPREAD | {"looks": path}])
    assert said in figure.description
    assert "1.4 (0.9 to 2.1)" in figure.description
