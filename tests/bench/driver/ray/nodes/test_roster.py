"""What Ray tells of its nodes, and where it puts what a pack asks for: on a cluster of nodes that train nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util.placement_group import remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from finebench.bench.driver.ray.gate import placement
from finebench.bench.driver.ray.nodes.asks import Ask
from finebench.bench.driver.ray.nodes.roster import Node, there
from tests.bench.tiny import tiny_study

SMALL = 80 * 2**20


@pytest.fixture(scope="module")
def nodes() -> Iterator[dict[str, Node]]:
    """By its zone: a plain node, one with an H100 by its own word, one with something of the user's."""
    cluster = Cluster()
    kinds: dict[str, dict[str, Any]] = {
        "a": {},
        "b": {"num_gpus": 1, "resources": {"accelerator_type:H100": 1}},
        "c": {"resources": {"fpga": 2}, "memory": 4 * 2**30},
    }
    for zone, more in kinds.items():
        given = {"num_cpus": 1, "object_store_memory": SMALL, "memory": 2**30, "include_dashboard": False} | more
        cluster.add_node(labels={"zone": zone}, **given)
    ray.init(address=cluster.address, log_to_driver=False)
    yield {node.labels["zone"]: node for node in there()}
    ray.shutdown()
    cluster.shutdown()


def test_nodes_say_their_labels_types_and_custom_resources(nodes: dict[str, Node]) -> None:
    assert sorted(nodes) == ["a", "b", "c"]
    assert (nodes["b"].gpus, nodes["b"].others["accelerator_type:H100"]) == (1, 1)
    assert (nodes["c"].others["fpga"], nodes["c"].others["memory"]) == (2, 4 * 2**30)


@pytest.mark.parametrize(
    ("asked", "zone"),
    [
        ({"labels": {"zone": "in(c, d)"}}, "c"),
        ({"labels": {"zone": "!in(b, c)"}}, "a"),
        ({"accelerator": "H100"}, "b"),
        ({"custom": {"fpga": 1.0}}, "c"),
        ({"memory": "3GiB"}, "c"),
    ],
)
def test_ray_puts_a_pack_where_its_resources_say(nodes: dict[str, Node], asked: dict[str, Any], zone: str) -> None:
    """And where we say that there is room for it."""
    wanted = tiny_study(resources=asked).resources
    ask = Ask(wanted.cpu, wanted.gpus(0), wanted.beside, wanted.labels or {})
    assert [name for name, node in nodes.items() if ask.fits(node)] == [zone]
    avoid = [node.id for name, node in nodes.items() if name != zone]
    config = {
        "cpus": ask.cpus,
        "gpu": ask.gpus,
        "beside": ask.others,
        "labels": ask.labels,
        "avoid": avoid[:1],
        "ranks": 1,
    }
    group = placement(config).to_placement_group()
    where = ray.remote(num_cpus=1)(lambda: ray.get_runtime_context().get_node_id())
    there = PlacementGroupSchedulingStrategy(group)
    try:
        assert ray.get(where.options(scheduling_strategy=there).remote(), timeout=120) == nodes[zone].id
    finally:
        remove_placement_group(group)
