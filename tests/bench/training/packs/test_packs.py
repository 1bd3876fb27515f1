"""Studies with packs, end to end: the scores of solo trials, honest rows, interruption, and what else reads them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from finebench.analysis.report.write import write_report
from finebench.bench.cli.rerun import rerun_command
from finebench.bench.driver.ray import session
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.verify import verify
from finebench.bench.scheduling.recorder import Observer
from tests.bench.lives import files
from tests.bench.tiny import run_tiny

STUDY: dict[str, Any] = {
    "tasks": ["mini-stsb"],
    "methods": {"full": {"lr": [1e-3, 1e-4]}},
    "seeds": 3,
    "budget": [{"steps": 4}, {"steps": 8}],
    "training": {"evals": 2, "batch_size": 8},
}
UNSEEN = ("train_seconds", "eval_seconds", "startup_seconds", "energy_joules")
UNSEEN += ("peak_memory_bytes", "peak_allocated_bytes")
TOLERANCE = 1e-3
"""Of a score in a pack against the same trial's by itself: float32, other kernels."""


@pytest.fixture(scope="module")
def solo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Every trial by itself."""
    folder = tmp_path_factory.mktemp("solo")
    run_tiny(folder, **STUDY)
    return rows_of(folder)


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One small Ray for this file's tests."""
    with session.ray_session(session.RayOptions(), cpus=2):
        yield


def rows_of(folder: Path) -> dict[str, dict[str, Any]]:
    """All rows by id."""
    return {row["trial_id"]: row for row in ResultsFolder(str(folder)).rows()}


def assert_same_results(found: dict[str, dict[str, Any]], expected: dict[str, dict[str, Any]]) -> None:
    """The same trials with the same status, steps and, within TOLERANCE, scores."""
    assert found.keys() == expected.keys()
    for key, row in found.items():
        for column in ("status", "steps", "examples", "tokens", "train_flops", "trainable_params", "seed", "lr"):
            assert row[column] == expected[key][column], column
        for column in ("score", "score_last", "select_score"):
            assert row[column] == pytest.approx(expected[key][column], abs=TOLERANCE), column


@pytest.mark.slow
@pytest.mark.usefixtures("local_ray")
def test_packs_of_four_through_ray_give_the_scores_of_solo_trials(tmp_path: Path, solo: dict[str, Any]) -> None:
    """And rows that say what could not be seen; the folder is sound, and its report takes times from solo rows only."""
    outcome = run_tiny(tmp_path, debug=False, resources={"pack": 4}, **STUDY)
    assert outcome.statuses == {"ok": 12}
    rows = rows_of(tmp_path)
    assert_same_results(rows, solo)
    sizes = sorted(row["pack_size"] for row in rows.values())
    assert sizes == [1] * 3 + [2] * 2 + [3] * 3 + [4] * 4  # two first seeds, and packs that leave the other slot some
    for row in rows.values():
        packed = row["pack_size"] > 1
        assert not (packed and row["seed"] == 1 and row["lr"] == 1e-3)
        assert not (packed and row["exclusive"])
        assert row["reason"] is None
        if packed:
            assert [row[column] for column in UNSEEN] == [None] * 6
        else:
            assert row["train_seconds"] > 0
    for path in files(tmp_path, "evals"):
        for one in pq.read_table(path, columns=["trial_id", "train_seconds"]).to_pylist():
            assert (one["train_seconds"] is None) is (rows[one["trial_id"]]["pack_size"] > 1)
    assert verify(ResultsFolder(str(tmp_path))).problems == []
    report = write_report(str(tmp_path))
    alone = [row["train_seconds"] for row in rows.values() if row["exclusive"]]
    for one in report.summary:
        assert one["n"] == 3  # and no time where this machine was busy
        assert one["train_seconds"] is None or min(alone) <= one["train_seconds"] <= max(alone)


def test_a_packed_row_can_be_rerun_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`rerun` trains it by itself; it says how near it comes."""
    run_tiny(tmp_path, resources={"pack": 3}, **STUDY)
    packed = next(row for row in rows_of(tmp_path).values() if row["pack_size"] == 3)
    assert rerun_command(str(tmp_path), packed["trial_id"]) == 0
    said = capsys.readouterr().out
    assert "stored from a pack of 3; alone a trial is the same up to rounding only" in said
    assert f"{packed['trial_id']}: equal to 0.01 (status ok)" in said


def test_a_study_that_is_extended_packs_only_what_is_missing(tmp_path: Path, solo: dict[str, Any]) -> None:
    """A limit is exact; what is there stays as it is."""
    packed = STUDY | {"resources": {"pack": 4}}
    assert run_tiny(tmp_path, limit=7, **packed).statuses == {"ok": 7}
    before = rows_of(tmp_path)
    assert sorted(row["pack_size"] for row in before.values()) == [1, 1, 1, 4, 4, 4, 4]
    assert run_tiny(tmp_path, **packed).statuses == {"ok": 5}
    after = rows_of(tmp_path)
    assert {key: after[key] for key in before} == before
    assert_same_results(after, solo)


class Interrupter(Observer):
    """Presses Ctrl-C at the first evaluation of a pack of several."""

    def __init__(self) -> None:
        self.packed = False
        self.notes: list[str] = []

    def on_start(self, pack: Any) -> None:
        """Look who runs."""
        self.packed = len(pack.trials) > 1

    def on_note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)

    def tick(self) -> None:
        """Press."""
        if self.packed:
            os.kill(os.getpid(), signal.SIGINT)
            self.packed = False


@pytest.mark.parametrize("then", [pytest.param(1, marks=pytest.mark.slow), 2, pytest.param(4, marks=pytest.mark.slow)])
def test_an_interrupted_pack_goes_on_from_its_checkpoints_in_any_other(
    tmp_path: Path, solo: dict[str, Any], then: int
) -> None:
    """Alone, in a smaller pack or the same one; time in a pack is never told as a trial's own."""
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, observer=lambda scheduler: Interrupter(), resources={"pack": 4}, **STUDY)
    first = rows_of(tmp_path)
    assert len(first) == 1
    assert len(list((tmp_path / "checkpoints").glob("*.safetensors"))) == 4
    watch = Interrupter()
    watch.on_start = lambda pack: None  # type: ignore[method-assign]
    run_tiny(tmp_path, observer=lambda scheduler: watch, resources={"pack": then}, **STUDY)
    assert sum("goes on at step" in note for note in watch.notes) == 4
    rows = rows_of(tmp_path)
    assert {key: rows[key] for key in first} == first
    assert_same_results(rows, solo)
    went_on = [row for row in rows.values() if row["pack_size"] == 4]
    assert len(went_on) in ((8, 9) if then == 4 else (4,))  # one that goes on last may be alone
    assert all(row["train_seconds"] is None for row in went_on)
