"""What killed processes leave behind goes with the next run; what may still be somebody's stays."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from finebench.bench.results import leftovers
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.leftovers import HALF_WRITTEN, clear_results, clear_scratch, gone, scratch
from finebench.bench.results.lock import Owner, process_start, this_process
from finebench.bench.results.verify import verify
from tests.bench.tiny import run_tiny


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for temporary files and a cache of the test's own."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "tmp"


def dead() -> Owner:
    """A process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    owner = replace(this_process(), pid=process.pid, started=process_start(process.pid))
    assert not gone(owner)
    process.communicate()
    assert gone(owner)
    return owner


def make(folder: Path, owner: Owner | None, session: Path | None = None) -> Path:
    made = Path(tempfile.mkdtemp(prefix=leftovers.SCRATCH, dir=folder))
    (made / "experiment").mkdir()
    if owner:
        (made / leftovers.OWNER).write_text(json.dumps(asdict(owner) | {"session": session and str(session)}))
    return made


def age(path: Path, seconds: float) -> None:
    """Make a file or a folder and all in it look old."""
    for one in [*path.rglob("*"), path]:
        os.utime(one, (time.time() - seconds,) * 2)


def test_scratch_of_the_dead_goes_and_that_of_the_living_stays(temp: Path) -> None:
    mine, machine = this_process(), str(this_process().started).split(":")
    beside = replace(mine, started=":".join([machine[0], "12345", machine[2]]))  # another container of this machine
    before = replace(mine, started=":".join(["another-boot", *machine[1:]]))
    elsewhere = replace(mine, host="elsewhere", started=":".join(["another-boot", *machine[1:]]))
    stay = [make(temp, owner) for owner in (mine, beside, elsewhere, replace(mine, started=None), None)]
    go = [make(temp, owner) for owner in (dead(), before, None)]
    age(go[-1], leftovers.OLD_CACHE + 60)
    age(stay[0], 30 * leftovers.OLD_CACHE)  # however long it runs
    (temp / "another-programs").mkdir()
    clear_scratch()
    assert set(temp.iterdir()) == {*stay, temp / "another-programs"}


def test_the_ray_of_a_dead_owner_goes_with_it(temp: Path) -> None:
    """And nothing else that a file may name."""
    owner, mine = dead(), this_process()
    sessions = temp / "ray"
    go, stay = sessions / f"session_2026-01-02_03-04-05_678_{owner.pid}", sessions / f"session_2026-01-02_{mine.pid}"
    for folder in (go, stay, temp / "data", temp / f"session_x_{owner.pid}"):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    made = [make(temp, owner, go), make(temp, owner, temp / "data"), make(temp, owner, temp / f"session_x_{owner.pid}")]
    made.append(make(temp, owner, stay))
    living = make(temp, mine, stay)
    clear_scratch()
    assert set(temp.iterdir()) == {living, sessions, temp / "data", temp / f"session_x_{owner.pid}"}
    assert list(sessions.iterdir()) == [stay]


def test_a_ray_that_says_whose_it_is_goes_once_its_owner_has_ended(temp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its scratch folder went when the run ended well; its logs are there until the next run."""
    monkeypatch.setenv("RAY_TMPDIR", str(temp))
    owners = {"session_ended": dead(), "session_mine": this_process()}
    for name, owner in owners.items():
        (temp / "ray" / name / "logs").mkdir(parents=True)
        (temp / "ray" / name / leftovers.OWNER).write_text(json.dumps(asdict(owner)))
    (temp / "ray" / "session_of_a_cluster").mkdir()
    assert clear_scratch() == 1
    assert sorted(path.name for path in (temp / "ray").iterdir()) == ["session_mine", "session_of_a_cluster"]


def test_a_link_in_place_of_a_scratch_folder_is_left_alone(temp: Path) -> None:
    (temp.parent / "data").mkdir()
    (temp.parent / "data" / leftovers.OWNER).write_text(json.dumps(asdict(dead())))
    (temp / f"{leftovers.SCRATCH}link").symlink_to(temp.parent / "data")
    clear_scratch()
    assert (temp.parent / "data" / leftovers.OWNER).exists()


def test_a_process_number_that_was_given_again_is_another_process(temp: Path) -> None:
    assert gone(replace(this_process(), started=f"{str(this_process().started).rpartition(':')[0]}:1"))


def test_scratch_says_whose_it_is(temp: Path) -> None:
    with scratch() as path:
        clear_scratch()
        assert Owner.parse(json.loads((Path(path) / leftovers.OWNER).read_text())) is not None
    assert list(temp.iterdir()) == []


def test_what_is_half_made_in_the_cache_goes_once_it_is_old(temp: Path) -> None:
    tokens = temp.parent / "cache" / "tokens"
    for name in ("_abcdefgh", "_old12345", "entry"):
        (tokens / name).mkdir(parents=True)
        (tokens / name / "ids.npy").write_bytes(b"1")
    (tokens / "_file1234").write_text("x")
    for name in ("_old12345", "_file1234", "entry"):
        age(tokens / name, leftovers.OLD_CACHE + 60)
    clear_scratch()
    assert sorted(path.name for path in tokens.iterdir()) == ["_abcdefgh", "entry"]


def test_half_written_results_go_where_nobody_can_be_writing_them(tmp_path: Path) -> None:
    folder = ResultsFolder(str(tmp_path))
    names = [
        "trials/_a.parquet",
        "evals/_a.parquet",
        "predictions/_a",
        "search/x/_000001.json",
        "deltas/_a.safetensors",
    ]
    gone_now = [f"{name}.0123abcd" for name in [*names, "_study.yaml", "_plan.json"]]
    fresh = ["__driver.json.0123abcd", "__running.json.0123abcd", "report/_index.html.0123abcd"]
    old = ["__driver.json.0123abce", "report/_x.0123abcd"]
    kept = ["trials/a.parquet", "_damaged/trials/a.parquet", "trials/_notes.txt", "report/index.html", "_driver.json"]
    for name in [*gone_now, *fresh, *old, *kept]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
        assert bool(HALF_WRITTEN.fullmatch(name)) == (name not in kept)
    for name in old:
        age(tmp_path / name, leftovers.OLD + 60)
    clear_results(folder)
    there = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert there == {*fresh, *kept}


def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/_a.parquet.0123abcd").write_bytes(b"x")
    (tmp_path / "r/trials").symlink_to(tmp_path / "outside")
    clear_results(ResultsFolder(str(tmp_path / "r")))
    assert (tmp_path / "outside/_a.parquet.0123abcd").exists()


def test_the_next_run_removes_what_verify_tells_of(tmp_path: Path) -> None:
    run_tiny(tmp_path, methods={"bitfit": {"lr": 1e-3}}, budget={"steps": 1}, training={"evals": 1, "batch_size": 4})
    (tmp_path / "trials/_x.parquet.0123abcd").write_bytes(b"half")
    folder = ResultsFolder(str(tmp_path))
    assert [note.kind for note in verify(folder).notes] == ["unfinished"]
    run_tiny(tmp_path, methods={"bitfit": {"lr": 1e-3}}, budget={"steps": 1}, training={"evals": 1, "batch_size": 4})
    assert verify(folder).notes == []
