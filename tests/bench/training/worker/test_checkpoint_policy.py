"""A worker whose RESULTS cannot be reached trains on without waiting, and says so."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import Owner
from finebench.bench.training.worker import checkpoint_policy
from finebench.bench.training.worker.checkpoint_policy import TrialKeeper, Watch
from finebench.bench.training.worker.messages import Shipment
from finebench.bench.util.errors import StorageError
from finebench.bench.util.machine import hostname

OWNER = Owner("head", 1, None, "token")


def watch(folder: Path, monkeypatch: pytest.MonkeyPatch, ask: Any) -> Watch:
    """A watch over a folder that passes for an object store, and answers as told."""
    made = Watch(Shipment("tiny", "", {}, 60.0, results=str(folder), run="token"))
    assert isinstance(made.folder, ResultsFolder)
    made.folder.local = False
    monkeypatch.setattr(checkpoint_policy, "read_owner", ask)
    return made


def test_a_store_that_does_not_answer_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would for two minutes, at the start of each pack and then at each look."""
    answer = threading.Event()

    def hang(folder: ResultsFolder) -> None:
        answer.wait(60)
        raise StorageError("s3://there/_driver.json: cannot be read: no route")

    monkeypatch.setattr(checkpoint_policy, "FIRST_LOOK", 0.1)
    one = watch(tmp_path, monkeypatch, hang)
    begin = time.monotonic()
    one.begin()
    for _ in range(100):
        assert not one.stopping
    assert time.monotonic() - begin < 30
    assert not one.mine
    answer.set()
    assert one._looking is not None
    one._looking.join(30)
    first, note = one.notes
    assert first.endswith("trials that left a checkpoint begin anew")
    assert note.startswith(f"node {hostname()} cannot reach RESULTS, so its trials write no checkpoints")
    assert note.endswith("cannot be read: no route")


def test_a_checkpoint_that_cannot_be_written_is_not_tried_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trouble(name: str, data: bytes) -> None:
        raise StorageError("s3://there: cannot be written: no route")

    notes: list[str] = []
    one = watch(tmp_path, monkeypatch, lambda folder: OWNER)
    assert one.folder is not None
    assert one.folder.patience() <= 5.0
    monkeypatch.setattr(one.folder, "write_bytes", trouble)
    one.every = 0.0
    one.begin()
    keeper = TrialKeeper(one, "id", lambda: b"state", lambda: threading.Lock(), notes.append)  # type: ignore[arg-type]
    assert keeper.due()
    keeper.save()
    assert not keeper.due()
    assert [note.partition(":")[0] for note in notes] == ["id"]
    assert len(one.notes) == 1


def test_a_store_in_trouble_is_not_waited_for_by_the_next_pack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[ResultsFolder] = []

    def trouble(folder: ResultsFolder) -> None:
        asked.append(folder)
        raise StorageError("s3://there/_driver.json: cannot be read: no route")

    one = watch(tmp_path, monkeypatch, trouble)
    for _ in range(3):
        one.begin()
        assert not one.mine
    assert len(asked) == 1
    assert len(one.notes) == 1


def test_a_full_disk_hides_no_stop_and_the_last_checkpoint_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that failed says nothing of the driver's word, and room may have been made."""
    said = Owner("head", 1, None, "token")
    one = Watch(Shipment("tiny", "", {}, 0.0, results=str(tmp_path), run="token"))
    assert one.folder is not None
    assert one.folder.local
    monkeypatch.setattr(checkpoint_policy, "read_owner", lambda folder: said)
    monkeypatch.setattr(checkpoint_policy, "LOOK", 0.0)
    written: list[str] = []

    def full(name: str, data: bytes) -> None:
        written.append(name)
        if len(written) == 1:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(one.folder, "write_bytes", full)
    notes: list[str] = []
    one.begin()
    keeper = TrialKeeper(one, "id", lambda: b"state", lambda: threading.Lock(), notes.append)  # type: ignore[arg-type]
    keeper.save()
    assert not keeper.due()
    said = Owner("head", 1, None, "token", stopping=True)
    assert keeper.due()
    with pytest.raises(checkpoint_policy.Stopped):
        keeper.save()
    assert len(written) == 2
    assert not one.notes
    assert len(notes) == 1
