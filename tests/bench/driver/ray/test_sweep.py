"""The sweep on a real Ray: the same numbers as in process, nothing vanishes, extensions run, clusters work."""

import contextlib
import gc
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
import ray
from ray import tune
from ray.cluster_utils import Cluster
from ray.tune.experiment import Trial

from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.ray import session as cluster
from finebench.bench.driver.ray import sweep
from finebench.bench.driver.ray.standby import MOST, Most
from finebench.bench.driver.run import run_study
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.training.worker.messages import Pack
from finebench.bench.util.errors import InputError, StudyError
from finebench.bench.util.signals import Stop
from tests.bench.tiny import predictions, run_tiny, science, tiny_study


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """One small Ray for this file's tests."""
    with cluster.ray_session(cluster.RayOptions(), cpus=2):
        yield


@pytest.mark.usefixtures("local_ray")
def test_ray_and_in_process_runs_are_bit_identical(tmp_path: Path) -> None:
    """Reused workers and one process give the same rows and predictions."""
    changes: dict[str, Any] = {"tasks": ["mini-cola", "mini-stsb"], "seeds": 2}
    run_tiny(tmp_path / "here", **changes)
    outcome = run_tiny(tmp_path / "ray", debug=False, **changes)
    assert outcome.statuses == {"ok": 8}
    assert science(tmp_path / "here") == science(tmp_path / "ray")
    assert predictions(tmp_path / "here") == predictions(tmp_path / "ray")


@pytest.mark.usefixtures("local_ray")
def test_ray_listens_on_localhost_only() -> None:
    """Every port that a process of this Ray has open: whoever reaches one can run code."""
    listening = set()
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            sockets = process.net_connections("inet")
            listening |= {(one.laddr.ip, process.name()) for one in sockets if one.status == psutil.CONN_LISTEN}
    assert {name for _, name in listening} >= {"gcs_server", "raylet"}
    assert {ip for ip, _ in listening} <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, listening


def test_ray_tune_is_imported_once() -> None:
    """What an import ends with keeps everything that is there for good: later sessions of a process must not."""
    frozen = gc.get_freeze_count()
    cluster.import_tune()
    assert gc.get_freeze_count() == frozen


@pytest.mark.usefixtures("local_ray")
def test_extending_a_study_runs_only_what_is_new(tmp_path: Path) -> None:
    """Trap: Tuner.restore ignores the new points of a bigger grid."""
    run_tiny(tmp_path, debug=False)
    outcome = run_tiny(tmp_path, debug=False, methods={"full": {"lr": [1e-3, 1e-4]}, "bitfit": {"lr": [5e-3]}})
    assert outcome.skipped == 2
    assert outcome.statuses == {"ok": 1}
    assert len(science(tmp_path)) == 3


@pytest.mark.usefixtures("local_ray")
@pytest.mark.slow
def test_a_cluster_that_grows_has_more_packs_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a run leave Ray's variable behind for the next one."""
    cpus, told = iter(range(3, 1000)), []

    class Tuner(tune.Tuner):  # type: ignore[misc]
        """Ray's, which tells what it was given."""

        def __init__(self, *given: Any, tune_config: Any, **more: Any) -> None:
            super().__init__(*given, tune_config=tune_config, **more)
            told.append((tune_config.scheduler, os.environ[MOST]))

    monkeypatch.setenv(MOST, "auto")
    monkeypatch.setattr(sweep, "GROW_EVERY", 0.0)
    monkeypatch.setattr(sweep, "cpus_available", lambda: float(next(cpus)))
    monkeypatch.setattr(tune, "Tuner", Tuner)
    assert run_tiny(tmp_path, debug=False).statuses == {"ok": 2}
    [(scheduler, at_first)] = told
    assert (at_first, os.environ[MOST]) == ("3", "auto")
    assert scheduler.most.number > 3


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize("what", ["cpu", "gpu"])
def test_what_this_machine_has_not_is_refused_and_not_waited_for(tmp_path: Path, what: str) -> None:
    """Ray alone would wait for ever, and say nothing."""
    methods = {"full": {"lr": [1e-3]}, "head": {"lr": [1e-3], "resources": {what: 3}}}
    with pytest.raises(
        StudyError,
        match=rf"methods\.head\.resources\.{what}: 3 asked for( \(3 ranks with 1 each\))?, and this machine has [02]",
    ):
        run_tiny(tmp_path, debug=False, methods=methods)
    assert science(tmp_path) == {}


def test_a_ray_that_does_not_start_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray raises a bare Exception where its services are slow to come up."""

    def init(**_: Any) -> None:
        raise Exception("The current node timed out during startup.")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", init)
    says = r"Ray cannot be started on this machine: The current node timed out.*--debug"
    with pytest.raises(InputError, match=says), cluster.ray_session(cluster.RayOptions()):
        pass


def test_a_ray_that_is_somebody_elses_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script has connected this process: neither its cluster nor another address is what a run was asked to use."""
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(cluster, "_sessions", [])
    for options in (cluster.RayOptions(), cluster.RayOptions("10.255.255.1:6379")):
        with (
            pytest.raises(InputError, match=r"connected to a Ray already.*ray\.shutdown\(\)"),
            cluster.ray_session(options),
        ):
            pass


class Killer(Observer):
    """Kills the next worker process that begins a pack, `times` times."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.before = {process.pid for process in workers()}

    def on_start(self, pack: Pack) -> None:
        """Kill from a thread, so that the driver goes on."""
        threading.Thread(target=self._kill, daemon=True).start()

    def _kill(self) -> None:
        deadline = time.monotonic() + 120
        while self.times > 0 and time.monotonic() < deadline:
            for process in workers():
                if process.pid not in self.before and self.times > 0:
                    self.before.add(process.pid)
                    self.times -= 1
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.05)


def workers() -> list[psutil.Process]:
    """This session's processes that train now (Ray names a process after what its actor does)."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if " ".join(process.cmdline()).startswith("ray::ResourceTrainable"):
                found.append(process)
    return found


@pytest.mark.usefixtures("local_ray")
def test_a_lost_worker_is_retried(tmp_path: Path) -> None:
    """One kill costs a retry, not a trial."""
    killer = Killer(1)
    outcome = run_tiny(
        tmp_path, debug=False, observer=lambda c: killer, methods={"full": {"lr": [1e-3]}}, budget={"steps": 60}
    )
    assert killer.times == 0
    assert outcome.statuses == {"ok": 1}


@pytest.mark.usefixtures("local_ray")
def test_a_trial_that_dies_before_its_first_report_is_a_row(tmp_path: Path) -> None:
    """Trap: in Ray such a trial vanishes from the results."""
    killer = Killer(1)
    outcome = run_tiny(
        tmp_path,
        debug=False,
        observer=lambda c: killer,
        retries=0,
        methods={"full": {"lr": [1e-3]}},
        budget={"steps": 400},
    )
    assert killer.times == 0
    assert outcome.statuses == {"error": 1}
    row = next(iter(science(tmp_path).values()))
    assert row["score"] is None
    assert row["reason"]


@pytest.mark.slow
def test_a_lost_node_costs_a_retry_and_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two nodes is taken away while both train; what it trained goes on elsewhere, from its last checkpoint."""
    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.setenv("FINEBENCH_CHECKPOINT_SECONDS", "0")
    changes: dict[str, Any] = {"methods": {"full": {"lr": [1e-3]}}, "seeds": 3, "budget": {"steps": 300}}
    run_tiny(tmp_path / "whole", **changes)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
        cluster.wait_for_nodes()
        notes: list[str] = []

        class Watch(Observer):
            gone = False

            def tick(self) -> None:
                if not self.gone and len(list((tmp_path / "out/checkpoints").glob("[0-9a-f]*"))) == 2:
                    self.gone = True
                    cluster.remove_node(nodes[1], allow_graceful=False)

            def on_note(self, text: str) -> None:
                notes.append(text)

        options = RunOptions(str(tmp_path / "out"), address=cluster.address)
        study = tiny_study(**changes)
        outcome = run_study(study, options, lambda scheduler: Watch(), lambda trial, reason, runs: None)
        assert outcome.statuses == {"ok": 3}
        assert sum("is gone; it runs again elsewhere" in note for note in notes) == 1, notes
        assert any("goes on at step" in note for note in notes), notes
        assert science(tmp_path / "out") == science(tmp_path / "whole")
    finally:
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
def test_three_nodes_with_logical_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an address: rows reach the folder through the driver, from every node; GPUs are what the workers hold."""
    if ray.is_initialized():
        ray.shutdown()
    monkeypatch.setenv("FINEBENCH_LOGICAL_GPUS", "1")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "num_gpus": 0, "include_dashboard": False})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1, num_gpus=1)
        cluster.wait_for_nodes()
        started: list[Pack] = []

        class Watch(Observer):
            def on_start(self, pack: Pack) -> None:
                started.append(pack)

        def observe(scheduler: Scheduler) -> Observer:
            return Watch()

        study = tiny_study(
            seeds=2, methods={"full": {"lr": [1e-3]}, "bitfit": {"lr": [5e-3], "resources": {"gpu": 0.5}}}
        )
        options = RunOptions(str(tmp_path / "out"), address=cluster.address)
        outcome = run_study(study, options, observe, lambda trial, reason, runs: None)
        assert outcome.statuses == {"ok": 4}
        rows = list(ResultsFolder(str(tmp_path / "out")).rows())
        assert {row["exclusive"] for row in rows if row["method"] == "bitfit"} == {False}
        assert {row["precision"] for row in rows} == {"fp32"}
    finally:
        ray.shutdown()
        cluster.shutdown()


class Usr1(Observer):
    """Sends this process the signal by which Ray Tune ends, once."""

    sent = False

    def on_start(self, pack: Pack) -> None:
        """A pack has its worker."""
        if not self.sent:
            self.sent = True
            os.kill(os.getpid(), signal.SIGUSR1)


@pytest.mark.usefixtures("local_ray")
def test_a_signal_that_ends_ray_tune_does_not_end_the_study_as_if_it_were_done(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_tiny(tmp_path, debug=False, seeds=4, observer=lambda scheduler: Usr1())
    assert len(science(tmp_path)) < 8
    run_tiny(tmp_path, debug=False, seeds=4)
    assert len(science(tmp_path)) == 8


class Asked:
    """A trial of Ray Tune as its scheduler sees it; counts how often it is looked at."""

    trial_id = "a"

    def __init__(self) -> None:
        self.is_now, self.looked = Trial.PENDING, 0

    @property
    def status(self) -> str:
        """As Trial's own."""
        self.looked += 1
        return str(self.is_now)


def test_the_oldest_waiting_pack_is_next_and_ended_ones_are_not_looked_at_again() -> None:
    """Ray's own scheduler looks through all trials there ever were, so that ten thousand cost their square."""
    scheduler, packs = (
        sweep._Scheduler(cast(Any, SimpleNamespace(running={}, stop=Stop())), Most(2, lambda: 2.0)),
        [Asked() for _ in range(4)],
    )
    assert scheduler.choose_trial_to_run(None) is None
    for pack in packs:
        scheduler.on_trial_add(None, pack)
    assert scheduler.choose_trial_to_run(None) is packs[0]
    packs[0].is_now, packs[1].is_now, packs[2].is_now = Trial.TERMINATED, Trial.RUNNING, Trial.ERROR
    assert scheduler.choose_trial_to_run(None) is packs[3]
    packs[3].is_now = Trial.RUNNING
    assert scheduler.choose_trial_to_run(None) is None
    assert [pack.looked for pack in packs] == [2, 2, 2, 3]


def test_nothing_begins_once_the_run_is_told_to_stop() -> None:
    """Packs that waited took the workers of those that had just written their checkpoints, one after another."""
    stop = Stop()
    scheduler = sweep._Scheduler(cast(Any, SimpleNamespace(running={}, stop=stop)), Most(2, lambda: 2.0))
    pack = Asked()
    scheduler.on_trial_add(None, pack)
    assert scheduler.choose_trial_to_run(None) is pack
    stop.requested = True
    taken: list[Asked] = []
    assert scheduler.choose_trial_to_run(SimpleNamespace(stop_trial=taken.append)) is None
    assert taken == [pack]
