"""Rows are stored beside the run, and nobody is told of one before it is there: killed, interrupted, on a full disk."""

import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from finebench.bench.results.folder import Done, ResultsFolder
from finebench.bench.results.record import Record
from finebench.bench.results.verify import verify
from finebench.bench.results.writer import Writer
from finebench.bench.scheduling.recorder import Observer, Recorder
from finebench.bench.training.worker.messages import Pack
from finebench.bench.util.errors import ResultsError, StorageError
from tests.bench.stored import fill, make_record, seen, trial_id

PACK = cast(Pack, "pack")


class Slow(Writer):
    """Stores nothing before it is let."""

    def __init__(self, folder: ResultsFolder) -> None:
        super().__init__(folder)
        self.let, self.entered, self.calls = threading.Event(), threading.Event(), list[int]()

    def store(self, records: Sequence[Record]) -> None:
        """Wait, then store."""
        self.entered.set()
        assert self.let.wait(30)
        self.calls.append(len(records))
        super().store(records)


class Told(Observer):
    """All that is told, by the scheduler's side and the display's."""

    def __init__(self) -> None:
        self.rows, self.done, self.logged, self.stored = list[str](), list[str](), list[str](), list[str]()

    def on_row(self, row: dict[str, Any]) -> None:
        """The display hears of a row."""
        self.rows.append(row["trial_id"])

    def on_done(self, pack: Pack, rows: list[Done]) -> None:
        """The scheduler does."""
        assert pack == PACK
        self.done += [row.trial_id for row in rows]


@contextmanager
def made(folder: ResultsFolder) -> Iterator[tuple[Recorder, Slow, Told]]:
    told = Told()
    with Slow(folder) as writer:
        recorder = Recorder(writer, cast(Any, told), told, "stored")
        recorder.log = lambda record: told.logged.append(record.trial["trial_id"])
        recorder.stored = lambda rows: told.stored.extend(row.trial_id for row in rows)
        yield recorder, writer, told


def test_nobody_is_told_before_it_is_written(tmp_path: Path) -> None:
    folder = fill(tmp_path, [])
    folder.write_bytes(f"checkpoints/{trial_id(1)}.safetensors", b"state")
    with made(folder) as (recorder, writer, told), recorder.behind():
        recorder.store(PACK, [make_record(1)], 5)
        assert writer.entered.wait(30)
        recorder.store(PACK, [make_record(2, "oom"), make_record(3)])
        recorder.store(PACK, [])
        recorder.store(PACK, [make_record(4)])
        recorder.tell()
        assert recorder.pending
        assert told.rows == told.done == told.logged == told.stored == []
        assert (recorder.statuses, recorder.failures) == ({}, [])
        assert folder.files("checkpoints") != []
        writer.let.set()
        recorder.finish()
        everything = [trial_id(number) for number in (1, 2, 3, 4)]
        assert told.rows == told.done == told.logged == told.stored == everything
        assert not recorder.pending
        assert writer.calls == [1, 3]
        assert recorder.statuses == {"ok": 3, "oom": 1}
        assert [row["status"] for row in recorder.failures] == ["oom"]
        assert folder.files("checkpoints") == []
    assert set(seen(tmp_path)["rows"]) == set(everything)


def test_by_itself_it_stores_where_it_stands(tmp_path: Path) -> None:
    folder = fill(tmp_path, [])
    with made(folder) as (recorder, writer, told):
        writer.let.set()
        recorder.store(PACK, [make_record(1)])
        assert told.done == [trial_id(1)]
        assert not recorder.pending
        recorder.tell()
        recorder.finish()


def test_an_interrupted_run_stores_what_has_ended(tmp_path: Path) -> None:
    folder = fill(tmp_path, [])

    def interrupted(recorder: Recorder, writer: Slow) -> None:
        with recorder.behind():
            recorder.store(PACK, [make_record(1)])
            assert writer.entered.wait(30)
            recorder.store(PACK, [make_record(2)])
            writer.let.set()
            raise KeyboardInterrupt

    with made(folder) as (recorder, writer, told):
        with pytest.raises(KeyboardInterrupt):
            interrupted(recorder, writer)
        assert told.done == [trial_id(1), trial_id(2)]
    assert len(seen(tmp_path)["rows"]) == 2
    assert folder.patience() <= 10.0


class Full(ResultsFolder):
    """A disk that is full from some file on."""

    left = 10**9

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write, or not."""
        self.left -= 1
        if self.left < 0:
            raise StorageError(f"{self.shown(name)}: cannot be written: No space left on device")
        super().write_bytes(name, data)


def run(folder: ResultsFolder, told: list[str], check: Any = None) -> None:
    """Hand four trials over, each once the one before is told."""
    with made(folder) as (recorder, writer, heard), recorder.behind():
        heard.done = told
        recorder.lock = check
        writer.let.set()
        for number in range(4):
            recorder.store(PACK, [make_record(number)])
            recorder.finish()


@pytest.mark.parametrize("left", range(7))
def test_a_full_disk_is_raised_in_its_words_and_what_was_told_is_there(tmp_path: Path, left: int) -> None:
    fill(tmp_path, [])
    folder = Full(str(tmp_path))
    folder.left, told = left, list[str]()
    with pytest.raises(StorageError, match=r"/(predictions|evals|trials)/.*: cannot be written: No space left on"):
        run(folder, told)
    stock = ResultsFolder(str(tmp_path)).read_stock()
    assert sorted(row.trial_id for row in stock.done.values()) == sorted(told)
    assert (len(told), stock.incomplete) == (left // 3, [])
    assert verify(ResultsFolder(str(tmp_path))).problems == []


def test_a_folder_that_another_driver_has_taken_over_is_left_alone(tmp_path: Path) -> None:
    def lost() -> None:
        raise ResultsError("another driver has taken over")

    told: list[str] = []
    with pytest.raises(ResultsError, match="taken over"):
        run(fill(tmp_path, []), told, SimpleNamespace(check=lost))
    assert told == []
    assert list((tmp_path / "trials").iterdir()) == []


def test_a_run_that_gave_its_folder_up_while_it_stored_deletes_nothing(tmp_path: Path) -> None:
    """The trial may be another driver's by then, which goes on from its checkpoint."""
    folder = fill(tmp_path, [])
    (tmp_path / "checkpoints").mkdir(exist_ok=True)
    checkpoint = tmp_path / "checkpoints" / f"{make_record(1).trial['trial_id']}.safetensors"
    checkpoint.write_bytes(b"")
    answers = iter([None, ResultsError("has given the folder up")])

    def check() -> None:
        if (error := next(answers)) is not None:
            raise error

    with made(folder) as (recorder, writer, told):
        writer.let.set()
        recorder.lock = cast(Any, SimpleNamespace(check=check))
        with pytest.raises(ResultsError, match="given the folder up"):
            recorder.store(PACK, [make_record(1)])
        assert checkpoint.exists()
        assert (told.stored, told.done) == ([], [])


def test_what_was_handed_over_is_stored_from_any_thread(tmp_path: Path) -> None:
    """The run ends in a thread where Ray has gone, and nobody is told any more."""
    folder = fill(tmp_path, [])
    with made(folder) as (recorder, writer, told):
        recorder.drain()
        with recorder.behind():
            recorder.store(PACK, [make_record(1)])
            writer.let.set()
            ending = threading.Thread(target=recorder.drain)
            ending.start()
            ending.join(30)
            assert (len(seen(tmp_path)["rows"]), told.done) == (1, [])


CHILD = """
import sys
import finebench.bench.results.writer
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.recorder import Observer, Recorder
from tests.bench.stored import make_record

class Said(Observer):
    def on_row(self, row):
        print(row["seed"] - 1, flush=True)

    def on_done(self, pack, rows):
        pass

finebench.bench.results.writer.FRESH, finebench.bench.results.writer.FAN = 8, 2
with finebench.bench.results.writer.Writer(ResultsFolder(sys.argv[1])) as writer:
    recorder = Recorder(writer, Said(), Said(), "stored")
    with recorder.behind():
        for number in range(int(sys.argv[2]), 10**6):
            recorder.store(None, [make_record(number)])
            recorder.tell()
"""


def test_killed_at_random_moments_what_was_told_is_there_whole(tmp_path: Path) -> None:
    """And no row without its evaluations and predictions, whatever was on its way."""
    fill(tmp_path, [])
    dice, next_one = random.Random(5), 0
    root = Path(__file__).resolve().parents[3]
    for _ in range(3):
        command = [sys.executable, "-c", CHILD, str(tmp_path), str(next_one)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(root)})
        assert child.stdout is not None
        for _ in range(dice.randint(20, 200)):
            next_one = int(child.stdout.readline()) + 1
        child.send_signal(signal.SIGKILL)
        rest = child.communicate()[0].split()
        next_one = int(rest[-1]) + 1 if rest else next_one
        there = seen(tmp_path)
        assert {trial_id(number) for number in range(next_one)} <= there["rows"].keys()
        assert there["rows"].keys() <= there["evals"].keys()
        assert there["rows"].keys() <= there["predictions"].keys()
    assert verify(ResultsFolder(str(tmp_path))).problems == []
