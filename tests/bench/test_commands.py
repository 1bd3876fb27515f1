"""What `run` prints at its end."""

from typing import Any

import pytest
from rich.console import Console

from bench.commands import NARROW, summary_table

ROW: dict[str, Any] = {
    "task": "mini-cola",
    "fraction": 0.1,
    "method": "adapter",
    "score": 0.233,
    "low": 0.129,
    "high": 0.338,
    "n": 3,
    "lr": 3e-4,
    "trainable_params": 381_986,
    "train_seconds": 1.4,
    "budget_label": "150 steps",
    "degenerate": 1,
    "failed": 0,
    "complete": True,
}


@pytest.mark.parametrize("width", [60, NARROW - 1, NARROW, 140])
def test_scores_stay_whole_in_a_narrow_terminal(width: int) -> None:
    console = Console(width=width)
    with console.capture() as shown:
        console.print(summary_table([ROW], width))
    text = shown.get()
    assert all(part in text for part in ("mini-cola", "adapter", "0.233", "0.129 to 0.338", "0.0003"))
    assert ("381,986" in text) == (width >= NARROW)
    assert all(len(line) <= width for line in text.splitlines())
