"""Ray does without each workaround: where its release has no place for it, and where it is switched off."""

import contextlib
import importlib
import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import psutil
import pytest
import ray
from ray import tune
from ray._private import services
from ray._private.node import Node
from ray.air.execution._internal import RayActorManager
from ray.tune.execution import tune_controller

from finebench.bench.driver.ray import local_ray, session, sweep, workarounds
from finebench.bench.driver.ray.nodes.insides import part
from finebench.bench.scheduling.recorder import Observer, Recorder
from finebench.bench.util.errors import InputError
from tests.bench.tiny import predictions, run_tiny, science

SERVICES = ["autoscaler/_private/monitor.py", "log_monitor.py"]


def commands() -> list[str]:
    """The command lines of all that this process has started."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):  # or a zombie, which an earlier test left
            found.append(" ".join(process.cmdline()))
    return found


def test_without_any_of_them_a_sweep_comes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes: dict[str, Any] = {"tasks": ["mini-cola", "mini-stsb"], "seeds": 2}
    run_tiny(tmp_path / "here", **changes)
    monkeypatch.setenv(workarounds.SWITCH, "1")
    monkeypatch.setattr(workarounds, "_patient", lambda keeper: pytest.fail("it is off"))
    with session.ray_session(session.RayOptions(), cpus=2):
        assert all(any(script in command for command in commands()) for script in SERVICES)
        outcome = run_tiny(tmp_path / "plain", debug=False, **changes)
    assert outcome.statuses == {"ok": 8}
    assert science(tmp_path / "here") == science(tmp_path / "plain")
    assert predictions(tmp_path / "here") == predictions(tmp_path / "plain")


def test_ray_runs_no_service_that_a_sweep_does_not_use() -> None:
    """They would cost every run seconds; and what leaves them out has gone once Ray is there."""
    with session.ray_session(session.RayOptions(), cpus=2):
        running = commands()
        left_out = [*SERVICES, "ray::IDLE"]
        left_out += ["dashboard/dashboard.py"] * (workarounds.API_SERVER in workarounds.left_out())
        assert any("gcs_server" in command for command in running)
        assert [command for command in running for script in left_out if script in command] == []
        assert {getattr(Node, name).__name__ for name in workarounds.left_out()} == set(workarounds.left_out())
        assert services.get_node.__module__ == "ray._private.services"


@pytest.mark.parametrize("off", ["parts", "switch"])
def test_a_ray_without_what_is_replaced_is_started_as_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, off: str
) -> None:
    """Names inside Ray may go in a later version."""
    seen: dict[str, Any] = {}
    before = dict(vars(Node)), dict(vars(services))

    def init(**options: Any) -> Any:
        seen.update(options, idle=os.environ.get(workarounds.NO_IDLE_WORKERS))
        seen["same"] = (dict(vars(Node)), dict(vars(services))) == before
        return SimpleNamespace(address_info={"session_dir": str(tmp_path)})

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(local_ray, "_folders", [])
    if off == "parts":
        for method in (*workarounds.MONITORS, workarounds.API_SERVER):
            monkeypatch.delattr(Node, method)
        monkeypatch.delattr(services, "get_node")
        monkeypatch.delattr(ray._private.utils, "get_dashboard_dependency_error")
        before = dict(vars(Node)), dict(vars(services))
    else:
        monkeypatch.setenv(workarounds.SWITCH, "services,idle-workers,node")
    local_ray.start(lambda: None, num_cpus=1)
    idle = "0" if off == "parts" else None
    assert seen == {"address": "local", "include_dashboard": False, "num_cpus": 1, "idle": idle, "same": True}
    assert workarounds.NO_IDLE_WORKERS not in os.environ
    assert local_ray.session_folder() == tmp_path


def test_a_ray_of_our_own_knows_nothing_of_the_job_that_starts_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """`ray job submit -- finebench run` without --address: the job's working_dir lies in another Ray."""
    seen = []

    def init(**options: Any) -> Any:
        seen.append(os.environ.get(local_ray._JOB))
        return SimpleNamespace(address_info={"session_dir": str(tmp_path)})

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(local_ray, "_folders", [])
    monkeypatch.setenv(local_ray._JOB, "{}")
    local_ray.start(lambda: None)
    assert (seen, os.environ[local_ray._JOB]) == ([None], "{}")


def test_a_ray_that_cannot_be_kept_on_this_machine_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing takes the place of that: it is no matter of speed."""
    monkeypatch.setattr(ray, "init", lambda **options: pytest.fail("others could reach it"))
    monkeypatch.delattr(importlib.import_module("ray._private.ray_constants"), "ENABLE_RAY_CLUSTER")
    says = rf"^Ray {ray.__version__} has no ray._private.ray_constants.ENABLE_RAY_CLUSTER, by which .* --debug$"
    with pytest.raises(InputError, match=says):
        session._start(num_cpus=1)


def test_a_workaround_that_there_is_not_cannot_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(workarounds.SWITCH, "end,nodes")
    with pytest.raises(InputError, match=r"^FINEBENCH_PLAIN_RAY: unknown workaround 'nodes'; did you mean 'node'\?"):
        workarounds.used("services")


def test_a_part_of_ray_that_is_not_there_is_none() -> None:
    assert part("ray._private.no_such_module") is None
    assert part("ray._private.no_such_module", "Node") is None
    assert part("ray._private.node", "NoSuchClass", "start") is None


def test_what_goes_wrong_while_ray_starts_is_left_to_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """The question for the node is put also where the wait for it, or what is done meanwhile, fails."""
    monkeypatch.delattr(importlib.import_module("ray._private.state").GlobalState, "node_table")
    asked = []
    find = workarounds._found_at_once(lambda *words: asked.append(words) or "node", lambda: 1 / 0)
    assert find("127.0.0.1:1", "id") == "node"
    assert asked == [("127.0.0.1:1", "id")]


def test_the_api_server_is_left_out_where_no_agent_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """With ray[default] the node's agent would log a traceback every second."""
    monkeypatch.setattr(ray._private.utils, "get_dashboard_dependency_error", lambda: None)
    assert workarounds.left_out() == workarounds.MONITORS
    monkeypatch.setattr(ray._private.utils, "get_dashboard_dependency_error", lambda: ImportError("opencensus"))
    assert workarounds.left_out() == (*workarounds.MONITORS, workarounds.API_SERVER)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ray.exceptions.OutOfMemoryError("the node running low on memory"), ray.exceptions.RayActorError),
        (ray.exceptions.ObjectLostError("a", None, ""), ray.exceptions.RayActorError),
        (ray.exceptions.ActorDiedError(), ray.exceptions.ActorDiedError),
        (ray.exceptions.RayTaskError("f", "x", ValueError()), ray.exceptions.RayTaskError),
        (ValueError("not Ray's"), ValueError),
    ],
)
def test_what_ray_says_of_a_lost_worker_is_its_trials_error(
    error: Exception, kind: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap: for an error that is neither an actor's nor a task's, Ray Tune ends the experiment."""
    taken: list[Exception] = []
    monkeypatch.setattr(RayActorManager, "_actor_task_failed", lambda self, task, exception: taken.append(exception))
    with workarounds.losses_are_outcomes():
        manager = tune_controller.RayActorManager(resource_manager=SimpleNamespace())
        manager._actor_task_failed(None, error)
    assert [type(one) for one in taken] == [kind]
    assert str(error) in str(taken[0])
    assert tune_controller.RayActorManager is RayActorManager


@pytest.mark.parametrize("gone", [(RayActorManager, "_actor_task_failed"), (tune_controller, "RayActorManager")])
def test_a_keeper_of_workers_that_is_another_one_is_left_alone(
    gone: tuple[Any, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(*gone)
    before = dict(vars(tune_controller))
    with workarounds.losses_are_outcomes():
        assert dict(vars(tune_controller)) == before


def test_a_run_that_rays_own_keeper_ends_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """As Ray raises it (test_memory_kills.py), with nothing replaced."""

    class Tuner:
        def __init__(self, trainable: Any, **options: Any) -> None: ...

        def fit(self) -> None:
            try:
                raise ray.exceptions.OutOfMemoryError("the node running low on memory")
            except ray.exceptions.RayError as error:
                raise RuntimeError(f"Caught unexpected exception: {error}") from error

    monkeypatch.setattr(tune, "Tuner", Tuner)
    monkeypatch.setattr(tune, "with_parameters", lambda worker, **parameters: worker)
    monkeypatch.setattr(sweep, "Pulse", SimpleNamespace(of_this_driver=lambda: SimpleNamespace(answers=None)))
    monkeypatch.setattr(ray, "cluster_resources", dict)
    shipment = cast(Any, SimpleNamespace(study=None, tasks={}, timeout=1.0))
    says = r"^Ray Tune ended the run: OutOfMemoryError: the node running low on memory; what is finished is stored"
    nothing = cast(Any, None)
    recorder = cast(Recorder, SimpleNamespace(observer=Observer()))
    with pytest.raises(InputError, match=says):
        sweep.run_sweep(nothing, recorder, nothing, shipment, None, session.RayOptions(), nothing)


def test_a_trial_of_ray_tunes_that_keeps_other_things_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = SimpleNamespace(metric_analysis={"a": 1}, metric_n_steps={"a": 2})
    trial = SimpleNamespace(run_metadata=kept, temporary_state=SimpleNamespace(ray_actor="it"))
    workarounds.forget(SimpleNamespace())
    assert workarounds.actor_of(SimpleNamespace()) is None
    assert workarounds.actor_of(trial) == "it"
    monkeypatch.setenv(workarounds.SWITCH, "metadata,hung")
    workarounds.forget(trial)
    assert (kept.metric_analysis, workarounds.actor_of(trial)) == ({"a": 1}, None)
    monkeypatch.delenv(workarounds.SWITCH)
    workarounds.forget(trial)
    assert kept == SimpleNamespace(metric_analysis={}, metric_n_steps={})


@pytest.mark.parametrize("off", ["", "messages"])
def test_what_ray_s_services_publish_is_not_printed(
    off: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As a node's agents do where its raylet has died: with the last lines that it logged."""
    monkeypatch.setenv(workarounds.SWITCH, off)
    dump = "Raylet is terminated. Last 20 lines of the Raylet logs:\n" + "    [state-dump] more\n" * 20
    with session.ray_session(session.RayOptions(), cpus=1):
        gcs = ray._private.worker.global_worker.gcs_client
        printed, until = "", time.monotonic() + 30
        while time.monotonic() < until and "state-dump" not in printed:
            ray._private.utils.publish_error_to_driver("raylet_died", dump, gcs_client=gcs)
            time.sleep(0.5)
            printed += "".join(capfd.readouterr())
            if not off:
                until = min(until, time.monotonic() + 2)
    assert ("state-dump" in printed) is bool(off)


@pytest.mark.parametrize(("off", "prepared"), [("", [1]), ("prepared", [])])
def test_a_trial_is_prepared_once_it_is_there(off: str, prepared: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray Tune may hand it a kept worker before it has scheduled it, and that worker asks for its folder."""
    monkeypatch.setenv(workarounds.SWITCH, off)
    done: list[int] = []
    trial = SimpleNamespace(init_local_path=lambda: done.append(1))
    scheduler = sweep._Scheduler(cast(Any, None), cast(Any, None))
    scheduler.on_trial_add(None, trial)
    assert (done, scheduler.waiting) == (prepared, [trial])
    scheduler.on_trial_add(None, SimpleNamespace())  # of a Ray that has no such thing
