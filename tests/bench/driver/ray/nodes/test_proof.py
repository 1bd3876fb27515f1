"""A worker proves its node, also where finebench is missing; nodes that cannot train are left out."""

import errno
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import ray
import torch
from ray import cloudpickle

from finebench.bench.data import token_cache
from finebench.bench.driver.ray.gate import Gate, placement, sent_whole
from finebench.bench.driver.ray.nodes.asks import Ask
from finebench.bench.driver.ray.nodes.fitness import LASTING, Fitness
from finebench.bench.driver.ray.nodes.proof import CODE, MISSING, differences, fingerprint
from finebench.bench.driver.ray.nodes.roster import Node
from finebench.bench.driver.ray.worker import PackWorker
from finebench.bench.util.errors import InputError
from tests.bench.tiny import tiny_study

NODES = [Node("h", "head", "10.0.0.1", 0, 0, head=True), Node("a", "w1", "10.0.0.2", 1, 0)]
NODES += [Node("b", "w2", "10.0.0.3", 1, 0)]


def test_what_differs_is_told_and_builds_of_one_version_are_equal() -> None:
    here = fingerprint()
    assert differences(here, here) == []
    assert "+" not in here["torch"]
    assert MISSING not in here.values()
    there = here | {CODE: "other", "torch": "2.0.0", "peft": MISSING}
    told = ["another finebench is installed there", f"torch 2.0.0 there, {here['torch']} here"]
    assert sorted(differences(there, here)) == sorted([*told, "peft is not installed there"])


def test_what_makes_tokens_is_proven(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What the tokens of a cache rest on may not differ between nodes: they share no cache."""
    asked: list[str] = []
    monkeypatch.setattr(token_cache, "version", lambda name: asked.append(name) or "1")
    token_cache.tokenizer_key(tmp_path, [])
    assert asked
    assert fingerprint().keys() >= set(asked)


def test_the_gate_opens_where_there_is_no_finebench(tmp_path: Path) -> None:
    """By its name it could not be found there."""
    with sent_whole():
        (tmp_path / "gate").write_bytes(cloudpickle.dumps((Gate, placement, fingerprint())))
    code = f"""
import sys
sys.meta_path.insert(0, type("Lacking", (), {{"find_spec": staticmethod(lambda name, *rest: Lacking.deny(name)),
    "deny": staticmethod(lambda name: (_ for _ in ()).throw(ModuleNotFoundError(name)) if name == "finebench" else None)
}}))
Lacking = sys.meta_path[0]
import pickle
gate, placement, driver = pickle.load(open({str(tmp_path / "gate")!r}, "rb"))
one = object.__new__(gate)
import importlib.util
importlib.util.find_spec = lambda name: None
gate.setup(one, {{}}, [], driver)
print(one.why)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "finebench is not installed there", done.stderr


def set_up(monkeypatch: pytest.MonkeyPatch, error: Exception) -> str:
    """Why a node is left out whose worker meets this as it starts; raises it where the node is not."""

    def start(self: PackWorker, *rest: object) -> None:
        raise error

    monkeypatch.setattr(PackWorker, "setup", start)
    one = object.__new__(Gate)
    one.setup({}, [], {})
    return str(one.why)


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"),
        RuntimeError("CUDA error: out of memory"),
        MemoryError("cannot allocate"),
        ray.exceptions.ObjectFetchTimedOutError("ab12", "", ""),
    ],
)
def test_what_passes_is_a_worker_lost_and_not_a_node(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    with pytest.raises(type(error)):
        set_up(monkeypatch, error)


def test_a_full_disk_is_told_and_not_known_to_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: PackWorker, *rest: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(PackWorker, "setup", start)
    monkeypatch.setattr(ray, "get_runtime_context", lambda: SimpleNamespace(get_node_id=lambda: "ab12"))
    one = object.__new__(Gate)
    one.setup({}, [], {})
    told = one.step()["payload"]["unfit"]
    assert told == {"node": "ab12", "why": "OSError: [Errno 28] No space left on device", "lasts": False}
    with pytest.raises(RuntimeError, match="this node cannot train"):
        one.step()


def test_no_folder_is_left_on_the_node_for_each_trial(tmp_path: Path) -> None:
    one = object.__new__(Gate)
    for take in (lambda: one.setup({}, [], {CODE: "other"}), lambda: one.reset_config({})):
        one._logdir = str(tmp_path / "trial")
        (tmp_path / "trial").mkdir()
        take()
        assert list(tmp_path.iterdir()) == []


def test_what_stays_leaves_the_node_out(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = RuntimeError("a product of ones on cuda:0 has the gradient 0.0, and not 1024")
    assert set_up(monkeypatch, wrong).startswith("RuntimeError: a product of ones")
    assert set_up(monkeypatch, ModuleNotFoundError("peft")) == "ModuleNotFoundError: peft"
    with monkeypatch.context() as broken:
        broken.delitem(sys.modules, "torch")
        broken.setattr(sys, "meta_path", [NoLibrary(), *sys.meta_path])
        assert set_up(broken, wrong) == "ImportError: libcudart.so: cannot open shared object file"


class NoLibrary:
    """Finds torch where one of its libraries is missing."""

    def find_spec(self, name: str, *rest: object) -> None:
        """As Python's finders; raises OSError."""
        if name == "torch":
            raise OSError("libcudart.so: cannot open shared object file")


def test_packs_keep_away_from_nodes_that_are_left_out() -> None:
    asked: dict[str, Any] = {"cpus": 1.0, "gpu": 0.0, "beside": {}, "labels": {}, "avoid": [], "ranks": 1}
    assert placement(asked)._bound.arguments["bundle_label_selector"] is None
    away = placement(asked | {"avoid": ["a", "b"], "labels": {"zone": "in(a, b)"}})
    [labels] = away._bound.arguments["bundle_label_selector"]
    assert labels == {"ray.io/node-id": "!in(a,b)", "zone": "in(a, b)"}


def test_a_pack_takes_what_is_asked_for_beside_cpus() -> None:
    study = tiny_study(resources={"accelerator": "H100", "memory": "2GiB", "custom": {"fpga": 2}})
    beside = study.resources.beside
    [bundle] = placement({"cpus": 1.0, "gpu": 0.5, "beside": beside, "labels": {}, "avoid": [], "ranks": 1}).bundles
    assert bundle == {"CPU": 1, "GPU": 0.5, "accelerator_type:H100": 0.001, "memory": 2**31, "fpga": 2}


def look_twice(fitness: Fitness, *asked: Ask) -> None:
    """As the driver does while nothing trains, with packs that ask for this."""
    for _ in range(2):
        fitness.refuse({str(number): one for number, one in enumerate(asked)})


def test_a_node_is_named_once_and_the_last_one_ends_the_run() -> None:
    notes: list[str] = []
    fitness = Fitness(notes.append, lambda: NODES)
    for _ in range(2):
        fitness.leave_out("a", "torch 2.0.0 there, 2.9.0 here")
    look_twice(fitness, Ask(1, 0))
    assert notes == ["node w1 is left out, its trials run elsewhere: torch 2.0.0 there, 2.9.0 here"]
    assert fitness.avoid == ["a"]
    fitness.leave_out("b", "peft is not installed there")
    with pytest.raises(InputError, match=r"no node .*: w1: torch 2\.0\.0 there.*; w2: peft is not installed there\. "):
        look_twice(fitness, Ask(1, 0))


def test_a_head_without_a_gpu_does_not_keep_packs_for_gpus_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its CPUs are no place for them: all nodes that have one are left out."""
    monkeypatch.setattr("finebench.bench.driver.ray.nodes.fitness.LOOK_EVERY", 0.0)
    nodes = [Node("h", "head", "10.0.0.1", 8, 0, head=True), Node("a", "w1", "10.0.0.2", 4, 1)]
    fitness = Fitness(lambda note: None, lambda: nodes)
    fitness.leave_out("a", "its GPU is broken")
    look_twice(fitness, Ask(1, 1), Ask(1, 0))  # the head has room for one of them
    look_twice(fitness, Ask(1, 2))  # no node ever had two: an autoscaler is to bring one
    fitness.refuse({"one": Ask(1, 1)})  # Ray Tune may ask for more packs yet
    with pytest.raises(InputError, match="no node of the cluster can train this study: w1: its GPU is broken"):
        fitness.refuse({"one": Ask(1, 1)})


def test_a_trial_on_several_ranks_needs_room_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Away from a node where one of them met trouble, and without a node that is left out, it would wait for ever."""
    monkeypatch.setattr("finebench.bench.driver.ray.nodes.fitness.LOOK_EVERY", 0.0)
    nodes = [Node("a", "w1", "10.0.0.2", 4, 1), Node("b", "w2", "10.0.0.3", 4, 1)]
    fitness = Fitness(lambda note: None, lambda: nodes)
    one, two = Ask(1, 1), Ask(1, 1, ranks=2)
    assert fitness.trouble("a", "its disk is full", "pack", one)
    assert fitness.avoid_for("pack", one) == ["a"]
    assert fitness.avoid_for("pack", two) == []
    assert not fitness.trouble("b", "its disk is full", "other", two)
    fitness.leave_out("a", "peft is not installed there")
    look_twice(fitness, one)
    with pytest.raises(InputError, match="no node of the cluster can train this study: w1: peft"):
        look_twice(fitness, two)


def test_a_node_without_the_label_that_is_asked_for_is_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The other nodes have CPUs enough, and packs would wait for ever."""
    monkeypatch.setattr("finebench.bench.driver.ray.nodes.fitness.LOOK_EVERY", 0.0)
    nodes = [Node("a", "w1", "10.0.0.2", 4, 0, labels={"zone": "x"}), Node("b", "w2", "10.0.0.3", 4, 0)]
    fitness = Fitness(lambda note: None, lambda: nodes)
    fitness.leave_out("a", "peft is not installed there")
    look_twice(fitness, Ask(1, 0))
    with pytest.raises(InputError, match="no node of the cluster can train this study: w1: peft"):
        look_twice(fitness, Ask(1, 0, labels={"zone": "x"}))


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


FULL = "OSError: [Errno 28] No space left on device"


def test_trouble_that_lasts_on_one_node_leaves_it_out() -> None:
    notes: list[str] = []
    clock, ask = Clock(), Ask(1, 0)
    fitness = Fitness(notes.append, lambda: NODES, clock)
    assert fitness.trouble("a", FULL, "one", ask)  # it runs on w2
    assert (fitness.avoid, fitness.avoid_for("one", ask), fitness.avoid_for("two", ask)) == ([], ["a"], [])
    clock.now = LASTING
    assert fitness.trouble("a", FULL, "two", ask)
    assert fitness.avoid == []  # nothing has ended anywhere: w2 may be no better
    fitness.fine({"w2"})
    clock.now += 1
    assert fitness.trouble("a", FULL, "three", ask)
    assert fitness.avoid == ["a"]
    assert notes == [
        f"node w1: a worker cannot start there now, its trials run elsewhere: {FULL}",
        f"node w1 is left out, its trials run elsewhere: no worker has started there for 16 s: {FULL}",
    ]


def test_trouble_that_passes_leaves_no_node_out() -> None:
    clock, ask = Clock(), Ask(1, 0)
    fitness = Fitness(lambda note: None, lambda: NODES, clock)
    fitness.fine({"w2"})
    for pack in ("one", "two"):  # at once
        fitness.trouble("a", FULL, pack, ask)
    fitness.fine({"w1"})
    clock.now = LASTING
    for pack in ("three", "four"):
        fitness.trouble("a", FULL, pack, ask)
    assert fitness.avoid == []


def test_a_pack_that_cannot_run_elsewhere_pays_with_its_retries() -> None:
    clock, ask = Clock(), Ask(1, 0)
    fitness = Fitness(lambda note: None, lambda: NODES[:2], clock)
    assert not fitness.trouble("a", FULL, "one", ask)
    assert fitness.avoid_for("one", ask) == []
    both = Fitness(lambda note: None, lambda: NODES, clock)
    assert both.trouble("a", FULL, "one", ask)
    assert not both.trouble("b", FULL, "one", ask)


def test_the_last_fit_node_may_go_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finebench.bench.driver.ray.nodes.fitness.LOOK_EVERY", 0.0)
    nodes = [Node("a", "w1", "10.0.0.2", 4, 1), Node("b", "w2", "10.0.0.3", 4, 1)]
    fitness = Fitness(lambda note: None, lambda: nodes)
    look_twice(fitness, Ask(1, 1))
    fitness.leave_out("a", "its GPU is broken")
    look_twice(fitness, Ask(1, 1))
    nodes.pop()
    with pytest.raises(InputError, match=r"no node of the cluster can train this study: w1: its GPU is broken\."):
        look_twice(fitness, Ask(1, 1))
