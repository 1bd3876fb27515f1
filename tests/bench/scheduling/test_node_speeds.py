"""A node is called slow where its trials took clearly longer than those of the same cell and shape elsewhere."""

import random
from typing import Any

import pytest

from finebench.bench.scheduling.node_speeds import LEAST, NodeSpeeds, slots_words


def row(node: str, seconds: float, method: str = "full", lr: float = 1e-3, **given: Any) -> dict[str, Any]:
    """A finished trial of a hundred steps."""
    about = {"task": "mini-cola", "method": method, "fraction": 1.0, "budget": "b", "status": "ok", "steps": 100}
    return about | {"hyperparameters": f'{{"lr": {lr}}}', "hostname": node, "train_seconds": seconds} | given


def speeds(*rows: dict[str, Any]) -> NodeSpeeds:
    made = NodeSpeeds()
    for one in rows:
        made.observe(one)
    return made


def test_the_slow_node_is_named_with_how_slow_it_is() -> None:
    rows = [row(node, 10.0 + i / 10) for node in ("w1", "w2", "w3") for i in range(LEAST)]
    found = speeds(*rows, *(row("w4", 20.4) for _ in range(LEAST))).slowest()
    assert found is not None
    assert (found.node, found.times) == ("w4", pytest.approx(2.0))
    assert found.words == "slowest node w4: a step takes 2.0 times as long as elsewhere"


def test_a_node_that_got_the_longer_trials_is_not_slow() -> None:
    """Each method is compared with itself, whatever its learning rate."""
    rows = [row("w1", 10.0, lr=lr) for lr in (1e-2, 1e-3, 1e-4)] + [row("w2", 10.5) for _ in range(LEAST)]
    rows += [row("w2", 90.0, "bitfit") for _ in range(LEAST)]
    assert speeds(*rows).slowest() is None
    rows += [row("w1", 91.0, "bitfit") for _ in range(LEAST)]
    assert speeds(*rows).slowest() is None


@pytest.mark.parametrize("times", [1.0, 1.1])
def test_noise_names_nobody(times: float) -> None:
    draw = random.Random(0)
    nodes = {"w1": 1.0, "w2": 1.0, "w3": times}
    rows = [row(node, 10 * pace * draw.uniform(0.9, 1.1)) for node, pace in nodes.items() for _ in range(8)]
    assert speeds(*rows).slowest() is None


def test_few_trials_and_those_without_times_say_nothing() -> None:
    fast = [row(node, 10.0) for node in ("w1", "w2") for _ in range(LEAST)]
    assert speeds(*fast, *(row("w3", 40.0) for _ in range(LEAST - 1))).slowest() is None
    packed = [row("w3", 40.0, train_seconds=None) for _ in range(LEAST)]
    failed = [row("w3", 40.0, status="error") for _ in range(LEAST)]
    assert speeds(*fast, *packed, *failed).slowest() is None
    assert speeds(*(row("w1", 10.0 * i) for i in range(1, 9))).slowest() is None  # one node alone


def test_now_and_then_is_not_mostly() -> None:
    """A few trials of a node took long; most did not."""
    fast = [row(node, 10.0) for node in ("w1", "w2") for _ in range(10)]
    mixed = [row("w3", seconds) for seconds in (9.9, 9.9, 9.9, 9.9, 13.0, 13.0, 13.0, 13.0, 13.0, 13.0)]
    assert speeds(*fast, *mixed).slowest() is None


def test_slots_in_words() -> None:
    assert slots_words(1, 1, 1) == "1 node, 1 slot in use, 1 pack waiting"
    assert slots_words(4, 12, 0) == "4 nodes, 12 slots in use, 0 packs waiting"
