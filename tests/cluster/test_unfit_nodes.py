"""A node that differs from the driver, lacks a package or cannot compute is named once and left out; trials run
elsewhere, and where no node is left the run ends with exit code 2."""

import sysconfig
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tests.cluster.machines import ROOT, Machine, Net, obstacle, study

pytestmark = [pytest.mark.slow, pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))]
SITE = Path(sysconfig.get_paths()["purelib"])


def another_finebench(node: Machine) -> None:
    """One line of the training code is another."""
    loop = ROOT / "bench/training/loop.py"
    node.put(loop, loop.read_text() + "\nOTHER = 1\n")


def another_transformers(node: Machine) -> None:
    """Only its version says so."""
    [file] = SITE.glob("transformers-*.dist-info/METADATA")
    node.put(file, file.read_text().replace(metadata.version("transformers"), "4.0.0"))


def no_finebench(node: Machine) -> None:
    """None of it can be imported."""
    node.put((ROOT / "src/finebench").resolve(), None)
    [link] = SITE.glob("finebench-*.dist-info")
    node.put(link, None)


def no_peft(node: Machine) -> None:
    """The package is gone."""
    node.put(SITE / "peft", None)
    [info] = SITE.glob("peft-*.dist-info")
    node.put(info, None)


def broken_device(node: Machine) -> None:
    """torch is there and cannot multiply; its version is the same."""
    file = SITE / "torch/_tensor.py"
    broken = "\ndef _broken(*unused):\n    raise RuntimeError('CUDA error: device-side trouble')\n"
    node.put(file, file.read_text() + broken + "Tensor.backward = _broken\n")


UNFIT = [
    (another_finebench, "another finebench is installed there"),
    (another_transformers, "transformers 4.0.0 there,"),
    (no_finebench, "finebench is not installed there"),
    (no_peft, "peft is not installed there"),
    (broken_device, "RuntimeError: CUDA error: device-side trouble"),
]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    """A head without CPUs; workers come and go."""
    with Net(tmp_path_factory.mktemp("net")) as made:
        made.machine("head").ray(cpus=0)
        yield made


def test_bad_nodes_are_left_out_and_their_trials_run_elsewhere(net: Net) -> None:
    """Two of them beside a good one: no trial is an error, each node is named once."""
    head, good = net.machines[0], net.machine("good")
    bad = []
    for name, spoil in (("other", another_finebench), ("lacking", no_peft)):
        bad.append(net.machine(name))
        spoil(bad[-1])
    for node in (*bad, good):
        node.ray(head)
    code, said = head.finebench(f"run {study(head, seeds=6)} --address {head.ip}:6379 --results out")
    assert code == 0, said
    assert "6 ok" in said
    for name in ("other", "lacking"):
        assert said.count(f"node {name} is left out") == 1, said
    hosts = head.finebench("status out --json")[1]
    assert '"error": 0' in hosts
    for node in (*bad, good):
        node.kill()


@pytest.mark.parametrize(("spoil", "says"), UNFIT)
def test_where_no_node_is_left_the_run_is_refused(net: Net, spoil: object, says: str) -> None:
    head, node = net.machines[0], net.machine(f"n{len(net.machines)}")
    assert callable(spoil)
    spoil(node)
    node.ray(head)
    try:
        results = f"out{node.number}"
        code, said = head.finebench(f"run {study(head)} --address {head.ip}:6379 --results {results}")
        assert code == 2, said
        assert f"no node of the cluster can train this study: {node.name}: {says}" in " ".join(said.split())
        assert said.count(f"node {node.name} is left out") == 1
    finally:
        node.kill()
