"""On a cluster of several machines: what a study asks for is there, comes, is in use by others, or is refused."""

from collections.abc import Iterator

import pytest

from tests.cluster.machines import Machine, Net, obstacle, study, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))]

OTHER_WORK = """
import ray, time
ray.init(address="auto")
@ray.remote(num_cpus=1)
def work():
    open("/tmp/busy", "w").close()
    time.sleep(12)
ray.get(work.remote())
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Machine]]:
    """A head without CPUs and a worker with one."""
    with Net(tmp_path_factory.mktemp("net")) as net:
        head, worker = net.machine("head"), net.machine("w1")
        head.ray(cpus=0)
        worker.ray(head)
        yield head, worker


def test_more_than_any_node_has_is_refused(pair: tuple[Machine, Machine]) -> None:
    head, _ = pair
    name = study(head)
    for asked, said in (("cpu=2", "2 CPUs on one node"), ("gpu=1", "1 CPU, 1 GPU on one node")):
        more = f"--set resources.{asked} --set training.precision=fp32"
        code, output = head.finebench(f"run {name} --address {head.ip}:6379 --results out {more}")
        assert code == 2, output
        assert f"resources: {said} asked for, and the cluster has w1 (1 CPU), head (0 CPUs)" in output
    assert not (head.tmp / "out/study.yaml").exists()


def test_a_run_says_that_others_have_all_slots(pair: tuple[Machine, Machine]) -> None:
    head, worker = pair
    (head.tmp / "other.py").write_text(OTHER_WORK)
    started = head.begin_python("other.py")
    until((worker.tmp / "busy").exists, 30, "the other work")
    run = f"run {study(head, seeds=1)} --address {head.ip}:6379 --results out2"
    code, output = head.finebench(run)
    assert code == 0, output
    assert "waiting: all slots are in use by other work" in output
    assert started.ended(20)[0] == 0
