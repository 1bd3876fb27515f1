"""Whole runs, end to end: search with ASHA and confirm, extension, interruption, best.yaml, rerun."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finebench.analysis.report.write import write_report
from finebench.bench.cli import rerun
from finebench.bench.cli.exit_codes import EXIT_INTERRUPTED
from finebench.bench.cli.rerun import rerun_command
from finebench.bench.cli.show import status
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study.load import load_study
from finebench.bench.training.worker import worker_cache
from finebench.bench.util.errors import ResultsError
from tests.bench.tiny import CtrlC, run_tiny

SEARCH: dict[str, Any] = {
    "methods": {"full": {"lr": {"loguniform": [1e-5, 1e-2]}}, "bitfit": {"lr": {"loguniform": [1e-4, 1e-1]}}},
    "search": {"optuna": {"trials": 5, "seeds": 2, "confirm_seeds": 2, "scheduler": "asha"}},
    "tasks": ["mini-stsb"],
    "budget": {"steps": 12},
    "training": {"evals": 4, "batch_size": 8},
}


def rows_of(folder: Path) -> list[dict[str, Any]]:
    """All rows of a results folder."""
    return list(ResultsFolder(str(folder)).rows())


def test_search_prunes_learning_rates_and_confirms_on_fresh_seeds(tmp_path: Path) -> None:
    """Optuna and ASHA per cell, then best and default on seeds that chose nothing."""
    run_tiny(tmp_path, **SEARCH)
    rows = rows_of(tmp_path)
    search = [r for r in rows if r["stage"] == "search"]
    assert len(search) == 2 * 5 * 2
    assert {r["status"] for r in search} == {"ok", "pruned"}
    for pruned in (r for r in search if r["status"] == "pruned"):
        twins = [
            r for r in search if r["hyperparameters"] == pruned["hyperparameters"] and r["method"] == pruned["method"]
        ]
        assert [t["status"] for t in twins] == ["pruned", "pruned"]  # seeds are never pruned apart
        assert pruned["steps"] < 12
    confirm = [r for r in rows if r["stage"] == "confirm"]
    assert {r["seed"] for r in confirm} == {1001, 1002}
    for method in ("full", "bitfit"):
        whole = [r for r in search if r["method"] == method and r["status"] == "ok"]
        means: dict[str, list[float]] = {}
        for r in whole:
            means.setdefault(r["hyperparameters"], []).append(r["select_score"])
        best = max(means, key=lambda h: sum(means[h]) / len(means[h]))
        assert best in {r["hyperparameters"] for r in confirm if r["method"] == method}


@pytest.mark.slow
def test_an_interrupted_search_ends_with_the_same_rows(tmp_path: Path) -> None:
    """A search replays its recorded suggestions."""
    run_tiny(tmp_path / "whole", **SEARCH)
    for _ in range(12):
        if run_tiny(tmp_path / "parts", limit=4, **SEARCH).statuses == {}:
            break

    def science(folder: Path) -> set[tuple[Any, ...]]:
        keys = ("trial_id", "stage", "status", "hyperparameters", "seed", "score", "select_score", "steps")
        return {tuple(row[key] for key in keys) for row in rows_of(folder)}

    assert science(tmp_path / "parts") == science(tmp_path / "whole")


def test_a_seconds_budget_goes_on_with_its_stored_speed(tmp_path: Path) -> None:
    """Stopped inside a trial and gone on with: as many steps, and the same bits, as by the same speed in one go."""
    study: dict[str, Any] = {"budget": {"seconds": 0.4}, "methods": {"full": {"lr": [1e-3]}}, "seeds": 2}
    run_tiny(tmp_path / "whole", **study)
    (tmp_path / "parts").mkdir()
    shutil.copy(tmp_path / "whole/calibration.json", tmp_path / "parts")
    watch = CtrlC(2)
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path / "parts", observer=lambda scheduler: watch, **study)
    assert len(list((tmp_path / "parts/checkpoints").iterdir())) == 1
    run_tiny(tmp_path / "parts", observer=lambda scheduler: watch, **study)
    assert any("goes on at step" in note for note in watch.notes)
    assert (tmp_path / "parts/calibration.json").read_bytes() == (tmp_path / "whole/calibration.json").read_bytes()
    keys = ("trial_id", "status", "score", "score_last", "select_score", "steps", "tokens")
    assert [[row[key] for key in keys] for row in rows_of(tmp_path / "parts")] == [
        [row[key] for key in keys] for row in rows_of(tmp_path / "whole")
    ]


def test_another_study_in_the_folder_is_refused_with_the_difference(tmp_path: Path) -> None:
    """Nothing is changed, and the message says what differs."""
    run_tiny(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    with pytest.raises(ResultsError, match=r"training\.batch_size: 8 there, 4 here"):
        run_tiny(tmp_path, training={"batch_size": 4, "evals": 3})
    with pytest.raises(ResultsError, match="name"):
        run_tiny(tmp_path, name="other")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_rerun_of_a_folder_that_holds_one_probability_a_row(tmp_path: Path) -> None:
    """Schema 1 kept that of the predicted class alone, in float64."""
    run_tiny(tmp_path, tasks=["mini-cola"])
    row = rows_of(tmp_path)[0]
    path = tmp_path / f"trials/{row['trial_id']}.parquet"
    table = pq.read_table(path)
    at = table.schema.get_field_index("schema_version")
    pq.write_table(table.set_column(at, table.schema.field(at), pa.array([1], table.schema.field(at).type)), path)
    path = tmp_path / f"predictions/{row['trial_id']}.parquet"
    table = pq.read_table(path)
    both = zip(table["prediction"].to_pylist(), table["probability"].to_pylist(), strict=True)
    old = pa.array([some[int(label)] for label, some in both], pa.float64())
    pq.write_table(table.set_column(table.schema.get_field_index("probability"), "probability", old), path)
    assert rerun_command(str(tmp_path), row["trial_id"]) == 0


def test_rerun_is_bit_equal_and_says_when_it_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One trial again, in process."""
    run_tiny(tmp_path, tasks=["mini-stsb"])
    row = rows_of(tmp_path)[0]
    assert rerun_command(str(tmp_path), row["trial_id"]) == 0
    assert "bit-equal" in capsys.readouterr().out
    path = tmp_path / f"trials/{row['trial_id']}.parquet"
    table = pq.read_table(path)
    column = table.schema.get_field_index("score")
    pq.write_table(table.set_column(column, table.schema.field(column), [[row["score"] + 1e-12]]), path)
    assert rerun_command(str(tmp_path), row["trial_id"]) == 3
    assert "NOT bit-equal" in capsys.readouterr().out
    with pytest.raises(ResultsError, match="unknown trial"):
        rerun_command(str(tmp_path), "nope")


def test_rerun_of_a_trial_that_has_left_its_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The folder keeps its rows when the study goes on without their task, method, fraction and budget."""
    run_tiny(tmp_path)
    old = rows_of(tmp_path)[0]["trial_id"]
    per_task = {"bitfit": {"lr": 5e-3, "per_task": {"mini-stsb": {"lr": 1e-2}}}}
    run_tiny(tmp_path, tasks=["mini-stsb"], methods=per_task, fractions=[0.2], budget={"steps": 3})
    new = next(row["trial_id"] for row in rows_of(tmp_path) if row["task"] == "mini-stsb")
    for trial_id in (old, new):
        assert rerun_command(str(tmp_path), trial_id) == 0
        assert f"{trial_id}: bit-equal" in capsys.readouterr().out


def test_a_search_over_more_hyperparameters_goes_on_with_what_lies_inside(tmp_path: Path) -> None:
    """What was tried at the default of a hyperparameter that is searched now is a configuration of the new space."""
    small = SEARCH | {"search": {"optuna": {"trials": 1, "seeds": 1, "confirm_seeds": 0}}}
    wider = {"lr": {"loguniform": [1e-5, 1e-2]}, "variant": {"choice": ["pfeiffer", "houlsby"]}}
    run_tiny(tmp_path, **small | {"methods": {"adapter": {"lr": wider["lr"]}}})
    before = {row["trial_id"] for row in rows_of(tmp_path)}
    assert run_tiny(tmp_path, **small | {"methods": {"adapter": wider}}).statuses == {}
    run_tiny(tmp_path, **small | {"methods": {"adapter": wider | {"variant": {"choice": ["houlsby", "parallel"]}}}})
    assert len({row["trial_id"] for row in rows_of(tmp_path)} - before) == 1


def test_best_yaml_is_a_study_that_runs(tmp_path: Path) -> None:
    """The report's best settings, run as they are."""
    run_tiny(tmp_path / "first", tasks=["mini-cola", "mini-stsb"], methods={"full": {"lr": [1e-3, 1e-4]}})
    write_report(str(tmp_path / "first"))
    study = load_study(str(tmp_path / "first/report/best.yaml"))
    options = RunOptions(str(tmp_path / "second"), debug=True)
    outcome = run_study(study, options, lambda scheduler: Observer(), lambda trial, reason, runs: None)
    assert outcome.statuses == {"ok": 2}
    again = {r["trial_id"]: r["score"] for r in rows_of(tmp_path / "second")}
    assert again.items() <= {r["trial_id"]: r["score"] for r in rows_of(tmp_path / "first")}.items()


def test_status_counts(tmp_path: Path) -> None:
    """Planned, finished and pending, in all and per cell."""
    run_tiny(tmp_path, seeds=3, limit=2)
    found = status(str(tmp_path))
    assert (found["planned"], found["ok"], found["pending"], found["running"]) == (6, 2, 4, 0)
    assert sum(cell["pending"] for cell in found["cells"]) == 4


def test_status_of_a_finished_confirm_stage_has_nothing_pending(tmp_path: Path) -> None:
    """Planned for two configurations; the best is the default."""
    run_tiny(tmp_path, methods={"full": {"lr": [2e-5]}}, search={"grid": {"confirm_seeds": 2}})
    found = status(str(tmp_path))
    assert (found["planned"], found["ok"], found["pending"]) == (3, 3, 0)


def test_what_diverged_is_told_by_every_run_of_the_study(tmp_path: Path) -> None:
    """How a study ends does not depend on how often it was stopped."""
    run_tiny(tmp_path)
    row = rows_of(tmp_path)[0]
    path = tmp_path / f"trials/{row['trial_id']}.parquet"
    changed = row | {"status": "diverged", "reason": "the loss is not finite at step 3", "score": None}
    pq.write_table(pa.Table.from_pylist([changed], schema=pq.read_schema(path)), path)
    again = run_tiny(tmp_path)
    assert again.statuses == {}
    assert [(one["trial_id"], one["reason"]) for one in again.failures] == [(row["trial_id"], changed["reason"])]
    other = {"full": {"lr": [3e-4]}, "bitfit": {"lr": [1e-3]}}
    assert run_tiny(tmp_path, methods=other).failures == []  # it is no part of the study any more


@pytest.mark.parametrize(("device", "notes"), [(None, False), ("another machine's processor", True)])
def test_rerun_uses_what_the_trial_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, device: str | None, notes: bool
) -> None:
    """On a machine with a GPU, a trial that ran on its processor is run there again; another machine's is told of."""
    run_tiny(tmp_path, tasks=["mini-stsb"])
    row = rows_of(tmp_path)[0]
    if device is None:
        monkeypatch.setattr(worker_cache, "has_gpu", lambda: True)
    else:
        path = tmp_path / f"trials/{row['trial_id']}.parquet"
        table = pq.read_table(path)
        column = table.schema.get_field_index("device")
        pq.write_table(table.set_column(column, table.schema.field(column), [[device]]), path)
    assert rerun.rerun_command(str(tmp_path), row["trial_id"]) == 0
    said = capsys.readouterr().out
    assert ("note: stored from another machine's processor, run now on " in said) is notes
    assert f"{row['trial_id']}: bit-equal" in said


STUDY = """
name: long
tasks: [mini-mrpc]
methods: {full: {lr: 1e-3}}
seeds: 40
budget: {steps: 40}
training: {evals: 2, batch_size: 8}
"""


@pytest.mark.parametrize("signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupt_exits_130_and_a_second_run_goes_on(tmp_path: Path, signum: signal.Signals) -> None:
    """What is finished stays; the message says how to continue."""
    (tmp_path / "long.yaml").write_text(STUDY)
    command = [sys.executable, "-m", "finebench", "run", "long.yaml", "--debug", "--results", "out"]
    env = os.environ | {"PYTHONPATH": os.getcwd()}
    process = subprocess.Popen(
        command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(list(tmp_path.glob("out/trials/*.parquet"))) < 2:
        time.sleep(0.1)
    process.send_signal(signum)
    _, error = process.communicate(timeout=60)
    assert process.returncode == EXIT_INTERRUPTED
    assert "run the same command again" in error
    assert "Traceback" not in error
    kept = {p.name for p in tmp_path.glob("out/trials/*.parquet")}
    assert 2 <= len(kept) < 40
    assert subprocess.run([*command, "--trials", "1"], cwd=tmp_path, env=env, check=False).returncode == 0
    assert len(list(tmp_path.glob("out/trials/*.parquet"))) == len(kept) + 1


def test_a_cache_that_cannot_be_written_is_said_once_and_costs_no_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds copies: a full disk there is no reason to lose a study."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path / "file"))
    watch = CtrlC(after=10**9)
    outcome = run_tiny(tmp_path / "results", observer=lambda scheduler: watch, seeds=2)
    assert outcome.statuses == {"ok": 4}
    assert [note.partition(":")[0] for note in watch.notes] == [f"cache folder {tmp_path / 'file'}/tokens"]
