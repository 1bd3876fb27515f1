"""A study goes on after `compact` as if its files had never been merged: resumed, extended, searched, reported."""

import json
from pathlib import Path
from typing import Any

import pytest

from finebench.analysis.report.write import write_report
from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.record import record_name
from finebench.bench.study.load import load_study
from tests.bench.lives import CLOCKS
from tests.bench.tiny import CtrlC

GRID = """
name: merged
tasks: [mini-stsb]
methods: {{full: {{lr: 1e-3}}, {more}}}
fractions: [0.05]
seeds: {seeds}
budget: {{steps: 12}}
training: {{evals: 3, batch_size: 8}}
"""
SEARCH = """
name: merged
tasks: [mini-stsb]
methods: {{full: {{lr: {{loguniform: [1e-5, 1e-2]}}}}}}
fractions: [0.05]
search: {{optuna: {{trials: {trials}, seeds: 2, confirm_seeds: 1, scheduler: asha}}}}
budget: {{steps: 12}}
training: {{evals: 4, batch_size: 8}}
"""


@pytest.fixture(autouse=True)
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each run would end with one, which takes longer than the study."""
    monkeypatch.setattr("finebench.bench.cli.commands._report_again", lambda *arguments: None)


def command(*arguments: str) -> int:
    """The command line, in this process."""
    return guarded(lambda: app([*arguments], standalone_mode=False))


def run(folder: Path, study: str, *more: str) -> int:
    """`finebench run` into folder/r."""
    folder.mkdir(exist_ok=True)
    (folder / "study.yaml").write_text(study)
    return command("run", str(folder / "study.yaml"), "--results", str(folder / "r"), "--debug", *more)


def compact(folder: Path) -> None:
    """`finebench compact`, after which each table has one file, and one more for what a search stopped."""
    assert command("compact", str(folder / "r")) == 0
    for table in ("trials", "evals", "predictions"):
        assert 1 <= len(list((folder / "r" / table).glob("*.parquet"))) <= 2


def science(folder: Path) -> dict[str, Any]:
    """Every row, evaluation and prediction as the product's readers give them, clocks apart."""
    results, found = ResultsFolder(str(folder / "r")), {}
    for row in results.rows():
        name = record_name(row["trial_id"], row["status"])
        evals, predictions = (results.record_rows(table, name).to_pylist() for table in ("evals", "predictions"))
        lines = [row, *evals, *predictions]
        found[name] = [{key: value for key, value in line.items() if key not in CLOCKS} for line in lines]
    return found


def sound(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`finebench verify` has no problem and recomputes every id; `report` and `status` read the folder."""
    capsys.readouterr()
    assert command("verify", str(folder / "r"), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["problems"], found["ids_checked"], found["ids_unchecked"]) == ([], found["trials"], {})
    assert write_report(str(folder / "r")).summary
    assert command("status", str(folder / "r"), "--json") == 0
    assert json.loads(capsys.readouterr().out)["pending"] == 0


def interrupt(folder: Path, study: str) -> None:
    """Run, and press Ctrl-C after the second trial's first evaluation."""
    folder.mkdir()
    (folder / "study.yaml").write_text(study)
    options = RunOptions(str(folder / "r"), debug=True)
    with pytest.raises(KeyboardInterrupt):
        run_study(
            load_study(str(folder / "study.yaml")),
            options,
            lambda scheduler: CtrlC(4),
            lambda trial, reason, runs: None,
        )
    assert len(list((folder / "r/trials").iterdir())) == 1
    assert len(list((folder / "r/checkpoints").iterdir())) == 1


def test_a_grid_is_resumed_and_extended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Interrupted in a trial, merged, resumed, merged, more seeds, merged, a new method, merged, run to no effect."""
    small, large = GRID.format(seeds=2, more="bitfit: {lr: 5e-3}"), GRID.format(seeds=3, more="bitfit: {lr: 5e-3}")
    wide = GRID.format(seeds=3, more="bitfit: {lr: 5e-3}, lora: {lr: 1e-2}")
    assert run(tmp_path / "whole", wide) == 0
    interrupt(tmp_path / "parts", small)
    for study, ran in ((small, None), (large, "2 ok"), (wide, "3 ok")):
        compact(tmp_path / "parts")
        capsys.readouterr()
        assert run(tmp_path / "parts", study) == 0
        said = capsys.readouterr().out
        assert f"this run: {ran}" in said if ran else "goes on at step" in said
    compact(tmp_path / "parts")
    sound(tmp_path / "parts", capsys)
    assert science(tmp_path / "parts") == science(tmp_path / "whole")
    assert run(tmp_path / "parts", wide) == 0
    assert "this run: nothing to do; 9 there before" in capsys.readouterr().out
    assert command("rerun", str(tmp_path / "parts/r"), next(iter(science(tmp_path / "parts")))) == 0
    assert "bit-equal" in capsys.readouterr().out


@pytest.mark.slow
def test_a_search_is_resumed_and_extended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Merged after every few trials, its suggestions, prunings and choice are those of one that was never merged."""
    short, long = SEARCH.format(trials=4), SEARCH.format(trials=5)
    for study in (short, long):
        assert run(tmp_path / "whole", study) == 0
        for _ in range(12):
            capsys.readouterr()
            assert run(tmp_path / "parts", study, "--trials", "5") == 0
            if "this run: nothing to do" in capsys.readouterr().out:
                break
            compact(tmp_path / "parts")
    rows = science(tmp_path / "parts")
    assert rows == science(tmp_path / "whole")
    assert any(name.endswith(".pruned") for name in rows)
    assert {row[0]["stage"] for row in rows.values()} == {"search", "confirm"}
    for folder in ("parts", "whole"):
        sound(tmp_path / folder, capsys)
