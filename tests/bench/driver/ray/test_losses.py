"""A node that goes is no failure of its trials; a lost trial's row names the node."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray

from finebench.bench.driver.ray import losses
from finebench.bench.driver.ray.nodes.fitness import Fitness
from finebench.bench.driver.ray.nodes.roster import Node
from finebench.bench.driver.ray.oom_kills import KernelKills
from finebench.bench.util.errors import DeviceLost
from finebench.bench.util.machine import hostname
from tests.bench.driver.ray.test_faults import make_adapter

DIED = "The actor died unexpectedly before finishing this task.\n\tclass_name: X\n\tip: 10.0.0.7\n"
WITH_NODE = RuntimeError(f"{DIED}The actor died because its node has died. Node Id: ab12")
ALONE = RuntimeError(f"{DIED}The actor is dead because its worker process has died.")
NODES = [{"NodeManagerAddress": "10.0.0.7", "NodeManagerHostname": "w7", "Alive": False}]


def trial(error: Exception) -> Any:
    """Ray Tune's trial as it is once its worker is lost."""
    return SimpleNamespace(get_pickled_error=lambda: error, error_file=None)


@pytest.fixture(autouse=True)
def cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster that remembers its dead node."""
    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "nodes", lambda: NODES)


def test_a_node_that_goes_is_told_from_a_worker_that_dies() -> None:
    assert losses.with_node(trial(WITH_NODE))
    assert losses.with_node(trial(ray.exceptions.RayActorError(preempted=True)))
    assert not losses.with_node(trial(ALONE))
    assert losses.node_name(trial(ALONE)) == "w7"
    assert losses.node_name(trial(RuntimeError("nothing is known"))) is None


def test_a_lost_rank_is_told_in_our_own_words_and_by_its_node() -> None:
    """As bench.driver.ray.rank_actors words it, and Ray wraps it."""
    gone = DeviceLost("rank 1 is gone: its node has died: Socket closed\nip: 10.0.0.7\n; run the same command again")
    wrapped = ray.exceptions.RayTaskError(
        "step", f"Traceback (most recent call last):\nfinebench.errors.DeviceLost: {gone}", gone
    )
    error = wrapped.as_instanceof_cause()
    assert losses.with_node(trial(error))
    assert losses.node_name(trial(error)) == "w7"
    status, reason = losses.why_lost(trial(error))
    assert (status, reason[:49]) == ("error", "worker lost: rank 1 is gone: its node has died: S")


def test_a_node_costs_no_retry_and_a_worker_does(tmp_path: Path) -> None:
    """Of a pack without retries; its row has its node's name, not the driver's."""
    adapter, watch = make_adapter(tmp_path, retries=0, methods={"bitfit": {"lr": [5e-3]}})
    for number in range(3):
        adapter.suggest(f"{number}")
        adapter.lost(f"{number}", trial(WITH_NODE))
        assert watch.notes[-1].endswith(": its node w7 is gone; it runs again elsewhere")
    assert not adapter.recorder.statuses
    adapter.suggest("last")
    assert adapter.running["last"].begun  # so that it does not wait behind all others
    adapter.lost("last", trial(ALONE))
    assert adapter.recorder.statuses == {"error": 1}
    assert adapter.recorder.failures[0]["hostname"] == "w7"


def test_a_node_whose_disk_is_full_costs_no_retry(tmp_path: Path) -> None:
    """Every worker that starts there fails, of trials that have no retry; the other node is fine."""
    adapter, watch = make_adapter(
        tmp_path, retries=0, seeds=3, methods={"bitfit": {"lr": [5e-3]}}, resources={"gpu": 0}
    )
    now = iter(range(0, 1000, 10))
    nodes = [Node("a", "w1", "10.0.0.7", 4, 1), Node("b", "w2", "10.0.0.8", 4, 1)]
    adapter.fitness = Fitness(watch.on_note, lambda: nodes, lambda: float(next(now)))
    adapter.fitness.fine({"w2"})
    unfit = {"node": "a", "why": "OSError: [Errno 28] No space left on device", "lasts": False}
    names = ("one", "two", "three")
    configs: list[Any] = [adapter.suggest(name) for name in names]
    for name in names:
        adapter.started(name, None)
        adapter.heard(name, {"unfit": unfit})
        adapter.lost(name, trial(RuntimeError("this node cannot train")))
    configs.append(adapter.suggest("four"))
    assert [config["avoid"] for config in configs] == [[], [], [], ["a"]]
    assert configs[3]["pack"] == configs[0]["pack"]
    assert not adapter.recorder.statuses
    assert [note.partition(":")[0] for note in watch.notes] == [
        "node w1", "node w1 is left out, its trials run elsewhere"
    ]  # fmt: skip


def test_what_takes_node_after_node_with_it_has_an_end(tmp_path: Path) -> None:
    adapter, _ = make_adapter(tmp_path, retries=0, methods={"bitfit": {"lr": [5e-3]}})
    for number in range(losses.MOST_NODES + 1):
        assert not adapter.recorder.statuses
        adapter.suggest(f"{number}")
        adapter.lost(f"{number}", trial(WITH_NODE))
    assert adapter.recorder.statuses == {"error": 1}


@pytest.mark.parametrize("here", [True, False])
def test_a_lost_record_without_a_known_node_names_none_of_a_cluster(tmp_path: Path, here: bool) -> None:
    """The driver's own machine is named only where all workers are on it."""
    adapter, _ = make_adapter(tmp_path)
    adapter.kernel = KernelKills() if here else None
    config: Any = adapter.suggest("one")
    assert config["avoid"] == []
    adapter.lost("one", trial(RuntimeError("gone")))
    (row,) = adapter.recorder.folder.rows()
    assert row["hostname"] == (hostname() if here else None)
