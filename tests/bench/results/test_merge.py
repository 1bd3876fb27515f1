"""Compaction: fewer files, the same rows, at every moment and after every kill."""

import os
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import compact
from tests.bench import stored
from tests.bench.stored import fill, seen, take_stock, trial_id


class Killed(BaseException):
    """Stands for a SIGKILL between two operations of the file system."""


class Fragile(ResultsFolder):
    """Dies instead of its n-th write or deletion."""

    left = 10**9

    def _spend(self) -> None:
        if self.left == 0:
            raise Killed
        self.left -= 1

    def write_bytes(self, name: str, data: bytes) -> None:
        self._spend()
        super().write_bytes(name, data)

    def delete(self, name: str) -> None:
        self._spend()
        super().delete(name)


def test_few_files_and_the_same_rows(tmp_path: Path) -> None:
    fill(tmp_path, range(40))
    folder = fill(tmp_path, range(30, 35), "pruned")
    before = seen(tmp_path)
    made = compact(folder)
    assert (made.before, made.after) == (135, 6)
    assert stored.files(tmp_path) == 6
    assert seen(tmp_path) == before
    for number in (0, 31, 39):
        rows = folder.record_rows("evals", trial_id(number)).to_pylist()
        assert [row["value"] for row in rows] == [number + 0.05, number + 0.1]
    assert folder.record_rows("predictions", f"{trial_id(31)}.pruned").num_rows == stored.EXAMPLES
    names = sorted(path.name for path in tmp_path.rglob("*.parquet"))
    compact(folder)
    assert sorted(path.name for path in tmp_path.rglob("*.parquet")) == names  # nothing left to do


def test_new_files_join_and_a_rerun_replaces_a_failure(tmp_path: Path) -> None:
    fill(tmp_path, range(10))
    folder = fill(tmp_path, range(10, 13), "oom")
    compact(folder)
    fill(tmp_path, range(12, 20))  # 12 runs again, and well
    now = seen(tmp_path)
    assert now["rows"][trial_id(12)] == ("ok", 0.012)
    assert now["rows"][trial_id(11)] == ("oom", None)
    assert folder.record_rows("evals", trial_id(12)).num_rows == 2
    assert folder.record_rows("evals", trial_id(11)).num_rows == 0
    compact(folder)
    assert stored.files(tmp_path) == 3
    assert seen(tmp_path) == now


def test_merged_files_are_closed_at_a_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finebench.bench.results.merge.CLOSED_BYTES", 500)
    folder = fill(tmp_path, range(60))
    before = seen(tmp_path)
    compact(folder)
    assert 6 < stored.files(tmp_path) < 60
    assert seen(tmp_path) == before
    compact(folder)
    assert seen(tmp_path) == before


def test_killed_between_any_two_operations_nothing_is_lost_or_twice(tmp_path: Path) -> None:
    whole, kills = None, 0
    for operations in range(100):
        path = tmp_path / str(operations)
        fill(path, range(3), "oom")
        compact(ResultsFolder(str(path)))
        fill(path, range(2, 4))
        fill(path, range(1), "pruned")
        whole = whole or seen(path)
        folder = Fragile(str(path))
        folder.left = operations
        try:
            compact(folder)
        except Killed:
            kills += 1
            assert seen(path) == whole
            compact(ResultsFolder(str(path)))
            assert seen(path) == whole
            assert stored.files(path) == 6
        else:
            break
    assert kills == 3 * (1 + 3)  # a table's merged file and its three sources; the lone pruned file stays


def test_a_damaged_file_is_left_alone_and_named(tmp_path: Path) -> None:
    folder = fill(tmp_path, range(5))
    bad = tmp_path / f"evals/{trial_id(2)}.parquet"
    bad.write_bytes(bad.read_bytes()[:-1])
    made = compact(folder)
    assert len(made.damaged) == 1
    assert bad.name in made.damaged[0]
    assert bad.exists()


def test_a_damaged_merged_file_costs_what_it_held(tmp_path: Path) -> None:
    """Its trials run again, whole: one whose evaluations are gone has no result."""
    folder = fill(tmp_path, range(5))
    compact(folder)
    fill(tmp_path, range(5, 7))
    bad = next((tmp_path / "evals").glob("segment-*"))
    bad.write_bytes(bad.read_bytes()[:-1])
    stock = take_stock(folder)
    assert (list(stock.damaged), stock.incomplete) == ([f"evals/{bad.name}"], sorted(map(trial_id, range(5))))
    assert {one for one, _ in stock.done} == {trial_id(5), trial_id(6)}
    assert (tmp_path / "_damaged/evals" / bad.name).exists()


def test_readers_beside_a_compaction_see_every_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finebench.bench.results.merge.CLOSED_BYTES", 800)
    folder = fill(tmp_path, range(15))
    whole = seen(tmp_path)
    wrong: list[Any] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            try:
                if seen(tmp_path) != whole:
                    wrong.append("other rows")
            except BaseException as error:
                wrong.append(repr(error))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    begin, rounds = time.monotonic(), 0
    while time.monotonic() - begin < 2 or rounds < 3:
        compact(folder)
        fill(tmp_path, range(15))  # the same trials again, in files of their own
        rounds += 1
    ended.set()
    for reader in readers:
        reader.join()
    assert wrong == []


CHILD = """
import sys
import finebench.bench.results.merge
from finebench.bench.results.folder import ResultsFolder
finebench.bench.results.merge.CLOSED_BYTES = 2000
folder = ResultsFolder(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
finebench.bench.results.merge.compact(folder)
"""


def _kill_at_random(path: Path, kills: int, trials: int) -> int:
    """Kill compactions after random delays; returns how many were still at work."""
    fill(path, range(trials))
    whole = seen(path)
    dice, hit = random.Random(7), 0
    for _ in range(kills):
        command = [sys.executable, "-c", CHILD, str(path)]
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
        time.sleep(dice.uniform(0, 0.6))
        hit += child.poll() is None
        child.kill()
        child.communicate()
        assert seen(path) == whole
        fill(path, range(0, trials, 3))
        assert seen(path) == whole
    compact(ResultsFolder(str(path)))
    assert seen(path) == whole
    return hit


def test_sigkill_at_random_moments(tmp_path: Path) -> None:
    assert _kill_at_random(tmp_path, 3, 40) >= 1


@pytest.mark.slow
def test_sigkill_at_many_random_moments(tmp_path: Path) -> None:
    assert _kill_at_random(tmp_path, 30, 300) >= 15


def test_refused_while_a_driver_holds_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from finebench.bench.results.lock import claim

    folder = fill(tmp_path, range(3))
    with claim(folder, print):
        assert guarded(lambda: app(["compact", str(tmp_path)], standalone_mode=False)) == EXIT_BAD_INPUT
    assert str(os.getpid()) in capsys.readouterr().err
    assert stored.files(tmp_path) == 9
    assert guarded(lambda: app(["compact", str(tmp_path)], standalone_mode=False)) == 0
    assert "9 files before, 3 now" in capsys.readouterr().out


def test_schemas_mix(tmp_path: Path) -> None:
    """Schema 1 had one probability a row, that of the predicted class; merged with schema 2 it is a list of one."""
    folder = fill(tmp_path, [1, 2, 3])
    for number, probability in ((1, pa.array([0.5, 0.75, 1.0, None, 0.25], pa.float64())), (2, None)):
        path = tmp_path / f"predictions/{trial_id(number)}.parquet"
        column = probability or pa.array([[0.25, 0.75]] * 5, pa.list_(pa.float32()))
        rows = parquet.read_table(path)
        parquet.write_table(rows.set_column(rows.schema.names.index("probability"), "probability", column), path)
    old = pa.array([None] * 5, pa.float64())  # a regression's
    path = tmp_path / f"predictions/{trial_id(3)}.parquet"
    parquet.write_table(parquet.read_table(path).drop_columns("probability").append_column("probability", old), path)
    before = seen(tmp_path)
    compact(folder)
    assert stored.files(tmp_path) == 3
    assert seen(tmp_path) == before
    found = {n: folder.record_rows("predictions", trial_id(n))["probability"].to_pylist() for n in (1, 2, 3)}
    assert found == {1: [[0.5], [0.75], [1.0], None, [0.25]], 2: [[0.25, 0.75]] * 5, 3: [None] * 5}
