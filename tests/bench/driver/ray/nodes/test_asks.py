"""What a trial asks of a node beside CPUs and GPUs: which nodes have it, and how that reads."""

import pytest
from ray._private.label_utils import validate_label_selector

from finebench.bench.driver.ray.nodes.asks import Ask, selects
from finebench.bench.driver.ray.nodes.roster import Node

GIB = 2**30


def node(labels: dict[str, str] | None = None, **others: float) -> Node:
    """One with two CPUs and a GPU."""
    named = {name.replace("accelerator_type_", "accelerator_type:"): amount for name, amount in others.items()}
    return Node("a", "w1", "10.0.0.2", 2, 1, others=named, labels=labels or {})


def test_all_that_is_asked_for_has_to_be_on_one_node() -> None:
    asked = Ask(1, 1, {"accelerator_type:H100": 0.001, "memory": 8 * GIB}, {"zone": "a"})
    whole = node({"zone": "a"}, accelerator_type_H100=1, memory=8 * GIB)
    assert asked.fits(whole)
    assert not asked.fits(node({"zone": "a"}, accelerator_type_A100=1, memory=8 * GIB))
    assert not asked.fits(node({"zone": "a"}, accelerator_type_H100=1, memory=8 * GIB - 1))
    assert not asked.fits(node({"zone": "b"}, accelerator_type_H100=1, memory=8 * GIB))


@pytest.mark.parametrize(
    ("selector", "value", "found"),
    [
        ("a", "a", True),
        ("a", "b", False),
        ("a", None, False),
        ("in(a, b)", "b", True),
        ("in(a,b)", "c", False),
        ("!a", "a", False),
        ("!a", None, True),
        ("!in(a, b)", "b", False),
        ("!in(a, b)", "c", True),
    ],
)
def test_selectors_are_read_as_ray_reads_them(selector: str, value: str | None, found: bool) -> None:
    assert selects(selector, value) is found
    assert validate_label_selector({"zone": selector}) is None


def test_what_is_asked_for_and_what_is_there_are_told_in_the_same_words() -> None:
    asked = Ask(2, 1, {"accelerator_type:H100": 0.001, "memory": 16 * GIB, "fpga": 2}, {"zone": "in(a, b)"})
    assert asked.shown == "2 CPUs, 1 GPU, H100, 16 GiB of memory, 2 fpga, zone: in(a, b)"
    there = node({"zone": "c", "disk": "ssd"}, accelerator_type_A100=1, memory=4 * GIB, object_store_memory=GIB)
    assert asked.there(there) == "2 CPUs, 1 GPU, A100, 4 GiB of memory, zone: c"
    assert Ask(1, 0).there(there) == "2 CPUs, 1 GPU"
