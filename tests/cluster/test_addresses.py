"""A run joins a cluster from its nodes, and from elsewhere is told how."""

import pytest

from tests.cluster.machines import Net, obstacle, study

pytestmark = [pytest.mark.slow, pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))]


def test_a_machine_without_a_node_is_refused_with_the_way_that_works(tmp_path_factory: pytest.TempPathFactory) -> None:
    """And the way works."""
    with Net(tmp_path_factory.mktemp("net")) as net:
        head, mine = net.machine("head"), net.machine("mine")
        head.ray()
        run = f"run {study(mine, seeds=1)} --address {head.ip}:6379 --results out"
        code, said = mine.finebench(run)
        assert code == 2, said
        way = f"ray start --address={head.ip}:6379 --num-cpus=0 --num-gpus=0"
        assert "this machine is no node of that cluster" in said
        assert "on a node (head)" in said
        assert way in " ".join(said.split())
        mine.ray(head, cpus=0)
        code, said = mine.finebench(run)
        assert code == 0, said
