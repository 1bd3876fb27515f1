"""Every way in which a trial can die is an outcome in the table, and the rest of the sweep goes on."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import ray

from finebench.bench.driver.ray import losses, session
from finebench.bench.driver.ray import tune_adapter as adapter
from finebench.bench.driver.ray.nodes.fitness import Fitness
from finebench.bench.driver.ray.nodes.roster import Node
from finebench.bench.driver.ray.oom_kills import KernelKills
from finebench.bench.driver.ray.tune_adapter import TuneAdapter
from finebench.bench.driver.ray.worker import PackWorker
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import claim
from finebench.bench.results.writer import Writer
from finebench.bench.scheduling.calibration import Calibration
from finebench.bench.scheduling.gpu_share import Shares
from finebench.bench.scheduling.pack_size import PackSizes
from finebench.bench.scheduling.recorder import Observer, Recorder
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.plan import Plan
from finebench.bench.training.worker.messages import Pack, Shipment
from finebench.bench.training.worker.result_rows import lost_record
from finebench.bench.util.errors import InputError, StorageError
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
    "lost": ("error", 2, "device-side assert triggered"),
    "lost-once": ("ok", 2, None),
    "hang": ("timeout", 1, "hung: no sign of life"),
}


@pytest.fixture(scope="module")
def faults() -> Iterator[None]:
    """The faulty method in this process and in the workers of one small Ray, which claims a GPU that is not there."""
    register()
    hook, root = "tests.faulty.faulty.register", str(Path(__file__).resolve().parents[4])
    ray.init(
        address="local",
        num_cpus=2,
        num_gpus=1,
        include_dashboard=False,
        log_to_driver=False,
        runtime_env={"worker_process_setup_hook": hook, "env_vars": {"PYTHONPATH": root}},
    )
    session._sessions.append(session.RayOptions())  # runs take this Ray for their own
    yield
    session._sessions.clear()
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
    monkeypatch.setattr(adapter, "HANG_GRACE", 0.0)
    (tmp_path / "marks").mkdir()
    watch = Notes()
    outcome = run_tiny(
        tmp_path / "out",
        debug=False,
        observer=lambda scheduler: watch,
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
    assert outcome.statuses == {"ok": 3, "error": 5, "diverged": 1, "oom": 2, "timeout": 1}
    retried = [note for note in watch.notes if "trying again (1 of 1)" in note]
    assert len(retried) == 6  # killed, killed-once, segfault, lost, lost-once, the missing GPU
    for how in ("lost", "lost-once"):  # what has lost its GPU trains nothing more
        first, second = (tmp_path / "marks" / how).read_text().split()
        assert first != second


def make_adapter(tmp_path: Path, retries: int = 0, **changes: Any) -> tuple[TuneAdapter, Notes]:
    """A adapter over a tiny study, without Ray."""
    ready = tiny_prepared(**changes)
    folder, watch = ResultsFolder(str(tmp_path)), Notes()
    folder.create()
    calibration = Calibration(folder)
    shares = Shares(ready.study, 1.0, figures=calibration.figures_of)
    sizes = PackSizes(ready.study, shares, calibration)
    scheduler = Scheduler(Plan(ready.study), ready.known, {}, sizes=sizes)
    recorder = Recorder(Writer(folder), scheduler, watch, "tiny")
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=60.0)
    return TuneAdapter(scheduler, recorder, sizes, shipment, retries), watch


def test_packs_that_no_node_has_room_for_any_more_end_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The only node with a GPU cannot train, and the head, which has CPUs, has none."""
    monkeypatch.setattr("finebench.bench.driver.ray.nodes.fitness.LOOK_EVERY", 0.0)
    adapter, watch = make_adapter(tmp_path, resources={"gpu": 1})
    nodes = [Node("h", "head", "10.0.0.1", 8, 0, head=True), Node("a", "w1", "10.0.0.2", 4, 1)]
    adapter.fitness = Fitness(watch.on_note, lambda: nodes)
    adapter.suggest("one")
    adapter.started("one", None)
    adapter.heard("one", {"unfit": {"node": "a", "why": "its GPU is broken", "lasts": True}})
    adapter.lost("one", None)
    assert cast(dict[str, Any], adapter.suggest("two"))["avoid"] == ["a"]
    adapter.tick()
    with pytest.raises(InputError, match="no node of the cluster can train this study: w1: its GPU is broken"):
        adapter.tick()
    nodes.append(Node("b", "w2", "10.0.0.3", 4, 1))
    adapter.tick()


def test_a_stop_with_nothing_in_flight_ends_the_run_at_once(tmp_path: Path) -> None:
    """Ray Tune would wait ten minutes for a pack, and call nothing of ours meanwhile."""
    adapter, _ = make_adapter(tmp_path, seeds=2)
    adapter.stop.requested = True
    with pytest.raises(KeyboardInterrupt):
        adapter.suggest("one")
    adapter.stop.requested = False
    assert isinstance(adapter.suggest("one"), dict)
    adapter.stop.requested = True
    assert adapter.suggest("two") is None


def test_workers_that_do_not_reach_results_are_not_waited_for(tmp_path: Path) -> None:
    """They never see that they are to stop, and have no checkpoint to go on from."""
    adapter, watch = make_adapter(tmp_path)
    for name, reached in (("one", True), ("two", False)):
        assert isinstance(adapter.suggest(name), dict)
        adapter.started(name, None)
        adapter.heard(name, {"reached": reached})
    adapter.stop.requested = True
    adapter.tick()  # the first is waited for
    adapter.finished("one", {"stopped": True})
    with pytest.raises(KeyboardInterrupt):
        adapter.tick()
    assert watch.notes[1:] == ["1 trials begin anew: their workers do not reach RESULTS, where checkpoints are"]


def test_a_worker_that_does_not_answer_is_waited_for_so_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, watch = make_adapter(tmp_path, methods={"full": {"lr": 1e-3}})
    adapter.suggest("one")
    adapter.started("one", None)
    adapter.stop.requested = True
    adapter.tick()
    monkeypatch.setattr("finebench.bench.driver.ray.ending.STOP_GRACE", -1.0)
    with pytest.raises(KeyboardInterrupt):
        adapter.tick()
    assert "1 trials did not answer; they go on from an older checkpoint, where there is one" in watch.notes


@pytest.mark.parametrize("there", [True, False])
def test_a_worker_says_whether_it_reaches_results(tmp_path: Path, there: bool) -> None:
    ready = tiny_prepared(methods={"full": {"lr": 1e-3}})
    folder = ResultsFolder(str(tmp_path / "results"))
    folder.create()
    with claim(folder, lambda text: None) as held:
        seen = folder.uri if there else str(tmp_path / "a folder of another machine")
        shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=60.0, results=seen, run=held.token)
        worker = PackWorker()
        (trial,) = Plan(ready.study).grid(ready.known)
        config = {"pack": [trial.to_json()], "rungs": False, "rate": None, "measures": None, "ranks": 1}
        worker.setup(config | {"cpus": 1, "gpu": 0, "beat": 0.0}, shipment)
        assert worker.step()["payload"]["reached"] == there


def ended(pack: Pack, over: TuneAdapter, status: str) -> dict[str, Any]:
    """What a worker reports of a pack whose trials all ended so."""
    reason = None if status == "ok" else f"{status} on purpose"
    rows = [lost_record(t, "tiny", over.tasks[t.task.name], status, reason) for t in pack.trials]
    rows = [replace(row, trial=row.trial | {"reason": reason}) for row in rows]
    return {"records": [row.encode() for row in rows], "gpu_memory": 10}


def oom(pack: Pack, over: TuneAdapter) -> dict[str, Any]:
    """What a worker reports of a pack that ran out of memory."""
    return ended(pack, over, "oom")


def test_out_of_memory_on_a_shared_gpu_is_retried_with_more_until_it_has_all_of_one(tmp_path: Path) -> None:
    """It counts only where the trial had a GPU to itself."""
    methods = {"full": {"lr": [1e-3], "resources": {"gpu": 0.25}}}
    over, watch = make_adapter(tmp_path, methods=methods, resources={"gpu": "auto"})
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
    found, reason = losses.why_lost(SimpleNamespace(get_pickled_error=lambda: error, error_file=None))
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
    """Where its count has grown while the worker had its pack; else the same loss is an error."""
    for name, text in {"proc/self/cgroup": groups, "proc/vmstat": "x 1\noom_kill 7\n", counter: "oom_kill 3\n"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    lost = SimpleNamespace(get_pickled_error=lambda: RuntimeError("the actor died unexpectedly"), error_file=None)
    over, _ = make_adapter(tmp_path / "out", methods={"full": {"lr": [1e-3, 2e-3, 3e-3]}})
    over.kernel = KernelKills(tmp_path)
    for life, count in (("a", 3), ("b", 4), ("c", 4)):
        over.suggest(life)
        (tmp_path / counter).write_text(f"low 0\noom_kill {count}\n")
        over.lost(life, lost)
    rows = list(over.recorder.folder.rows())
    assert sorted(row["status"] for row in rows) == ["error", "error", "oom"]
    assert [row["reason"] for row in rows if row["status"] == "oom"] == [
        "worker lost while the kernel's out-of-memory killer ended a process here: the actor died unexpectedly"
    ]


def test_nothing_is_counted_where_the_kernel_counts_nothing(tmp_path: Path) -> None:
    """Not on Linux, or an old one."""
    assert KernelKills(tmp_path).count() == 0


def test_a_worker_lost_with_all_of_ray_costs_no_retry_and_is_no_row(tmp_path: Path) -> None:
    """The run ends then, and the next one trains it."""
    over, watch = make_adapter(tmp_path)
    over.answers = lambda: False
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
    over, watch = make_adapter(tmp_path, retries=1)
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


def test_the_next_pack_waits_for_rows_that_are_being_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing else in flight: the end is not told before the last row is there, nor is there none to tell of."""
    over, _ = make_adapter(tmp_path, methods={"bitfit": {"lr": [5e-3]}})
    store, let, entered = over.recorder.writer.store, threading.Event(), threading.Event()

    def slow(records: Any) -> None:
        entered.set()
        assert let.wait(30)
        store(records)

    monkeypatch.setattr(over.recorder.writer, "store", slow)
    with over.recorder.behind():
        over.suggest("one")
        over.finished("one", ended(over.running["one"].pack, over, "ok"))
        assert entered.wait(30)
        over.tick()
        assert not over.done
        assert over.recorder.statuses == {}
        threading.Timer(0.1, let.set).start()
        assert over.suggest("two") == "FINISHED"
        assert over.done
        assert over.recorder.statuses == {"ok": 1}


def test_what_cannot_be_stored_ends_the_run_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From where Ray Tune asks for the next pack as from where it calls now and then."""
    over, _ = make_adapter(tmp_path, methods={"bitfit": {"lr": [5e-3]}})

    def full(records: Any) -> None:
        raise StorageError("trials/x.parquet: cannot be written: No space left on device")

    def run() -> None:
        with over.recorder.behind():
            over.suggest("one")
            over.finished("one", ended(over.running["one"].pack, over, "ok"))
            over.recorder.drain()
            for call in (over.tick, lambda: over.suggest("two")):
                with pytest.raises(StorageError, match="No space left on device"):
                    call()

    monkeypatch.setattr(over.recorder.writer, "store", full)
    with pytest.raises(StorageError, match="No space left on device"):
        run()
    assert over.recorder.statuses == {}


def packs_of(over: TuneAdapter) -> list[tuple[str, ...]]:
    """Start packs until nothing more can start; ids of their trials."""
    found = []
    while isinstance(over.suggest(f"life-{len(over.running)}-{len(found)}"), dict):
        found.append(tuple(trial.id for trial in list(over.running.values())[-1].pack.trials))
    return found


GRID = {"methods": {"full": {"lr": [1e-3]}}, "resources": {"pack": 8, "gpu": 0}, "seeds": 9}


def test_a_pack_whose_worker_ran_out_of_host_memory_is_halved(tmp_path: Path) -> None:
    """The same pack again would end in the same way; later packs start smaller."""
    over, _ = make_adapter(tmp_path, retries=2, **GRID)
    lost = SimpleNamespace(get_pickled_error=lambda: ray.exceptions.OutOfMemoryError("low on memory"), error_file=None)
    assert [len(pack) for pack in packs_of(over)] == [1, 8]
    over.lost(next(life for life, one in over.running.items() if len(one.pack.trials) == 8), lost)
    assert [len(one.pack.trials) for one in over.running.values()] == [1]
    again = packs_of(over)
    assert [len(pack) for pack in again] == [4, 4]
    assert over.sizes.most(next(iter(over.running.values())).pack.trials[0], 8) == 4


def test_a_pack_that_is_out_of_memory_is_halved_down_to_single_trials(tmp_path: Path) -> None:
    """An out-of-memory counts only of a trial by itself; those that fit have rows that say what was tried."""
    over, watch = make_adapter(tmp_path, **GRID)
    sizes = []
    life = 0
    while isinstance(over.suggest(str(life)), dict):
        pack = over.running[str(life)].pack
        sizes.append(len(pack.trials))
        bad = pack.trials[0].seeds.init == 2
        over.finished(str(life), ended(pack, over, "oom" if bad or len(pack.trials) > 4 else "ok"))
        life += 1
    assert sizes == [1, 8, 4, 4, 2, 2, 1, 1]
    rows = {row["seed"]: row for row in over.recorder.folder.rows()}
    assert {seed for seed, row in rows.items() if row["status"] == "oom"} == {2}
    assert [seed for seed, row in sorted(rows.items()) if row["status"] == "ok"] == [1, 3, 4, 5, 6, 7, 8, 9]
    assert rows[1]["reason"] is None
    assert rows[9]["reason"] == "out of memory in a pack of 8; tried again 4 together"
    assert rows[3]["reason"].endswith("out of memory in a pack of 2; tried again by itself")
    assert rows[2]["reason"].startswith("oom on purpose; out of memory in a pack of 8")
    assert over.suggest("last") == "FINISHED"
    assert any("smaller packs" in note for note in watch.notes)


def test_no_later_pack_is_as_big_as_one_that_ran_out_of_memory(tmp_path: Path) -> None:
    """The next packs of that shape are half as big from the start."""
    over, _ = make_adapter(tmp_path, **(GRID | {"seeds": 30}))
    over.suggest("first")
    over.suggest("big")
    over.finished("big", oom(over.running["big"].pack, over))
    assert {len(ids) for ids in packs_of(over)} == {4, 1}


def test_a_pack_on_a_part_of_a_gpu_gets_more_of_it_before_it_is_halved(tmp_path: Path) -> None:
    """And at the same batch size, which the row tells."""
    resources = {"pack": 2, "gpu": 0.5}
    over, _ = make_adapter(tmp_path, **(GRID | {"seeds": 3, "resources": resources}))
    over.suggest("alone")
    seen = []
    for life in ("a", "b", "c"):
        config = over.suggest(life)
        assert isinstance(config, dict)
        seen.append((len(config["pack"]), config["gpu"]))
        status = "ok" if life == "c" else "oom"
        over.finished(life, ended(over.running[life].pack, over, status))
    assert seen == [(2, 0.5), (2, 1.0), (1, 1.0)]
    (row,) = over.recorder.folder.rows()
    assert row["status"] == "ok"
    assert row["reason"].startswith("out of memory on 0.5 of a GPU; tried again on 1;")
    assert row["batch_size"] == 8


def test_failures_and_lost_workers_of_a_pack_are_not_yet_its_trials_own(tmp_path: Path) -> None:
    """Tried one by one, after the pack's retries; rows that were stored before stay."""
    over, watch = make_adapter(tmp_path, retries=1, **(GRID | {"seeds": 4}))
    over.suggest("alone")
    over.finished("alone", ended(over.running["alone"].pack, over, "ok"))
    over.suggest("pack")
    pack = over.running["pack"].pack
    assert len(pack.trials) == 3
    first = Pack(pack.trials[:1])
    over.heard("pack", {"ended": ended(first, over, "ok")["records"]})
    assert len(list(over.recorder.folder.rows())) == 2
    lost = SimpleNamespace(get_pickled_error=lambda: RuntimeError("node gone"), error_file=None)
    over.lost("pack", lost)
    config = over.suggest("again")
    assert isinstance(config, dict)
    assert len(config["pack"]) == 2
    over.lost("again", lost)
    sizes = [len(ids) for ids in packs_of(over)]
    assert sizes == [1, 1]
    for life in list(over.running):
        over.finished(life, ended(over.running[life].pack, over, "error"))
    assert sorted(row["status"] for row in over.recorder.folder.rows()) == ["error", "error", "ok", "ok"]
    assert any("one by one" in note for note in watch.notes)


def test_a_measurement_that_fails_is_told_and_its_trials_run_by_themselves(tmp_path: Path) -> None:
    """On a GPU (one that is only claimed here): the timings are asked for once, and given up with a note."""
    over, watch = make_adapter(tmp_path, **(GRID | {"resources": {"pack": "auto", "gpu": "auto"}, "seeds": 3}))
    first, second = over.suggest("a"), over.suggest("b")
    assert isinstance(first, dict)
    assert isinstance(second, dict)
    assert (first["measures"], first["gpu"], second["measures"], second["gpu"]) == (None, 1.0, "packs", 1.0)
    assert over.suggest("c") is None  # the others wait for it
    over.finished("b", {"failed": "RuntimeError: no such kernel"})
    assert any("could not be measured: RuntimeError: no such kernel" in note for note in watch.notes)
    assert [len(ids) for ids in packs_of(over)] == [1, 1]


def test_timings_are_stored_and_used_again(tmp_path: Path) -> None:
    """Packs follow from them; a resumed study does not measure again."""
    auto = GRID | {"resources": {"pack": "auto", "gpu": "auto"}, "seeds": 20}
    over, _ = make_adapter(tmp_path, **auto)
    over.suggest("a")
    over.suggest("b")
    over.finished("b", {"figures": [[1, 1.0, 10], [2, 1.0, 15], [4, 1.1, 20], [8, 4.0, 40]], "gpu_memory": 2**35})
    config = over.suggest("c")
    assert isinstance(config, dict)
    assert (len(config["pack"]), config["gpu"]) == (4, 1.0)
    again, _ = make_adapter(tmp_path, **auto)
    again.suggest("a")
    config = again.suggest("b")
    assert isinstance(config, dict)
    assert (config["measures"], len(config["pack"])) == (None, 4)
