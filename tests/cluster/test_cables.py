"""The cable between a driver and its head is cut: for as long as Ray survives that, the run does; then it ends."""

import time

import pytest

from tests.cluster.machines import Net, obstacle, study

pytestmark = [pytest.mark.slow, pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))]


def test_a_silence_that_ray_survives_costs_no_run(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Net(tmp_path_factory.mktemp("net")) as net:
        head, worker, mine = net.machine("head"), net.machine("w1"), net.machine("mine")
        head.ray(cpus=0)
        worker.ray(head)
        mine.ray(head, cpus=0)
        name = study(mine, seeds=3, budget={"steps": 400})
        run = mine.begin(f"run {name} --address {head.ip}:6379 --results out")
        run.heard("1 running", 120)
        mine.cut()
        time.sleep(16)
        mine.mend()
        code, said = run.ended(200)
        assert code == 0, said
        assert "3 ok" in said
        assert f"Ray's head ({head.ip}:6379) has not answered for" in said
        assert "answers again" in said
