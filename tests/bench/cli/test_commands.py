"""What `run` prints: why each trial runs or is skipped, and the scores at its end."""

import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from finebench.bench.cli.app import app
from finebench.bench.cli.commands import NARROW, summary_table
from finebench.bench.cli.entry import guarded

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
    "collapsed": 1,
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


def test_why_says_of_each_trial_why_it_runs_or_is_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = {"name": "x", "tasks": ["mini-cola"], "methods": {"head": {"lr": 1e-2}}, "budget": {"steps": 2}}
    file = tmp_path / "x.yaml"

    def why(seeds: int) -> list[str]:
        file.write_text(json.dumps(study | {"seeds": seeds}), encoding="utf-8")
        command = ["run", str(file), "--debug", "--why", "--results", str(tmp_path / "r")]
        assert guarded(lambda: app(command, standalone_mode=False)) == 0
        lines = capsys.readouterr().out.splitlines()
        return [line for line in lines if line.startswith(("run ", "skip "))]

    (first,) = why(1)
    assert first.endswith("""grid mini-cola head fraction 1 seed 1 {"lr": 0.01}: not run yet""")
    again, more = why(2)
    assert again == first.replace("run ", "skip", 1).replace("not run yet", "already there (ok)")
    assert more.endswith("""seed 2 {"lr": 0.01}: not run yet""")
    assert more.startswith("run ")
