"""Every way in which a trial can die is an outcome in the table, and the rest of the sweep goes on."""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from bench import bridge
from bench.bridge import Bridge, why_lost
from bench.conductor import Conductor, Pack
from bench.plan import Plan
from bench.recorder import Observer, Recorder
from bench.results import ResultsFolder
from bench.shares import Shares
from bench.shipment import Shipment
from tests.bench.tiny import run_tiny, tiny_prepared
from tests.faulty.faulty import forget, register

OUTCOMES = {  # how: (status, attempts with one retry, what the reason says)
    "raise": ("error", 1, "ValueError: broken on purpose (faulty.py:"),
    "nan": ("diverged", 1, "not finite at step 1"),
    "device-memory": ("oom", 1, "CUDA out of memory"),
    "host-memory": ("oom", 1, "MemoryError"),
    "killed": ("error", 2, "worker lost"),
    "killed-once": ("ok", 2, None),
    "segfault": ("error", 2, "worker lost"),
    "hang": ("timeout", 1, "hung: no sign of life"),
}


@pytest.fixture(scope="module")
def faults() -> Iterator[None]:
    """The faulty method in this process and in the workers of one small Ray, which claims a GPU that is not there."""
    register()
    hook = "tests.faulty.faulty.register"
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": hook},
    )
    yield
    ray.shutdown()
    forget()


class Notes(Observer):
    """Keeps what the user would have been told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


@pytest.mark.usefixtures("faults")
def test_every_fault_is_an_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them in one study, beside trials that are well, with one retry for what was lost."""
    monkeypatch.setattr(bridge, "HANG_GRACE", 0.0)
    (tmp_path / "marks").mkdir()
    watch = Notes()
    outcome = run_tiny(
        tmp_path / "out",
        debug=False,
        observer=lambda conductor: watch,
        methods={
            "faulty": {"lr": [1e-3], "how": list(OUTCOMES), "marks": str(tmp_path / "marks")},
            "head": {"lr": [1e-3], "resources": {"gpu": 1}},
            "bitfit": {"lr": [1e-3]},
        },
        resources={"cpu": 1, "gpu": 0},
        trial_timeout="25s",
        retries=1,
    )
    rows = list(ResultsFolder(str(tmp_path / "out")).rows())
    assert len(rows) == len(OUTCOMES) + 2
    for row in rows:
        if row["method"] == "faulty":
            how = json.loads(row["hyperparameters"])["how"]
            status, attempts, said = OUTCOMES[how]
            assert (how, row["status"]) == (how, status), row["reason"]
            assert said is None or said in row["reason"]
            assert (how, len((tmp_path / "marks" / how).read_text().splitlines())) == (how, attempts)
            assert (row["score"] is None) == (status != "ok")
    by_method = {row["method"]: row for row in rows}
    assert by_method["bitfit"]["status"] == "ok"
    assert by_method["head"]["status"] == "error"
    assert "a GPU was assigned to this worker, but torch sees none" in by_method["head"]["reason"]
    assert outcome.statuses == {"ok": 2, "error": 4, "diverged": 1, "oom": 2, "timeout": 1}
    retried = [note for note in watch.notes if "trying again (1 of 1)" in note]
    assert len(retried) == 4  # killed, killed-once, segfault, the missing GPU


def make_bridge(tmp_path: Path, retries: int = 0, **changes: Any) -> tuple[Bridge, Notes]:
    """A bridge over a tiny study, without Ray."""
    ready = tiny_prepared(**changes)
    folder, watch = ResultsFolder(str(tmp_path)), Notes()
    folder.create()
    conductor = Conductor(Plan(ready.study), ready.known, {})
    recorder = Recorder(folder, conductor, watch, "tiny")
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=60.0)
    return Bridge(conductor, recorder, Shares(ready.study, 1.0), shipment, lambda pack: None, retries), watch


def oom(pack: Pack, over: Bridge) -> dict[str, Any]:
    """What a worker reports of a pack that ran out of memory."""
    from bench.outcome import lost_record

    rows = [lost_record(t, "tiny", over.tasks[t.task.name], "oom", "out of memory") for t in pack.trials]
    return {"records": [row.encode() for row in rows], "gpu_memory": 10}


def test_out_of_memory_on_a_shared_gpu_is_retried_with_more_until_it_has_all_of_one(tmp_path: Path) -> None:
    """It counts only where the trial had a GPU to itself."""
    methods = {"full": {"lr": [1e-3], "resources": {"gpu": 0.25}}}
    over, watch = make_bridge(tmp_path, methods=methods, resources={"gpu": "auto"})
    shares = []
    for life in ("a", "b", "c"):
        config = over.suggest(life)
        assert isinstance(config, dict)
        shares.append(config["gpu"])
        over.finished(life, oom(over.running[life].pack, over))
    assert shares == [0.25, 0.5, 1.0]
    assert len(watch.notes) == 2
    assert [row["status"] for row in over.recorder.folder.rows()] == ["oom"]
    assert over.suggest("d") == "FINISHED"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ray.exceptions.OutOfMemoryError("Task was killed due to the node running low on memory."), "oom"),
        (RuntimeError("The actor died: 1 worker(s) were killed due to the node running low on memory"), "oom"),
        (RuntimeError("The actor died unexpectedly before finishing this task."), "error"),
        (None, "error"),
    ],
)
def test_a_worker_that_the_memory_monitor_killed_is_oom(error: Exception | None, status: str) -> None:
    """Where Ray says so; the kernel's own killer says nothing."""
    found, reason = why_lost(SimpleNamespace(get_pickled_error=lambda: error, error_file=None))
    assert found == status
    assert reason.startswith("worker lost: ")


def test_retries_are_counted_for_each_pack(tmp_path: Path) -> None:
    """Two losses of one pack and one of the other, with one retry: one row."""
    over, watch = make_bridge(tmp_path, retries=1)
    lost = SimpleNamespace(get_pickled_error=lambda: RuntimeError("node gone"), error_file=None)
    first, second = over.suggest("a"), over.suggest("b")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    over.lost("a", lost)
    over.lost("b", lost)
    again = over.suggest("c")
    assert isinstance(again, dict)
    assert again["pack"] == first["pack"]
    over.lost("c", lost)
    assert [row["status"] for row in over.recorder.folder.rows()] == ["error"]
    assert len(watch.notes) == 2
    assert over.suggest("d") is not None
    assert over.suggest("e") is None  # the other one is still running
