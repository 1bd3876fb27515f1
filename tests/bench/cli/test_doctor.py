"""`finebench doctor`: what is broken is a finding with a way to mend it, never a traceback and never a long wait."""

import os
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import pytest

from finebench.bench import __version__
from finebench.bench.cli import doctor
from finebench.bench.cli.doctor import (
    cache_folder,
    check_cache,
    check_disk,
    check_gpus,
    check_hub,
    check_machine,
    check_python,
    check_ray,
    check_shared_memory,
    check_threads,
    check_torch,
    cleaned_up,
    diagnose,
)
from finebench.bench.util import user_cache

BUILD = {"version": "2.13.0", "cuda": None, "gpus": [], "bf16": False}


def test_this_machine_can_run_studies(tmp_path: Path) -> None:
    found = {check.name: check for check in diagnose(str(tmp_path))}
    assert [name for name, check in found.items() if not check.ok] == []
    assert found["finebench"].detail.startswith(f"{__version__} in ")
    assert found["torch"].detail.startswith("2.")
    assert found["ray"].detail.startswith(f"{version('ray')}, started in ")
    assert str(tmp_path) in found["disk"].detail
    assert {check.state for check in found.values()} <= {"ok", "warn"}
    assert all((check.fix is None) == (check.state == "ok") for check in found.values())


def test_a_ray_that_does_not_start_is_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It imports well."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    check = check_ray(doctor._Question(doctor._RAY).answer(doctor.IMPORT_SECONDS))
    assert not check.ok
    assert (
        check.detail
        == f"cannot be started: Ray cannot be started on this machine: {tmp_path}/file/ray: Not a directory"
    )
    assert "--debug" in str(check.fix)


def test_what_runs_have_left_is_removed_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, folder in (("FINEBENCH_CACHE", "cache"), ("RAY_TMPDIR", "none")):
        monkeypatch.setenv(name, str(tmp_path / folder))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name, days in (("old", 2), ("new", 0)):
        file = tmp_path / "cache" / "tokens" / name / "ids.npy"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 3_000_000)
        for path in (file, file.parent):
            os.utime(path, (time.time() - days * 86400,) * 2)
    check = cleaned_up()
    assert check.state == "ok"
    assert check.detail == "removed: folders of ended runs: 0, cache entries: 1 (3 MB); 3 MB used within a day stay"
    assert [path.name for path in (tmp_path / "cache" / "tokens").iterdir()] == ["new"]


def test_old_python() -> None:
    check = check_python((3, 10, 4))
    assert not check.ok
    assert check.detail == "3.10.4"
    assert "3.11" in str(check.fix)


def test_a_broken_torch_is_a_finding() -> None:
    answer = doctor._Question("import no_such_module").answer(10)
    assert answer.value is None
    check = check_torch(answer.value, answer.problem)
    assert not check.ok
    assert "No module named 'no_such_module'" in check.detail
    assert "pip install" in str(check.fix)


@pytest.mark.parametrize(
    ("code", "says"), [("import os; os.abort()", "exit code"), ("import sys; sys.exit(3)", "exit code 3")]
)
def test_a_crash_is_a_finding(code: str, says: str) -> None:
    assert says in doctor._Question(code).answer(10).problem


def test_what_hangs_is_cut_off() -> None:
    begin = time.monotonic()
    answer = doctor._Question("import time; time.sleep(60)").answer(0.3)
    assert time.monotonic() - begin < 5
    assert answer.problem == "no answer within 0.3 s"


def test_what_a_library_prints_before_the_answer_is_passed_over() -> None:
    assert doctor._Question("print('hello'); print('{\"a\": 1}')").answer(10).value == {"a": 1}


def test_gpus() -> None:
    assert check_gpus(BUILD, None).ok
    assert "none" in check_gpus(BUILD, None).detail
    assert check_gpus(BUILD | {"gpus": [["H200", 141 * 2**30]]}, ["GPU 0"]).detail == "H200 (141 GiB)"
    mismatch = check_gpus(BUILD, ["GPU 0: L4"])
    assert mismatch.state == "warn"
    assert "torch can use none" in mismatch.detail
    assert mismatch.fix is not None


@pytest.mark.parametrize(
    ("usable", "amx", "says"),
    [
        (8, False, "8 cores, "),
        (2, False, "2 of 8 (an affinity, a cpuset or a quota leaves no more) cores, "),
        (0.5, False, "0.5 of 8 ("),
        (8, True, "training.precision: bf16"),
    ],
)
def test_the_machine_is_what_may_be_used_of_it(usable: float, amx: bool, says: str) -> None:
    check = check_machine(usable, 8, amx)
    assert check.ok
    assert says in check.detail
    assert ("AMX" in check.detail) is amx


def test_a_hub_out_of_reach_is_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    check = check_hub("https://hub.example", None, "no answer within 3 s")
    assert check.state == "warn"
    assert "no answer within 3 s" in check.detail
    assert "--data" in str(check.fix)
    assert check_hub("https://hub.example", {"code": 401}).detail == "https://hub.example answers"
    assert "status 503" in check_hub("https://hub.example", {"code": 503}).detail
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "not used" in check_hub("https://hub.example", None).detail


def test_an_unreachable_hub_costs_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    answer = doctor._Question(doctor._HUB, doctor.hub_address(), "3").answer(10)
    assert answer.value is None
    assert "refused" in answer.problem


def test_the_cache_is_where_the_libraries_put_it(tmp_path: Path) -> None:
    environ = {"HF_HOME": str(tmp_path / "not" / "yet")}
    assert cache_folder({"HF_HOME": "/x"}) == Path("/x")
    assert cache_folder({"XDG_CACHE_HOME": "/y"}) == Path("/y/huggingface")
    assert cache_folder({}) == Path.home() / ".cache" / "huggingface"
    assert check_cache(environ).state == "ok"
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize("name", ["HF_HOME", "FINEBENCH_CACHE"])
def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path))
    monkeypatch.setenv(name, str(file / "inside"))
    check = check_cache(os.environ)
    assert check.state == "warn"
    assert check.fix == f"make {file} writable, or set {name} to another folder"


@pytest.mark.parametrize(
    ("name", "value"), [("FINEBENCH_CACHE", "~nosuch/x"), ("HF_HOME", "~nosuch/x"), ("FINEBENCH_CACHE_GB", "abc")]
)
def test_a_cache_that_cannot_be_told_is_a_finding(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    check = check_cache(os.environ)
    assert check.state == "fail"
    assert value in check.detail
    assert name in str(check.fix)
    if name != "HF_HOME":
        monkeypatch.setattr(doctor, "clear_scratch", lambda: user_cache.trim() and 0)  # and nothing of this machine's
        assert cleaned_up().state == "fail"


def test_results_on_a_disk_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link to a larger disk is what decides, and an object store is none."""
    (tmp_path / "large").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "large")
    monkeypatch.chdir(tmp_path)
    assert check_disk("results").detail.endswith("in " + str(tmp_path / "results"))
    assert check_disk("results/study").detail.endswith("in " + str(tmp_path / "results"))
    assert check_disk("s3://bucket/folder").state == "ok"
    assert check_disk(f"file://{tmp_path}/results").detail.endswith("in " + str(tmp_path / "results"))
    (tmp_path / "file").touch()
    assert check_disk("file/study").state == "fail"


def test_disk_and_shared_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "GB free" in check_disk(str(tmp_path)).detail
    assert check_shared_memory(tmp_path / "none").ok
    monkeypatch.setattr(doctor, "MIN_DISK_GB", 1e9)
    monkeypatch.setattr(doctor, "MIN_SHM_GB", 1e9)
    assert check_disk(str(tmp_path)).state == "warn"
    assert check_shared_memory(tmp_path).state == "warn"
    assert "--shm-size" in str(check_shared_memory(tmp_path).fix)


def test_thread_counts_in_the_environment() -> None:
    assert check_threads({}, 2).ok
    assert check_threads({"OMP_NUM_THREADS": "2"}, 2).ok
    for wrong in ("64", "0", "many"):
        check = check_threads({"OMP_NUM_THREADS": wrong, "MKL_NUM_THREADS": "1"}, 2)
        assert check.state == "warn"
        assert check.fix == "unset OMP_NUM_THREADS, or set it to a number from 1 to 2"
