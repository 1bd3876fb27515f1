"""A node that joins while trials are shorter than a worker's start gets trials too."""

import json

import pytest

from tests.cluster.machines import Net, obstacle, study, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))]


def test_a_late_node_gets_trials(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its workers used to be thrown away as they got ready, for those of the first node."""
    with Net(tmp_path_factory.mktemp("net")) as net:
        head, late = net.machine("head"), net.machine("late")
        head.ray(cpus=1)
        seeds = 600
        run = head.begin(f"run {study(head, seeds=seeds, budget={'steps': 2})} --address {head.ip}:6379 --results out")
        until(lambda: len(list((head.tmp / "out/trials").glob("[0-9a-f]*.parquet"))) > 2, 120, "first rows")
        late.ray(head, cpus=1)
        code = "import pyarrow.dataset as d; t = d.dataset('out/trials', format='parquet').to_table(['hostname']);"
        (head.tmp / "hosts.py").write_text(f"{code}\nprint(*set(t['hostname'].to_pylist()))")

        def hosts() -> list[str]:
            return head.run("python hosts.py")[1].split()

        until(lambda: "late" in hosts() or run.process.poll() is not None, 120, lambda: json.dumps(hosts()))
        assert "late" in hosts(), run.said()
