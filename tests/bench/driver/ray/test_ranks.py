"""Trials on several ranks over a real Ray: the rows of a run in process, on one node or two, and after a lost rank."""

import contextlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster

from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.ray import session
from finebench.bench.driver.ray.gate import placement
from finebench.bench.driver.ray.rank_actors import RayFollowers
from finebench.bench.driver.run import run_study
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.util.errors import DeviceLost, StudyError
from tests.bench.tiny import predictions, run_tiny, science, tiny_study

RANKED: dict[str, Any] = {"methods": {"full": {"lr": [1e-3]}}, "resources": {"gpu": 0, "ranks": 2}, "fractions": [0.05]}


class Notes(Observer):
    """Keeps what a run says, and does something once while a trial trains."""

    def __init__(self, act: Any = lambda: True) -> None:
        self.said: list[str] = []
        self.act, self.done = act, False

    def tick(self) -> None:
        self.done = self.done or bool(self.act())

    def on_note(self, text: str) -> None:
        self.said.append(text)


def rank_in_training() -> psutil.Process | None:
    """The process of a rank beside rank 0, once it trains."""
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if " ".join(process.cmdline()).startswith("ray::Rank.follow"):
                return process
    return None


def kill_a_rank() -> bool:
    if (found := rank_in_training()) is not None:
        found.kill()
    return found is not None


def test_a_trial_has_a_bundle_for_each_rank() -> None:
    """On one node where one has room for all."""
    found = placement({"cpus": 2.0, "gpu": 1.0, "beside": {"x": 1.0}, "labels": {}, "ranks": 2, "avoid": ["a", "b"]})
    assert found.bundles == [{"CPU": 2.0, "GPU": 1.0, "x": 1.0}] * 2
    assert found.strategy == "PACK"
    assert placement({"cpus": 1.0, "gpu": 0, "beside": {}, "labels": {}, "ranks": 1, "avoid": []}).bundles == [
        {"CPU": 1.0}
    ]


def test_other_ranks_that_failed_are_started_anew_and_said_where_they_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a pack that rank 0 ended well: its next one must not go to a process that can train none."""
    followers: Any = RayFollowers.__new__(RayFollowers)
    followers._actors, followers._running, ended = ["actor"], ["its last pack"], []

    def none_starts(number: int) -> None:
        assert followers._actors == []
        raise ray.exceptions.GetTimeoutError("no place for it")

    monkeypatch.setattr(ray, "wait", lambda refs, **options: (refs, []))
    monkeypatch.setattr(ray, "get", lambda ref: False)
    monkeypatch.setattr(ray, "kill", ended.append)
    monkeypatch.setattr(followers, "_start", none_starts)
    with pytest.raises(DeviceLost, match="rank 1 has failed, and no other came: no place for it"):
        followers.follow(SimpleNamespace(number=2))
    assert ended == ["actor"]


@pytest.mark.slow
def test_ray_and_in_process_runs_are_bit_identical(tmp_path: Path) -> None:
    """Two packs one after the other, on the same ranks."""
    run_tiny(tmp_path / "here", seeds=2, **RANKED)
    with session.ray_session(session.RayOptions(), cpus=2):
        outcome = run_tiny(tmp_path / "ray", debug=False, seeds=2, **RANKED)
        assert outcome.statuses == {"ok": 2}
        with pytest.raises(StudyError, match=r"resources\.cpu: 3 asked for \(3 ranks with 1 each\), and this machine"):
            run_tiny(tmp_path / "many", debug=False, **RANKED | {"resources": {"ranks": 3}})
    assert science(tmp_path / "ray") == science(tmp_path / "here")
    assert predictions(tmp_path / "ray") == predictions(tmp_path / "here")
    assert {row["ranks"] for row in science(tmp_path / "ray").values()} == {2}


@pytest.mark.slow
def test_a_lost_rank_costs_a_retry_and_no_trial(tmp_path: Path) -> None:
    notes = Notes(kill_a_rank)
    with session.ray_session(session.RayOptions(), cpus=2):
        long = RANKED | {"budget": {"steps": 200}}
        outcome = run_tiny(tmp_path, debug=False, observer=lambda scheduler: notes, **long)
    assert notes.done
    assert outcome.statuses == {"ok": 1}
    tried = [note for note in notes.said if "trying again (1 of 2)" in note]
    assert ["rank 1 is gone: " in note for note in tried] == [True], notes.said


@pytest.mark.slow
def test_a_trial_on_two_nodes_survives_one_of_them(tmp_path: Path) -> None:
    """Three nodes with a core each: the trial has two of them, and loses one; that costs no retry."""
    if ray.is_initialized():
        ray.shutdown()
    changes = RANKED | {"budget": {"steps": 200}, "retries": 0}
    run_tiny(tmp_path / "whole", **changes)
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    try:
        added = [cluster.add_node(num_cpus=1) for _ in range(3)]
        nodes = {node.all_processes["raylet"][0].process.pid: node for node in added}
        cluster.wait_for_nodes()

        def take_a_node() -> bool:
            """The one on which rank 1 trains: its process is a child of the node's."""
            if (found := rank_in_training()) is None:
                return False
            cluster.remove_node(nodes[found.ppid()], allow_graceful=False)
            return True

        notes = Notes(take_a_node)
        options = RunOptions(str(tmp_path / "out"), address=cluster.address)
        outcome = run_study(tiny_study(**changes), options, lambda scheduler: notes, lambda trial, reason, runs: None)
        assert notes.done
        assert outcome.statuses == {"ok": 1}
        assert any("is gone; it runs again elsewhere" in note for note in notes.said), notes.said
        assert science(tmp_path / "out") == science(tmp_path / "whole")
    finally:
        ray.shutdown()
        cluster.shutdown()
