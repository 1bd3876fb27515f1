"""Storage that fails: a full disk, a read-only folder, a lost permission; one message, and a rerun completes."""

import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT
from finebench.bench.cli.show import status
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.verify import verify
from finebench.bench.util import storage as store_module
from finebench.bench.util.errors import ResultsError, StorageError
from finebench.bench.util.storage import Store, is_path
from tests.bench.small_disk import mounted
from tests.bench.stored import fill, make_record, seen, trial_id

STUDY = """
name: stored
tasks: [mini-cola]
methods: {full: {lr: 1.0e-3}}
fractions: [0.1]
seeds: 4
budget: {steps: 2}
training: {evals: 1, batch_size: 4}
"""


def run(folder: Path, *more: str) -> int:
    """`finebench run` in this process; returns its exit code."""
    (folder / "stored.yaml").write_text(STUDY)
    arguments = ["run", str(folder / "stored.yaml"), "--results", str(folder / "r"), "--debug", *more]
    return guarded(lambda: app(arguments, standalone_mode=False))


def rows(folder: Path) -> dict[str, Any]:
    return {row["trial_id"]: (row["status"], row["score"]) for row in ResultsFolder(str(folder)).rows()}


def one_message(error: str, says: str) -> None:
    """The user sees one line, which says what happened and what to do."""
    lines = [line for line in error.splitlines() if line.strip()]
    assert len(lines) == 1, error
    assert lines[0].startswith("finebench: ")
    assert says in lines[0]
    assert "run the same command again" in lines[0]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The study's rows, undisturbed."""
    path = tmp_path_factory.mktemp("whole")
    assert run(path) == 0
    return rows(path / "r")


class Failing:
    """Fails local writes of table files from the n-th on, as a disk does."""

    def __init__(self, after: int, number: int, half: bool = False) -> None:
        self.after, self.number, self.half = after, number, half

    def __call__(self, final: str, data: bytes) -> None:
        if final.endswith(".parquet"):
            self.after -= 1
        if self.after >= 0:
            self.write(final, data)
            return
        if self.half:  # what a full disk leaves of a write that nobody cleans up
            folder, _, base = final.rpartition("/")
            Path(folder, f"_{base}.0badc0de").write_bytes(data[: len(data) // 2])
        raise OSError(self.number, os.strerror(self.number), final)

    write = staticmethod(store_module._write_local)


@pytest.fixture
def no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the report out, which takes longer than the study."""
    monkeypatch.setattr("finebench.bench.cli.commands._report_again", lambda *arguments: None)


LOST = [(0, errno.ENOSPC), (2, errno.ENOSPC), (7, errno.ENOSPC), (6, errno.EACCES)]


@pytest.mark.parametrize(("after", "number"), LOST)
def test_a_disk_lost_half_way(
    tmp_path: Path, whole: dict[str, Any], after: int, number: int, no_report: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store_module, "_write_local", Failing(after, number, half=True))
        assert run(tmp_path) == EXIT_BAD_INPUT
    one_message(capsys.readouterr().err, os.strerror(number))
    kept = rows(tmp_path / "r")
    assert kept.items() <= whole.items()
    assert len(kept) == after // 3
    assert verify(ResultsFolder(str(tmp_path / "r"))).problems == []
    assert run(tmp_path) == 0
    assert rows(tmp_path / "r") == whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted(tmp_path / "disk", 4) as path:
        yield path


def test_a_really_full_disk(
    small_disk: Path, whole: dict[str, Any], no_report: None, capsys: pytest.CaptureFixture[str]
) -> None:
    ballast = small_disk / "ballast"
    free = shutil.disk_usage(small_disk).free
    ballast.write_bytes(b"x" * (free - 70_000))
    assert run(small_disk) == EXIT_BAD_INPUT
    one_message(capsys.readouterr().err, "No space left on device")
    kept = rows(small_disk / "r")
    assert 0 < len(kept) < 4
    assert kept.items() <= whole.items()
    ballast.unlink()
    assert run(small_disk) == 0
    assert rows(small_disk / "r") == whole


def test_a_really_read_only_folder(
    small_disk: Path, whole: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(small_disk / "r", range(2))
    (small_disk / "stored.yaml").write_text(STUDY)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    for name in ("status", "verify"):  # what only reads goes on reading
        assert guarded(lambda name=name: app([name, str(small_disk / "r")], standalone_mode=False)) in (0, 3)
    capsys.readouterr()
    for name in ("compact", "report"):
        assert guarded(lambda name=name: app([name, str(small_disk / "r")], standalone_mode=False)) == EXIT_BAD_INPUT
        assert "Read-only file system" in capsys.readouterr().err
    arguments = ["run", str(small_disk / "stored.yaml"), "--results", str(small_disk / "new"), "--debug"]
    assert guarded(lambda: app(arguments, standalone_mode=False)) == EXIT_BAD_INPUT
    one_message(capsys.readouterr().err, "Read-only file system")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    monkeypatch.setattr("finebench.bench.cli.commands._report_again", lambda *arguments: None)
    assert guarded(lambda: app(arguments, standalone_mode=False)) == 0
    assert rows(small_disk / "new") == whole


def test_a_folder_without_permission(tmp_path: Path) -> None:
    """As another user: to root nothing is forbidden."""
    folder = fill(tmp_path / "r", range(2))
    for path in [tmp_path, *tmp_path.parents]:
        if path.stat().st_uid != os.getuid() or path == Path("/tmp"):
            break
        path.chmod(0o755)
    if os.getuid() != 0:
        os.chmod(folder.path("trials"), 0o555)
        with pytest.raises(StorageError, match="Permission denied"):
            folder.write(make_record(3))
        os.chmod(folder.path("trials"), 0o755)
        return
    os.seteuid(65534)
    try:
        with pytest.raises(StorageError, match="Permission denied"):
            folder.write(make_record(3))
        os.seteuid(0)
        Path(folder.path(f"trials/{trial_id(1)}.parquet")).chmod(0o000)
        os.seteuid(65534)
        with pytest.raises(StorageError, match="Permission denied"):  # not to be taken for damage
            list(folder.rows({}))
    finally:
        os.seteuid(0)
    assert sorted(path.name for path in Path(folder.root).rglob("_*")) == []


def test_damaged_files_are_set_aside_and_their_trials_run_again(
    tmp_path: Path, whole: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 0
    ids = sorted(whole)
    root = tmp_path / "r"
    for table, one in (("trials", ids[0]), ("evals", ids[1]), ("predictions", ids[2])):
        path = root / table / f"{one}.parquet"
        path.write_bytes(path.read_bytes()[:-9])
    (root / f"predictions/{ids[3]}.parquet").unlink()
    assert len(status(str(root))["damaged"]) == 1
    assert guarded(lambda: app(["status", str(root)], standalone_mode=False)) == 0
    assert f"trials/{ids[0]}.parquet" in capsys.readouterr().out.replace("\n", "")
    assert guarded(lambda: app(["report", str(root)], standalone_mode=False)) == 0
    page = (root / "report/report.md").read_text()
    assert "it is damaged" in page
    assert ids[0] in page
    capsys.readouterr()
    assert run(tmp_path) == 0
    output = capsys.readouterr().out
    for one in ids[:3]:
        assert f"{one}.parquet: cannot be read" in output
    assert "this run: 4 ok" in output
    assert rows(root) == whole
    assert len(list((root / "_damaged").rglob("*.parquet"))) == 3
    assert verify(ResultsFolder(str(root))).problems == []
    assert run(tmp_path) == 0
    assert "nothing to do" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a//b", "", ".", "a\0b", "a\\b", "trials/../../x", "./x"])
def test_no_name_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    store = Store(str(tmp_path / "r"))
    for call in (store.read_bytes, store.delete, lambda name: store.write_bytes(name, b"1")):
        with pytest.raises(ResultsError, match="no name of a file inside"):
            call(name)
    assert list(tmp_path.iterdir()) == []


def test_no_link_leads_out_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    folder = fill(tmp_path / "r", range(2))
    root = Path(folder.root)
    (root / "report").symlink_to(outside)
    (root / "deltas").symlink_to(outside)
    (root / "study.yaml").unlink()
    (root / "study.yaml").symlink_to(outside / "precious")
    for write in (
        lambda: folder.write_bytes("deltas/x", b"1"),
        lambda: folder.move(f"trials/{trial_id(0)}.parquet", "deltas/x"),
        lambda: folder.delete("deltas/precious"),
        lambda: folder.make(["deltas/y"]),
    ):
        with pytest.raises(ResultsError, match="a symbolic link leads out of the folder"):
            write()
    folder.write_bytes("study.yaml", b"name: x\n")  # the link itself is replaced
    assert guarded(lambda: app(["report", str(root)], standalone_mode=False)) == EXIT_BAD_INPUT
    assert "symbolic link" in capsys.readouterr().err
    assert [path.name for path in outside.iterdir()] == ["precious"]
    assert (outside / "precious").read_text() == "mine"
    (tmp_path / "alias").symlink_to(root)  # the folder itself may be reached by a link
    Store(str(tmp_path / "alias")).write_bytes("x", b"1")
    assert (root / "x").read_bytes() == b"1"


def test_a_folder_reached_by_another_thread_while_a_file_is_replaced(tmp_path: Path) -> None:
    """Replacing is one step: a reader sees the old or the new."""
    store = Store(str(tmp_path))
    for number in range(50):
        store.write_bytes("x", str(number).encode() * 1000)
        assert len(store.read_bytes("x") or b"") in (1000, 2000)
    assert seen(fill(tmp_path / "r", range(1)).root)["rows"] == {trial_id(0): ("ok", 0.0)}


@pytest.mark.parametrize("form", ["{}", "file://{}", "mock://{}"])
def test_a_path_is_told_without_opening_it(tmp_path: Path, form: str) -> None:
    """The same as a store that is opened finds out."""
    uri = form.format(tmp_path)
    assert is_path(uri) == Store(uri).local


def test_a_local_uri_has_no_options(tmp_path: Path) -> None:
    """Dropped, they would make one folder of two."""
    with pytest.raises(ResultsError, match="a local folder has no options"):
        Store(f"file://{tmp_path}/r?x=1")
