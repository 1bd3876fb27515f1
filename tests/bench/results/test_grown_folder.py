"""The folders that growth is measured on are what a run would have left, and all commands take them for finished."""

from pathlib import Path

from finebench.bench.cli.show import status
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.verify import verify
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study.load import load_study
from tests.benchmarks.grown_folder import grow


def test_a_grown_folder_is_sound_and_finished(tmp_path: Path) -> None:
    study = grow(tmp_path / "r", 1_000, examples=3, evals=1)
    folder = ResultsFolder(str(tmp_path / "r"))
    found = verify(folder)
    assert (found.problems, found.notes, found.trials, found.ids) == ([], [], 1_000, 1_000)
    counted = status(folder.root)
    assert (counted["planned"], counted["ok"], counted["pending"], len(counted["cells"])) == (1_000, 1_000, 0, 20)
    options, plan = RunOptions(folder.root, debug=True), folder.read_bytes("plan.json")
    outcome = run_study(load_study(str(study)), options, lambda scheduler: Observer(), lambda trial, reason, runs: None)
    assert (outcome.statuses, outcome.skipped) == ({}, 1_000)
    assert folder.read_bytes("plan.json") == plan  # else a report that was made before would not be kept
