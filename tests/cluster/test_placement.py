"""Trials run on the nodes that their resources name, a run can be watched, and a node with a full disk does no harm."""

import json
from collections.abc import Iterator

import pytest

from tests.cluster.machines import Machine, Net, obstacle, study

pytestmark = [pytest.mark.slow, pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))]


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Machine, Machine]]:
    """A head without CPUs, and two workers that differ in label and custom resource."""
    with Net(tmp_path_factory.mktemp("net")) as net:
        head, one, other = net.machine("head"), net.machine("w1"), net.machine("w2")
        head.ray(cpus=0)
        one.ray(head, cpus=1, more="--labels=zone=a --resources='{\"fpga\": 1}'")
        other.ray(head, cpus=1, more="--labels=zone=b")
        yield head, one, other


def where(head: Machine, results: str) -> dict[str, set[str]]:
    """By method: the nodes that trained it."""
    ask = "from finebench.bench.results.folder import ResultsFolder; import json; "
    ask += f"rows = list(ResultsFolder('{results}').rows({{}})); "
    ask += "print(json.dumps([[row['method'], row['hostname'], row['status']] for row in rows]))"
    code, said = head.run(f"{head._python} -c {json.dumps(ask)}")
    assert code == 0, said
    found: dict[str, set[str]] = {}
    for method, node, status in json.loads(said.splitlines()[-1]):
        assert status == "ok"
        found.setdefault(method, set()).add(node)
    return found


def test_trials_run_where_their_resources_say(three: tuple[Machine, Machine, Machine]) -> None:
    """Each method on a node of its own; the watching begins while it runs, and ends with it."""
    head, *_ = three
    methods = {
        "bitfit": {"lr": 5e-3, "resources": {"labels": {"zone": "b"}, "memory": "1MiB"}},
        "full": {"lr": 1e-3, "resources": {"custom": {"fpga": 1}}},
        "layernorm": {"lr": 1e-3, "resources": {"labels": {"zone": "!in(b, c)"}}},
    }
    name = study(head, methods=methods, seeds=3)
    running = head.begin(f"run {name} --address {head.ip}:6379 --results out")
    running.heard("packs waiting", 600)
    watching = head.begin("status --watch out")
    code, said = running.ended(900)
    assert code == 0, said
    assert "2 nodes, " in said
    assert where(head, "out") == {"bitfit": {"w2"}, "full": {"w1"}, "layernorm": {"w1"}}
    code, watched = watching.ended(120)
    assert code == 0, watched
    lines = watched.splitlines()
    assert len(lines) > 1
    assert "2 nodes, " in watched
    assert " 9 ok, " in lines[-1]
    assert lines[-1].endswith("; the run has ended")


def test_what_no_node_has_is_refused_with_what_there_is(three: tuple[Machine, Machine, Machine]) -> None:
    head, *_ = three
    asked = {
        "labels={zone: c}": "1 CPU, zone: c on one node asked for, and the cluster has w1 (1 CPU, zone: a), w2 ",
        "custom={fpga: 2}": "1 CPU, 2 fpga on one node asked for, and the cluster has w1 (1 CPU, 1 fpga), w2 (1 CPU)",
        "accelerator=H100": "1 CPU, 1 GPU, H100 on one node asked for, and the cluster has w1 (1 CPU)",
    }
    for given, said in asked.items():
        more = f"--set 'resources.{given}' --set training.precision=fp32"
        code, output = head.finebench(f"run {study(head)} --address {head.ip}:6379 --results none {more}")
        assert code == 2, output
        assert f"resources: {said}" in " ".join(output.split())


def test_a_node_whose_disk_takes_nothing_costs_no_trial(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its cache cannot be made: every worker that starts there fails, of trials that have no retry."""
    with Net(tmp_path_factory.mktemp("net")) as net:
        head, good, bad = net.machine("head"), net.machine("good"), net.machine("bad")
        (bad.tmp / ".cache").write_text("where a folder should be")
        head.ray(cpus=0)
        for node in (good, bad):
            node.ray(head)
        # trials take longer than a worker's start, so that others are put there after the first
        name = study(head, seeds=8, retries=0, budget={"steps": 400})
        code, said = head.finebench(f"run {name} --address {head.ip}:6379 --results out", timeout=900)
        assert code == 0, said
        assert where(head, "out") == {"bitfit": {"good"}}
        flat = " ".join(said.split())
        assert (
            flat.count("node bad: a worker cannot start there now, its trials run elsewhere: NotADirectoryError") == 1
        )
        assert flat.count("node bad is left out, its trials run elsewhere: no worker has started there for") == 1
        assert "trying again" not in flat
