"""Rows are stored at once and merged as a run goes: few files, each trial once, always, and after every kill."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import pytest

from finebench.bench.results import writer as writer_module
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import CLOSED_BYTES, Written, compact
from finebench.bench.results.segments import segment_of
from finebench.bench.results.verify import verify
from finebench.bench.results.writer import FAN, FRESH, Writer, due, level
from finebench.bench.util.errors import StorageError
from tests.bench.results.test_merge import Fragile, Killed
from tests.bench.stored import files, fill, make_record, seen, take_stock, trial_id


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merges after a few trials."""
    monkeypatch.setattr(writer_module, "FRESH", 4)
    monkeypatch.setattr(writer_module, "FAN", 2)


def _drive(writer: Writer, numbers: Iterable[int]) -> None:
    with writer:
        for number in numbers:
            writer.store([make_record(number)])


def store(
    path: Path | ResultsFolder, numbers: Iterable[int], status: str = "ok", said: list[int] | None = None
) -> None:
    """Store trials one by one; `said` gets those that were."""
    folder = path if isinstance(path, ResultsFolder) else ResultsFolder(str(path))
    with Writer(folder) as writer:
        for number in numbers:
            writer.store([make_record(number, status)])
            if said is not None:
                said.append(number)


@pytest.mark.usefixtures("small")
def test_a_run_leaves_few_files_and_every_row(tmp_path: Path) -> None:
    fill(tmp_path / "plain", range(41))
    whole = seen(tmp_path / "plain")
    folder = fill(tmp_path / "merged", [])
    store(tmp_path / "merged", range(41))
    assert seen(tmp_path / "merged") == whole
    assert files(tmp_path / "merged") <= 3 * (1 + 4)
    assert [one.kind for one in verify(folder).notes] == ["pending"]
    assert take_stock(folder).incomplete == []
    rows = folder.record_rows("evals", trial_id(3)).to_pylist()
    assert [row["value"] for row in rows] == [3.05, 3.1]
    compact(folder)
    assert files(tmp_path / "merged") == 3
    assert seen(tmp_path / "merged") == whole


def test_trials_that_end_together_are_one_segment(tmp_path: Path) -> None:
    folder = fill(tmp_path, [])
    with Writer(folder) as writer:
        writer.store([make_record(number) for number in range(16)])
        writer.store([make_record(20, "pruned"), make_record(21, "pruned"), make_record(22), make_record(23)])
    assert files(tmp_path) == 3 * 3
    assert len(seen(tmp_path)["rows"]) == 20
    assert folder.record_rows("predictions", f"{trial_id(21)}.pruned").num_rows == 5


def test_what_failed_and_runs_again_counts_as_it_ended_last(tmp_path: Path, small: None) -> None:
    """Whether its failure stands in a file of its own or in a segment, and whatever is merged meanwhile."""
    fill(tmp_path, [])
    store(tmp_path, range(8), "oom")
    store(tmp_path, [8, 9], "oom")
    folder = ResultsFolder(str(tmp_path))
    with Writer(folder) as writer:
        writer.store([make_record(number) for number in (0, 3, 9)])
        for number in range(20, 33):
            writer.store([make_record(number)])
        writer.store([make_record(5), make_record(8)])
    rows = seen(tmp_path)["rows"]
    assert {number for number in range(10) if rows[trial_id(number)][0] == "ok"} == {0, 3, 5, 8, 9}
    assert len(rows) == 23
    assert verify(folder).problems == []
    compact(folder)
    assert seen(tmp_path)["rows"] == rows


def test_own_files_of_earlier_runs_are_merged_with_the_first_record_that_is_stored(tmp_path: Path) -> None:
    """As an older version, or many short runs, have left them."""
    folder = fill(tmp_path, range(FRESH + 3))
    fill(tmp_path, range(100, 103), "pruned")
    whole = seen(tmp_path)
    notes: list[str] = []
    folder.notify = notes.append
    with Writer(folder):
        pass
    assert (files(tmp_path), notes) == (3 * (FRESH + 3 + 3), [])
    with Writer(folder) as writer:
        writer.store([make_record(200)])
    assert whole["rows"].items() < seen(tmp_path)["rows"].items()
    assert files(tmp_path) == 3 * (1 + 3 + 1)
    assert len(notes) == 3
    assert f"merging {FRESH + 3} files" in notes[0]


def test_folders_of_an_older_version_are_read_and_grow(tmp_path: Path, small: None) -> None:
    folder = fill(tmp_path, range(10), "oom")
    compact(folder)
    for table in ("trials", "evals", "predictions"):
        [path] = (tmp_path / table).glob("segment-*")
        path.rename(path.with_name("merged-000001-0000.parquet"))
    store(tmp_path, [3, *range(20, 29)])
    rows = seen(tmp_path)["rows"]
    assert (len(rows), rows[trial_id(3)], rows[trial_id(4)]) == (19, ("ok", 0.003), ("oom", None))
    assert folder.record_rows("evals", trial_id(3)).num_rows == 2
    assert len(list((tmp_path / "trials").glob("merged-*"))) == 1
    compact(folder)
    assert files(tmp_path) == 3
    assert seen(tmp_path)["rows"] == rows


@pytest.mark.parametrize("operations", range(0, 60, 7))
def test_killed_between_any_two_operations_what_was_stored_is_there_once(
    tmp_path: Path, small: None, operations: int
) -> None:
    fill(tmp_path, range(3), "oom")
    folder = Fragile(str(tmp_path))
    folder.left = operations
    stored: list[int] = []
    with pytest.raises(Killed):
        store(folder, range(2, 40), said=stored)
    rows = seen(tmp_path)["rows"]
    assert set(map(trial_id, stored)) <= {name for name, (status, _) in rows.items() if status == "ok"}
    assert verify(folder).problems == []
    store(tmp_path, range(2, 40))
    assert {name: status for name, (status, _) in seen(tmp_path)["rows"].items()} == {
        trial_id(number): "oom" if number < 2 else "ok" for number in range(40)
    }


@pytest.mark.usefixtures("small")
def test_readers_beside_a_run_see_what_was_stored_once(tmp_path: Path) -> None:
    folder = fill(tmp_path, range(4))
    wrong: list[str] = []
    stored, ended = [*range(4)], threading.Event()

    def read() -> None:
        while not ended.is_set():
            before = len(stored)
            try:
                there = seen(tmp_path)
            except BaseException as error:
                wrong.append(repr(error))
                return
            missing = {trial_id(number) for number in stored[:before]} - there["rows"].keys()
            if missing or there["predictions"].keys() < there["report"].keys():
                wrong.append(f"missing {missing}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    with Writer(folder) as writer:
        for number in range(4, 60):
            writer.store([make_record(number)])
            stored.append(number)
    ended.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert len(seen(tmp_path)["rows"]) == 60


CHILD = """
import sys
import finebench.bench.results.writer
from finebench.bench.results.folder import ResultsFolder
from tests.bench.stored import make_record
finebench.bench.results.writer.FRESH, finebench.bench.results.writer.FAN = 4, 2
with finebench.bench.results.writer.Writer(ResultsFolder(sys.argv[1])) as writer:
    for number in range(int(sys.argv[2]), 10**6):
        writer.store([make_record(number)])
        print(number, flush=True)
"""


def test_sigkill_at_random_moments(tmp_path: Path) -> None:
    """All that a driver says is stored is there, once, after each of several kills."""
    fill(tmp_path, [])
    dice, next_one = random.Random(3), 0
    for _ in range(3):
        command = [sys.executable, "-c", CHILD, str(tmp_path), str(next_one)]
        root = Path(__file__).resolve().parents[3]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(root)})
        assert child.stdout is not None
        for _ in range(dice.randint(10, 40)):
            next_one = int(child.stdout.readline()) + 1
        child.send_signal(signal.SIGKILL)
        rest = child.communicate()[0].split()
        next_one = int(rest[-1]) + 1 if rest else next_one
        there = {one for one in seen(tmp_path)["rows"]}
        assert {trial_id(number) for number in range(next_one)} <= there
        assert len(there) <= next_one + 1
    assert verify(ResultsFolder(str(tmp_path))).problems == []


def test_a_merge_that_fails_ends_the_run_with_its_error(tmp_path: Path, small: None) -> None:
    """And what was stored is whole."""

    class Full(ResultsFolder):
        def write_bytes(self, name: str, data: bytes) -> None:
            if "/segment-" in name:
                raise StorageError(f"{name}: cannot be written: No space left on device")
            super().write_bytes(name, data)

    fill(tmp_path, [])
    stored: list[int] = []
    with pytest.raises(StorageError, match="No space left"):
        store(Full(str(tmp_path)), range(40), said=stored)
    assert len(seen(tmp_path)["rows"]) == len(stored) >= 4


def test_a_driver_that_has_lost_the_folder_deletes_nothing(tmp_path: Path, small: None) -> None:
    def lost() -> None:
        raise StorageError("another driver has taken over")

    fill(tmp_path, [])
    with pytest.raises(StorageError, match="taken over"):
        _drive(Writer(ResultsFolder(str(tmp_path)), lost), range(4))
    assert sorted(path.name for path in (tmp_path / "trials").iterdir()) == sorted(
        f"{trial_id(number)}.parquet" for number in range(4)
    )


def test_a_damaged_segment_is_noticed_without_decoding_it(tmp_path: Path) -> None:
    folder = fill(tmp_path, range(6))
    compact(folder)
    [path] = (tmp_path / "predictions").glob("segment-*")
    data = bytearray(path.read_bytes())
    data[-40] ^= 1  # in the footer, which has no checksum of its own
    path.write_bytes(data)
    stock = take_stock(folder)
    assert list(stock.damaged) == [f"predictions/{path.name}"]
    assert stock.incomplete == sorted(map(trial_id, range(6)))


def sizes(*records: int, closed: tuple[int, ...] = ()) -> list[Written]:
    return [Written(f"{i}", n, CLOSED_BYTES if i in closed else 1) for i, n in enumerate(records)]


def test_the_newest_segments_of_a_size_are_merged() -> None:
    assert [level(n) for n in (2, 16, FRESH, FRESH * FAN - 1, FRESH * FAN, FRESH * FAN**3)] == [-2, -1, 0, 0, 1, 3]
    assert due(sizes(*[64] * 7)) == ()
    assert [one.name for one in due(sizes(512, *[64] * 8))] == [str(i) for i in range(1, 9)]
    assert len(due(sizes(*[512] * 7, 513))) == 8
    assert due(sizes(4096, *[64] * 7)) == ()
    assert due(sizes(64, *[4096] * 7)) == ()
    assert len(due(sizes(*[4096] * 7, 64, 5000))) == 9
    assert due(sizes(*[64] * 4, 64, *[64] * 7, closed=(4,))) == ()
    assert len(due(sizes(*[64] * 4, 64, *[64] * 8, closed=(4,)))) == 8


def test_a_folder_of_a_hundred_thousand_trials_has_few_files_and_each_row_is_written_a_few_times() -> None:
    """By the rule alone."""
    segments: list[Written] = []
    written = most = 0
    for number in range(100_000 // FRESH):
        segments.append(Written(str(number), FRESH, 1))
        while some := due(segments):
            total = sum(one.records for one in some)
            written += total
            segments[len(segments) - len(some) :] = [Written("merged", total, 1)]
        most = max(most, len(segments))
    assert most <= 4 * (FAN - 1)
    assert written <= 4 * 100_000


def test_names_say_what_they_are() -> None:
    assert segment_of("segment-000012-512-0123456789abcdef.pruned.parquet") is not None
    for foreign in ("segment-1-2-3.parquet", f"{trial_id(1)}.parquet", "segment-000012-512-0123456789abcdeg.parquet"):
        assert segment_of(foreign) is None


@pytest.mark.usefixtures("small")
def test_a_damaged_segment_is_passed_over_and_the_others_are_merged(tmp_path: Path) -> None:
    """As a run does it, which sets the damaged one aside after the writer has seen it; few files stay."""
    store(tmp_path, range(4))
    [segment] = (path for path in (tmp_path / "trials").iterdir() if segment_of(path.name))
    segment.write_bytes(segment.read_bytes()[:-1] + b"x")
    folder = ResultsFolder(str(tmp_path))
    stock = folder.read_stock()
    assert stock.damaged
    with Writer(folder) as writer:
        folder.set_aside(stock)
        for number in range(10, 74):
            writer.store([make_record(number)])
    assert len(list((tmp_path / "trials").iterdir())) <= 4  # 16 segments of four, merged by twos
    assert {row["trial_id"] for row in folder.rows()} == {trial_id(number) for number in range(10, 74)}
