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
from bench.kernel import KernelKills
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


@pytest.mark.parametrize(
    ("groups", "counter"),
    [
        ("0::/a/b\n", "sys/fs/cgroup/a/b/memory.events"),
        ("5:cpu:/x\n4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.oom_control"),
        ("", "proc/vmstat"),
    ],
    ids=["cgroup v2", "cgroup v1", "machine"],
)
def test_a_worker_that_the_kernel_killed_for_memory_is_oom(groups: str, counter: str, tmp_path: Path) -> None:
    """Where its count has grown since the last loss; else the same loss is an error."""
    for name, text in {"proc/self/cgroup": groups, "proc/vmstat": "x 1\noom_kill 7\n", counter: "oom_kill 3\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    lost = SimpleNamespace(get_pickled_error=lambda: RuntimeError("the actor died unexpectedly"), error_file=None)
    over, _ = make_bridge(tmp_path / "out", methods={"full": {"lr": [1e-3, 2e-3, 3e-3]}})
    over.kernel = KernelKills(tmp_path)
    for life, count in (("a", 3), ("b", 4), ("c", 4)):
        (tmp_path / counter).write_text(f"low 0\noom_kill {count}\n")
        over.suggest(life)
        over.lost(life, lost)
    rows = list(over.recorder.folder.rows())
    assert sorted(row["status"] for row in rows) == ["error", "error", "oom"]
    assert [counter in row["reason"] for row in rows if row["status"] == "oom"] == [True]


def test_nothing_is_counted_where_the_kernel_counts_nothing(tmp_path: Path) -> None:
    """Not on Linux, or an old one."""
    assert KernelKills(tmp_path).struck() is None


def test_a_worker_lost_with_all_of_ray_costs_no_retry_and_is_no_row(tmp_path: Path) -> None:
    """The run ends then, and the next one trains it."""
    over, watch = make_bridge(tmp_path)
    over.lives = lambda: False
    lost = SimpleNamespace(get_pickled_error=lambda: RuntimeError("node gone"), error_file=None)
    first = over.suggest("a")
    over.lost("a", lost)
    again = over.suggest("b")
    assert isinstance(first, dict)
    assert isinstance(again, dict)
    assert again["pack"] == first["pack"]
    assert list(over.recorder.folder.rows()) == []
    assert watch.notes == []


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
