"""A lock on a file: one at a time, let go by whoever dies, and none where the disk has none."""

import errno
import fcntl
import subprocess
import sys
from pathlib import Path

import pytest

from finebench.bench.util.file_lock import locked

HOLDER = """
import sys, time
from finebench.bench.util.file_lock import locked
with locked(sys.argv[1]):
    print("held", flush=True)
    time.sleep(600)
"""


def held_elsewhere(path: Path) -> bool:
    with path.open("r+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_it_is_held_by_one_and_let_go_by_one_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert held_elsewhere(path)
        holder.kill()
    with locked(path) as alone:
        assert alone
        assert held_elsewhere(path)
    assert not held_elsewhere(path)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_disk_without_locks_has_none(code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(code, "no locks")

    monkeypatch.setattr(fcntl, "flock", flock)
    (tmp_path / "lock").touch()  # as a run on a disk with locks leaves it
    with locked(tmp_path / "lock") as alone:
        assert not alone


def test_another_failure_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(descriptor: int, how: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(OSError, match="broken"), locked(tmp_path / "lock"):
        pass
    with pytest.raises(IsADirectoryError), locked(tmp_path):
        pass
