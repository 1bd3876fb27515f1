"""Results in an object store: the same guarantees as on a disk, on a real S3 server that also fails in every way."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.results import lock
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import compact
from finebench.bench.results.schema import TABLES
from finebench.bench.results.verify import verify
from finebench.bench.results.writer import FRESH, Writer
from finebench.bench.scheduling.recorder import Observer, Recorder
from finebench.bench.study.load import load_study
from finebench.bench.training.worker.messages import Pack
from finebench.bench.util import s3 as client
from finebench.bench.util.errors import ResultsError, StorageError
from finebench.bench.util.storage import Store
from tests.bench.results.test_lock import leave
from tests.bench.results.test_merge import Fragile, Killed
from tests.bench.s3 import BUCKET, CREDENTIALS, Faults, Server, moto_server, proxy
from tests.bench.stored import fill, make_record, seen, take_stock, trial_id
from tests.bench.tiny import CtrlC

NO_PACK = cast(Pack, None)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    before = {name: os.environ.get(name) for name in CREDENTIALS}
    os.environ.update(CREDENTIALS)
    with moto_server() as made:
        yield made
    for name, value in before.items():
        os.environ.pop(name)
        if value is not None:
            os.environ[name] = value


def fill_remote(uri: str, numbers: range, status: str = "ok") -> ResultsFolder:
    folder = ResultsFolder(uri)
    folder.create()
    for number in numbers:
        folder.write(make_record(number, status))
    return folder


def test_what_a_folder_can_do(server: Server) -> None:
    store = Store(server.uri("plain/folder"))
    assert not store.exists()
    assert store.read_bytes("a/b.txt") is None
    store.write_bytes("a/b.txt", b"one")
    assert store.exists()
    assert (store.read_bytes("a/b.txt"), store.files("a"), store.files("", recursive=True)) == (
        b"one", ["b.txt"], ["a/b.txt"],
    )  # fmt: skip
    store.move("a/b.txt", "c/d.txt")
    assert (store.read_bytes("a/b.txt"), store.read_bytes("c/d.txt")) == (None, b"one")
    store.delete("c/d.txt")
    store.delete("c/d.txt")
    assert store.names("c", ".txt") == []
    assert store.shown("c/d.txt") == f"s3://{BUCKET}/plain/folder/c/d.txt"


def test_every_file_is_one_put(server: Server) -> None:
    faults = Faults()
    with proxy(server, faults) as through:
        folder = ResultsFolder(through.uri("puts"))
        folder.write(make_record(1))
        folder.write_bytes("large.bin", b"x" * 3_000_000)
    assert sorted(request.split("?")[0] for request in faults.seen) == sorted(
        f"PUT /{BUCKET}/puts/{name}"
        for name in (*(f"{t}/{trial_id(1)}.parquet" for t in ("trials", "evals", "predictions")), "large.bin")
    )


def test_what_waits_together_is_one_put_a_table_and_the_rows_come_last(server: Server) -> None:
    """Predictions and evaluations first, beside each other; two waits for an answer, however many trials there are."""
    faults = Faults()
    with proxy(server, faults) as through, Writer(ResultsFolder(through.uri("together"))) as writer:
        faults.seen.clear()
        writer.store([make_record(number) for number in range(30)])
        put = [request.split("/")[3] for request in faults.seen]
        assert all(request.startswith("PUT ") for request in faults.seen)
        assert (sorted(put[:2]), put[2:]) == (["evals", "predictions"], ["trials"])


def test_a_trial_costs_few_requests(server: Server) -> None:
    """Merging, checkpoints and kept deltas included: of trials that are stored eight at a time."""
    faults, told, trials = Faults(), list[str](), 256
    with proxy(server, faults) as through:
        folder = ResultsFolder(through.uri("few"))
        for number in range(0, trials, 64):
            folder.write_bytes(f"checkpoints/{trial_id(number)}.safetensors", b"state")
        scheduler: Any = SimpleNamespace(on_done=lambda pack, rows: told.extend(row.trial_id for row in rows))
        faults.seen.clear()
        with Writer(folder) as writer:
            recorder = Recorder(writer, scheduler, Observer(), "stored")
            for number in range(0, trials, 8):
                recorder.store(NO_PACK, [make_record(number + more) for more in range(8)])
        assert len(faults.seen) <= 3 * trials
    uri = server.uri("few")
    assert len(told) == trials
    assert ResultsFolder(uri).files("checkpoints") == []
    assert len(ResultsFolder(uri).done()) == trials
    assert [len(ResultsFolder(uri).names(table, ".parquet")) for table in TABLES] == [trials // FRESH] * 3


def test_no_folder_is_marked_and_a_server_that_refuses_markers_will_do(
    server: Server, tmp_path: Path, on_disk: dict[str, tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finebench.bench.cli.commands._report_again", lambda *arguments: None)
    faults = Faults(markers=False)
    with proxy(server, faults) as through:
        uri = through.uri("unmarked")
        folder = ResultsFolder(uri)
        folder.create()
        folder.make(["deltas"])
        assert faults.seen == []
        folder.write_bytes("checkpoints/x.safetensors", b"state")
        folder.delete("checkpoints/x.safetensors")  # the last of its folder
        folder.delete("checkpoints/x.safetensors")
        folder.write_bytes("a/b.txt", b"one")
        folder.move("a/b.txt", "c/d.txt")
        assert (folder.read_bytes("a/b.txt"), folder.read_bytes("c/d.txt")) == (None, b"one")
        assert run_here(tmp_path, uri) == 0
        assert verify(folder).problems == []
        assert compact(folder).after == 3
    assert science(server.uri("unmarked")) == on_disk


def test_a_file_that_stays_where_it_is_is_not_taken_for_deleted(server: Server) -> None:
    folder = ResultsFolder(server.uri("kept"))
    folder.write_bytes("a/b.txt", b"one")
    faults = Faults(down="403")
    with proxy(server, faults) as through, pytest.raises(StorageError, match="cannot be deleted"):
        ResultsFolder(through.uri("kept")).delete("a/b.txt")
    assert folder.read_bytes("a/b.txt") == b"one"


def test_one_who_is_interrupted_waits_no_longer(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a call that is waiting already has less patience then."""
    monkeypatch.setattr("finebench.bench.util.storage.LONGEST_WAIT", 0.1)
    with proxy(server, Faults(down="503")) as through:
        folder, failed = ResultsFolder(through.uri("hurried")), list[str]()

        def write() -> None:
            try:
                folder.write_bytes("x", b"1")
            except StorageError as error:
                failed.append(str(error))

        writing = threading.Thread(target=write)
        writing.start()
        writing.join(1.0)
        assert writing.is_alive()
        folder.patience = lambda: 0.0
        writing.join(30.0)
        assert len(failed) == 1


def test_the_endpoint_may_stand_in_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    Store(server.uri("environment")).write_bytes("x", b"1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.port}")
    assert Store(f"s3://{BUCKET}/environment").read_bytes("x") == b"1"


@pytest.mark.parametrize(
    ("uri", "says"),
    [
        ("s3://key:secret@bucket/x", "AWS_ACCESS_KEY_ID"),
        ("s3:///x", "names no bucket"),
        ("s3://bucket/x?endpoint=1", "endpoint_override"),
    ],
)
def test_uris_that_are_refused(uri: str, says: str) -> None:
    with pytest.raises(ResultsError, match=says):
        Store(uri)


def test_readers_verify_compact_and_repair_are_the_same_as_on_a_disk(server: Server, tmp_path: Path) -> None:
    local = fill(tmp_path, range(12))
    uri = server.uri("same")
    folder = fill_remote(uri, range(12))
    for name in ("study.yaml", "plan.json"):
        folder.write_bytes(name, local.read_bytes(name) or b"")
    assert seen(uri) == seen(tmp_path)
    compact(folder)
    assert len(folder.files("", recursive=True)) == 3 + 2
    assert seen(uri) == seen(tmp_path)
    assert verify(folder).problems == []
    folder.write_bytes(f"evals/{trial_id(3)}.parquet", b"PAR1")
    assert [one.kind for one in verify(folder).problems] == ["damaged"]
    stock = take_stock(folder)
    assert (list(stock.damaged), stock.incomplete, len(stock.done)) == ([f"evals/{trial_id(3)}.parquet"], [], 12)
    assert folder.files("_damaged", recursive=True) == [f"evals/{trial_id(3)}.parquet"]


def test_dropped_connections_500_and_503_are_waited_out(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finebench.bench.util.storage.FIRST_WAIT", 0.02)
    faults = Faults(share=0.3)
    notes: list[str] = []
    with proxy(server, faults) as through:
        folder = ResultsFolder(through.uri("flaky"))
        folder.notify = notes.append
        folder.create()
        for number in range(5):
            folder.write(make_record(number))
        compact(folder)
        folder.write(make_record(5))
        found = seen(through.uri("flaky"))
    assert faults.failed > 10
    assert notes
    fill(tmp_path, range(6))
    assert found == seen(tmp_path)


@pytest.mark.parametrize(("fault", "limit"), [("503", 5.0), ("500", 5.0), ("drop", 5.0), ("stall", 25.0)])
def test_a_store_that_stays_down_ends_in_one_message_in_time(
    server: Server, fault: str, limit: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINEBENCH_STORAGE_SECONDS", "1.5")
    monkeypatch.setattr(client, "REQUEST_SECONDS", 1.0)
    with proxy(server, Faults(down=fault)) as through:
        folder = ResultsFolder(through.uri("down"))
        begin = time.monotonic()
        with pytest.raises(StorageError, match=r"s3://bench/down/trials/x: cannot be written: ") as caught:
            folder.write_bytes("trials/x", b"1")
        assert "\n" not in str(caught.value)
        assert 1.0 < time.monotonic() - begin < limit
        begin = time.monotonic()
        with pytest.raises(StorageError):  # and is not waited for again
            folder.read_bytes("trials/x")
        assert time.monotonic() - begin < limit - 1
    assert ResultsFolder(server.uri("down")).read_bytes("trials/x") is None


def test_a_refusal_is_not_repeated(server: Server) -> None:
    faults = Faults(down="403")
    with proxy(server, faults) as through:
        begin = time.monotonic()
        with pytest.raises(StorageError, match="cannot be written"):
            Store(through.uri("refused")).write_bytes("x", b"1")
        assert time.monotonic() - begin < 5
        assert len(faults.seen) == 1
    with pytest.raises(StorageError, match="NO_SUCH_BUCKET"):
        Store(server.uri("x").replace(BUCKET, "nowhere")).write_bytes("x", b"1")


def test_the_second_driver_is_refused_and_a_dead_one_replaced(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "SETTLE", 0.1)
    notes: list[str] = []
    folder, other = ResultsFolder(server.uri("locked")), ResultsFolder(server.uri("locked"))
    with lock.claim(folder, notes.append) as held:
        with pytest.raises(ResultsError, match=f"in use by another .*pid {os.getpid()}"):
            lock.claim(other, notes.append).__enter__()
        held.check()
    assert lock.read_owner(folder) is None
    dead = leave(folder)
    assert notes == []
    with lock.claim(folder, notes.append):
        assert f"pid {dead.pid}) is gone" in notes[0]


def test_of_two_drivers_that_start_together_one_goes_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have found the folder free: the later claim stands, and the other driver reads it back."""
    looked, decided = threading.Barrier(2), threading.Barrier(2)
    look, outcomes = lock._refuse_or_take_over, list[str]()

    def look_together(folder: ResultsFolder, note: Any) -> None:
        look(folder, note)
        looked.wait(60)

    def drive() -> None:
        try:
            with lock.claim(ResultsFolder(server.uri("together")), print):
                outcomes.append("went on")
                decided.wait(60)
        except ResultsError as error:
            outcomes.append(str(error))
            decided.wait(60)

    monkeypatch.setattr(lock, "_refuse_or_take_over", look_together)
    drivers = [threading.Thread(target=drive) for _ in range(2)]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert sorted("in use by another" in outcome for outcome in outcomes) == [False, True], outcomes
    assert "went on" in outcomes


def test_a_compaction_killed_between_requests_loses_nothing(server: Server) -> None:
    whole = None
    for operations in range(0, 12, 2):
        uri = server.uri(f"compacted/{operations}")
        compact(fill_remote(uri, range(3), "oom"))
        fill_remote(uri, range(2, 4))
        whole = whole or seen(uri)
        folder = Fragile(uri)
        folder.left = operations
        with contextlib.suppress(Killed):
            compact(folder)
        assert seen(uri) == whole
        compact(ResultsFolder(uri))
        assert seen(uri) == whole
        assert sum(name.endswith(".parquet") for name in folder.files("", recursive=True)) == 3


STUDY = """
name: remote
tasks: [mini-cola]
methods: {full: {lr: 1.0e-3}}
fractions: [0.1]
seeds: 6
budget: {steps: 6}
training: {evals: 2, batch_size: 8}
"""
SCIENCE = ("status", "score", "score_last", "select_score", "steps")


def science(uri: Path | str) -> dict[str, tuple[Any, ...]]:
    return {row["trial_id"]: tuple(row[key] for key in SCIENCE) for row in ResultsFolder(str(uri)).rows()}


def command(folder: Path, results: str, *more: str) -> list[str]:
    (folder / "remote.yaml").write_text(STUDY)
    return [
        sys.executable,
        "-m",
        "finebench",
        "run",
        str(folder / "remote.yaml"),
        "--results",
        results,
        *more,
    ]


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Any, ...]]:
    """The study's rows, run without interruption on a disk."""
    path = tmp_path_factory.mktemp("disk")
    assert run_here(path, str(path / "r")) == 0
    return science(path / "r")


def run_here(folder: Path, results: str, *more: str) -> int:
    """The command in this process, which has torch loaded already."""
    arguments = command(folder, results, *(more or ("--debug",)))[3:]
    return guarded(lambda: app(arguments, standalone_mode=False))


def _killed_runs(server: Server, path: Path, name: str, kills: int, *more: str) -> dict[str, tuple[Any, ...]]:
    """Run into S3, kill the driver once a row more is there, run again; the rows at the end."""
    uri = server.uri(name)
    for kill in range(kills):
        process = subprocess.Popen(command(path, uri, *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 120
        while time.monotonic() < end and process.poll() is None:
            if len(ResultsFolder(uri).names("trials", ".parquet")) > kill:
                break
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        ResultsFolder(uri).done()  # whatever is there is whole
    assert run_here(path, uri) == 0
    assert verify(ResultsFolder(uri)).problems == []
    return science(uri)


def test_a_killed_driver_and_a_second_run(server: Server, tmp_path: Path, on_disk: dict[str, tuple[Any, ...]]) -> None:
    assert _killed_runs(server, tmp_path, "killed", 1, "--debug") == on_disk


def test_a_stopped_trial_goes_on_from_its_checkpoint_in_the_store(
    server: Server, tmp_path: Path, on_disk: dict[str, tuple[Any, ...]]
) -> None:
    """Ctrl-C inside a trial: its state is one object, which the next run finds and removes."""
    command(tmp_path, "")
    study, folder, watch = load_study(str(tmp_path / "remote.yaml")), ResultsFolder(server.uri("stopped")), CtrlC(3)

    def run() -> None:
        options = RunOptions(folder.uri, debug=True)
        run_study(study, options, lambda scheduler: watch, lambda trial, reason, runs: None)

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(folder.files("checkpoints")) == 1
    run()
    assert any("goes on at step" in note for note in watch.notes), watch.notes
    assert folder.files("checkpoints") == []
    assert science(folder.uri) == on_disk


@pytest.mark.slow
def test_a_driver_killed_again_and_again(server: Server, tmp_path: Path, on_disk: dict[str, tuple[Any, ...]]) -> None:
    assert _killed_runs(server, tmp_path, "killed-often", 5) == on_disk


@pytest.mark.slow
def test_a_run_through_a_server_that_drops_and_refuses(
    server: Server, tmp_path: Path, on_disk: dict[str, tuple[Any, ...]]
) -> None:
    faults = Faults(share=0.2)
    with proxy(server, faults) as through:
        done = subprocess.run(
            command(tmp_path, through.uri("rough")), capture_output=True, text=True, timeout=300, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
    assert faults.failed > 10
    assert science(server.uri("rough")) == on_disk


@pytest.mark.parametrize("mode", ["--debug", pytest.param("", marks=pytest.mark.slow)])
def test_a_store_lost_half_way_ends_in_one_message_and_a_rerun_completes(
    server: Server, tmp_path: Path, on_disk: dict[str, tuple[Any, ...]], mode: str
) -> None:
    more = [mode] if mode else []
    faults = Faults()
    name = f"lost{mode}"
    with proxy(server, faults) as through:
        environment = os.environ | {"FINEBENCH_STORAGE_SECONDS": "2"}
        process = subprocess.Popen(
            command(tmp_path, through.uri(name), *more),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while process.poll() is None and not ResultsFolder(server.uri(name)).names("trials", ".parquet"):
            time.sleep(0.02)
        faults.down = "503"
        output, error = process.communicate(timeout=120)
    assert process.returncode == EXIT_BAD_INPUT, output + error
    assert "Traceback" not in output + error
    assert len([line for line in error.splitlines() if line.strip()]) == 1, error
    assert f"s3://{BUCKET}/{name}/" in error
    assert "run the same command again" in error
    assert 0 < len(science(server.uri(name))) < 6
    assert run_here(tmp_path, server.uri(name)) == 0
    assert science(server.uri(name)) == on_disk
