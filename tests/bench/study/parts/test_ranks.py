"""How many ranks a trial has, by what its study asks for; what contradicts itself is refused."""

from pathlib import Path
from typing import Any

import pytest

from finebench.bench.study.load import build_study
from finebench.bench.study.parts.training import Resources
from finebench.bench.study.plan import Plan
from finebench.bench.util.errors import StudyError
from tests.bench.tiny import tiny_study


@pytest.mark.parametrize(
    ("asked", "ranks", "each"),
    [
        ({}, 1, "auto"),
        ({"gpu": 0}, 1, 0),
        ({"gpu": 0.5}, 1, 0.5),
        ({"gpu": 1}, 1, 1),
        ({"gpu": 2}, 2, 1),
        ({"gpu": 4, "shard": "full"}, 4, 1),
        ({"gpu": 2, "ranks": 2}, 2, 1),
        ({"ranks": 2}, 2, "auto"),
        ({"gpu": 0, "ranks": 2}, 2, 0),
        ({"gpu": "auto", "ranks": 3, "shard": "full"}, 3, "auto"),
    ],
)
def test_a_whole_gpu_for_each_rank(asked: dict[str, Any], ranks: int, each: Any) -> None:
    found = tiny_study(resources=asked).resources
    assert (found.number, found.each) == (ranks, each)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"gpu": 0.5, "ranks": 2}, "2 ranks train on one GPU each, so gpu is 2, 0 or auto, not 0.5"),
        ({"gpu": 4, "ranks": 2}, "2 ranks train on one GPU each, so gpu is 2, 0 or auto, not 4"),
        ({"gpu": 2, "ranks": 1}, "one rank trains on one GPU"),
        ({"gpu": 2, "pack": 4}, "pack 4: a trial on several ranks is trained alone"),
        ({"shard": "full"}, "shard: full divides a model among ranks"),
        ({"gpu": 1.5}, "gpu is auto, 0, a share between 0 and 1, or a whole number"),
        ({"ranks": 0}, "ranks"),
        ({"gpu": 0, "ranks": 9}, "9 ranks divide each batch of training.batch_size: 8"),
    ],
)
def test_what_contradicts_itself_is_refused(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        tiny_study(resources=asked)


def test_a_method_that_reads_its_encoder_once_takes_no_shards() -> None:
    raw = {"methods": {"head": {"lr": [1e-3]}}, "resources": {"gpu": 2, "shard": "full"}}
    with pytest.raises(StudyError, match=r"'head' reads its encoder once.*methods\.head\.resources\.shard: none"):
        tiny_study(**raw)
    tiny_study(methods={"head": {"lr": [1e-3], "resources": {"shard": "none"}}}, resources={"gpu": 2, "shard": "full"})


def test_trials_have_what_their_method_asks_for() -> None:
    """And those on one rank the ids that they have without the key."""
    own = {"full": {"lr": [1e-3], "resources": {"ranks": 2, "shard": "full"}}, "bitfit": {"lr": [5e-3]}}
    plan, plain = Plan(tiny_study(methods=own, resources={"gpu": 0})), Plan(tiny_study())
    assert isinstance(plan.study.resources, Resources)
    assert build_study(plain.study.model_dump(exclude_unset=True), "again.yaml", Path(".")) == plain.study
    from tests.bench.tiny import tiny_prepared

    known = tiny_prepared().known
    made = {one.method: one for one in plan.grid(known)}
    before = {one.method: one for one in plain.grid(known)}
    assert (made["full"].ranks, made["full"].shard) == (2, "full")
    assert (made["bitfit"].ranks, made["bitfit"].shard) == (1, "none")
    assert made["bitfit"].id == before["bitfit"].id
    assert made["full"].id != before["full"].id
    assert type(made["full"]).from_json(made["full"].to_json()) == made["full"]
