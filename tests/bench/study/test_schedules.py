"""Learning-rate schedules: what each gives, and that an unknown one is an error wherever it is named."""

import math
from pathlib import Path

import pytest

from finebench.bench.study.load import build_study
from finebench.bench.study.parts.training import Training
from finebench.bench.study.schedules import SCHEDULES, schedule
from finebench.bench.training.optimiser import learning_rate
from finebench.bench.util.errors import StudyError

EXPECTED = {
    "linear": lambda done: 1 - done,
    "constant": lambda done: 1.0,
    "cosine": lambda done: math.cos(math.pi * done / 2) ** 2,
}


def test_every_schedule_has_an_expectation() -> None:
    assert set(SCHEDULES) == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(SCHEDULES))
def test_what_a_schedule_gives(name: str) -> None:
    training = Training(warmup=0.2, schedule=name)
    found = [learning_rate(step, 10, 3.0, training) for step in range(1, 11)]
    assert found[:2] == [1.5, 3.0]
    assert found[2:] == pytest.approx([3.0 * EXPECTED[name](done / 8) for done in range(8)])


def test_an_unknown_schedule_is_an_error_with_choices_and_a_guess() -> None:
    words = "unknown schedule 'cosin'; did you mean 'cosine'.* choices: constant, cosine, linear"
    with pytest.raises(StudyError, match=words):
        schedule("cosin")
    raw = {"name": "s", "tasks": ["mini-cola"], "methods": {"full": {}}, "budget": {"steps": 2}}
    with pytest.raises(StudyError, match=rf"training\.schedule: {words}"):
        build_study(raw | {"training": {"schedule": "cosin"}}, "s.yaml", Path("."))
    with pytest.raises(StudyError, match=words):
        learning_rate(3, 10, 1.0, Training().model_copy(update={"schedule": "cosin"}))
