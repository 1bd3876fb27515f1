"""A study whose trials no node has room for is refused, or waits for what an autoscaler brings, and says so."""

from pathlib import Path
from typing import Any

import pytest

from finebench.bench.driver.ray.nodes.autoscaler import Autoscaler, Kind, cluster_file, parsed
from finebench.bench.driver.ray.nodes.capacity import (
    able,
    able_to_come,
    busy,
    check,
    check_here,
    cpus,
    demand,
    slots,
)
from finebench.bench.driver.ray.nodes.roster import Node
from finebench.bench.util.errors import StudyError
from finebench.bench.util.safe_yaml import parse_yaml
from tests.bench.tiny import tiny_study

ROOT = Path(__file__).parents[5]
HEAD = Node("0", "head", "10.0.0.1", 0, 0, head=True)
SMALL = [HEAD, Node("1", "w1", "10.0.0.2", 2, 0), Node("2", "w2", "10.0.0.3", 2, 0)]
WITH_GPU = [*SMALL, Node("3", "w3", "10.0.0.4", 1, 1)]


def nothing() -> Autoscaler | None:
    """No autoscaler."""
    return None


def test_each_node_counts_and_not_their_sum() -> None:
    assert check(tiny_study(resources={"cpu": 2}), SMALL, nothing) == []
    with pytest.raises(StudyError, match=r"resources: 3 CPUs on one node asked for, and the cluster has w1 \(2 CPUs\)"):
        check(tiny_study(resources={"cpu": 3}), SMALL, nothing)


def test_a_gpu_counts_with_the_cpus_beside_it() -> None:
    asked: dict[str, Any] = {"resources": {"cpu": 2, "gpu": 1}}
    with pytest.raises(StudyError, match=r"2 CPUs, 1 GPU on one node asked for.* w3 \(1 CPU, 1 GPU\)"):
        check(tiny_study(**asked), WITH_GPU, nothing)
    with pytest.raises(StudyError, match="2 CPUs, 1 GPU on one node"):  # auto takes a GPU where there is one
        check(tiny_study(resources={"cpu": 2}), WITH_GPU, nothing)
    assert check(tiny_study(resources={"gpu": 0.5}), WITH_GPU, nothing) == []


def test_ranks_may_stand_on_several_nodes() -> None:
    """Each of them whole on one."""
    assert check(tiny_study(resources={"gpu": 0, "ranks": 4}), SMALL, nothing) == []
    with pytest.raises(StudyError, match="2 CPUs for each of 3 ranks asked for, and the cluster has w1"):
        check(tiny_study(resources={"gpu": 0, "cpu": 2, "ranks": 3}), SMALL, nothing)
    with pytest.raises(StudyError, match="1 CPU, 1 GPU for each of 2 ranks asked for"):
        check(tiny_study(resources={"gpu": 2}), WITH_GPU, nothing)
    [note] = check(tiny_study(resources={"gpu": 2}), WITH_GPU, lambda: Autoscaler((Kind("l4", 4, 1, 1),)))
    assert note.endswith("waiting for the autoscaler to bring l4 (up to 1, each 4 CPUs, 1 GPU)")
    with pytest.raises(StudyError, match="could never start"):
        check(tiny_study(resources={"gpu": 3}), WITH_GPU, lambda: Autoscaler((Kind("l4", 4, 1, 1),)))
    pair = tiny_study(resources={"gpu": 0, "ranks": 2})
    assert busy(pair, SMALL, [Node("1", "w1", "10.0.0.2", 1, 0)])
    assert not busy(pair, SMALL, [Node("1", "w1", "10.0.0.2", 1, 0), Node("2", "w2", "10.0.0.3", 1, 0)])


def test_a_method_of_its_own_is_named() -> None:
    methods = {"full": {"lr": [1e-3]}, "bitfit": {"lr": [5e-3], "resources": {"cpu": 9}}}
    with pytest.raises(StudyError, match=r"methods\.bitfit\.resources: 9 CPUs on one node.*--set methods\.bitfit\."):
        check(tiny_study(methods=methods), SMALL, nothing)


def test_what_an_autoscaler_may_bring_is_waited_for() -> None:
    study, l4 = tiny_study(resources={"gpu": 1}), Kind("l4", 4, 1, 8)
    [note] = check(study, SMALL, lambda: Autoscaler((l4,)))
    assert note.endswith(r"waiting for the autoscaler to bring l4 (up to 8, each 4 CPUs, 1 GPU)")
    [note] = check(study, SMALL, lambda: Autoscaler(None))
    assert "waiting for the autoscaler, which does not say" in note
    for useless in (Kind("cpu", 16, 0, 8), Kind("l4", 4, 1, 0)):
        with pytest.raises(StudyError, match=f"the cluster file allows {useless.name} .*never start"):
            check(study, SMALL, lambda kind=useless: Autoscaler((kind,)))  # type: ignore[misc]


def test_types_labels_and_custom_resources_are_asked_of_each_node() -> None:
    h100 = Node("3", "w3", "10.0.0.4", 8, 1, others={"accelerator_type:H100": 1}, labels={"zone": "a"})
    there = [*SMALL, h100]
    assert check(tiny_study(resources={"accelerator": "H100", "labels": {"zone": "a"}}), there, nothing) == []
    with pytest.raises(StudyError, match=r"resources: 1 CPU, 1 GPU, A100 on one node.* w3 \(8 CPUs, 1 GPU, H100\).*"):
        check(tiny_study(resources={"accelerator": "A100"}), there, nothing)
    with pytest.raises(StudyError, match=r"zone: !a on one node.*w3 \(8 CPUs, 1 GPU, zone: a\).*resources\.labels=…"):
        check(tiny_study(resources={"labels": {"zone": "!a"}, "gpu": 1}), there, nothing)
    methods = {"full": {"lr": [1e-3]}, "bitfit": {"lr": [5e-3], "resources": {"custom": {"fpga": 1}}}}
    with pytest.raises(StudyError, match=r"methods\.bitfit\.resources: .*1 fpga on one node.*resources\.custom=…"):
        check(tiny_study(methods=methods), there, nothing)


def test_a_type_that_is_named_waits_for_a_gpu_where_there_is_none() -> None:
    study = tiny_study(resources={"accelerator": "L4"})
    l4 = Kind("l4", 4, 1, 8, {"accelerator_type:L4": 1})
    [note] = check(study, SMALL, lambda: Autoscaler((l4,)))
    assert "1 CPU, 1 GPU, L4 on one node asked for" in note
    assert note.endswith("waiting for the autoscaler to bring l4 (up to 8, each 4 CPUs, 1 GPU, L4)")
    with pytest.raises(StudyError, match=r"the cluster file allows a10g \(up to 8, each 4 CPUs, 1 GPU, A10G\)"):
        check(study, SMALL, lambda: Autoscaler((Kind("a10g", 4, 1, 8, {"accelerator_type:A10G": 1}),)))


def test_a_cluster_file_says_what_its_nodes_have() -> None:
    types = {
        "head": {"resources": {"CPU": 1}},
        "l4": {"resources": {"CPU": 4, "GPU": 1, "accelerator_type:L4": 1}, "labels": {"zone": "a"}, "max_workers": 3},
    }
    found = parsed({"max_workers": 9, "head_node_type": "head", "available_node_types": types})
    assert found == Autoscaler((Kind("l4", 4, 1, 3, {"accelerator_type:L4": 1}, {"zone": "a"}),), 9)


def test_only_nodes_that_trials_may_run_on_are_places() -> None:
    study = tiny_study(resources={"labels": {"zone": "a"}})
    mine = Node("3", "w3", "10.0.0.4", 8, 0, labels={"zone": "a"})
    assert able(study, [*SMALL, mine]) == [mine]
    kinds = (Kind("a", 4, 0, 8, labels={"zone": "a"}), Kind("b", 4, 0, 8))
    assert able_to_come(study, [], Autoscaler(kinds, 8)) == Autoscaler(kinds[:1], 8)
    assert able_to_come(study, [], Autoscaler(None)) == Autoscaler(None)


def test_this_machine_alone_is_refused_what_it_does_not_have() -> None:
    here = [Node("1", "here", "127.0.0.1", 2, 0, others={"memory": 4 * 2**30})]
    check_here(tiny_study(resources={"memory": "4GiB"}), here)
    with pytest.raises(StudyError, match=r"8 GiB of memory asked for, and this machine has 2 CPUs, 4 GiB of memory"):
        check_here(tiny_study(resources={"memory": "8GiB"}), here)
    with pytest.raises(StudyError, match=r"zone: a asked for, and this machine has 2 CPUs; .*--address"):
        check_here(tiny_study(resources={"labels": {"zone": "a"}}), here)


def test_the_cluster_file_of_this_project_allows_what_it_says(tmp_path: Path) -> None:
    """As the head's monitor is started with it."""
    (tmp_path / "17").mkdir()
    words = ["python", "/there/monitor.py", "--gcs-address=1:1", f"--autoscaling-config={ROOT / 'cluster.yaml'}"]
    (tmp_path / "17/cmdline").write_text("\0".join(words))
    text = cluster_file(tmp_path)
    assert text is not None
    found = parsed(parse_yaml(text, "cluster.yaml"))
    assert found == Autoscaler((Kind("l4", 4, 1, 8), Kind("a10g", 4, 1, 8)), 8)
    assert cluster_file(tmp_path / "17") is None


def test_slots_in_use_by_others_are_told_from_slots_that_are_not_there() -> None:
    study, full = tiny_study(resources={"cpu": 2}), [HEAD, Node("1", "w1", "10.0.0.2", 1, 0)]
    assert busy(study, SMALL, full)
    assert not busy(study, SMALL, SMALL)
    assert not busy(study, full, full)  # no node has room for a trial, free or not


def test_cpus_are_those_there_or_those_that_a_cluster_file_allows() -> None:
    assert cpus(WITH_GPU, None) == 5
    assert cpus([HEAD], Autoscaler(None)) == 0
    l4, cpu = Kind("l4", 4, 1, 3), Kind("cpu", 16, 0, 10)
    assert cpus([HEAD], Autoscaler((cpu, l4), 5)) == 3 * 4 + 2 * 16
    assert cpus(WITH_GPU, Autoscaler((l4,), 1)) == 5


def test_slots_are_those_of_nodes_or_of_what_a_cluster_file_allows() -> None:
    """Of a method that asks for GPUs the kinds that have them, up to the bound of them all."""
    l4, cpu = Kind("l4", 4, 1, 3), Kind("cpu", 16, 0, 10)
    methods = {"full": {"lr": [1e-3]}, "bitfit": {"lr": [5e-3], "resources": {"cpu": 3, "gpu": 1}}}
    study = tiny_study(methods=methods)
    assert slots(study, SMALL, 0, None) == {"full": 4, "bitfit": 1}
    assert slots(study, SMALL, 0, Autoscaler(None)) == {"full": 4, "bitfit": 1}
    assert slots(study, SMALL, 0, Autoscaler((l4, cpu), 5)) == {"full": 5 * 16, "bitfit": 3}
    assert slots(study, SMALL, 0, Autoscaler((l4, cpu))) == {"full": 3 * 4 + 10 * 16, "bitfit": 3}
    assert slots(study, [*SMALL] * 9, 0, Autoscaler((l4,))) == {"full": 36, "bitfit": 3}
    assert slots(tiny_study(resources={"gpu": 2}), [HEAD], 0, Autoscaler((l4,)))["full"] == 1


def test_an_autoscaler_of_unknown_kinds_sees_more_than_two_packs() -> None:
    """A head that offers no CPU, as on Kubernetes, and no worker yet."""
    assert demand(0, Autoscaler(None)) == 32
    assert demand(100, Autoscaler(None)) == 100
    assert demand(8, Autoscaler((Kind("l4", 4, 1, 2),))) == 8
    assert demand(3, None) == 0
