"""Every input that fuzzing found worth keeping, and a few that a stranger would try first."""

import random
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS, made

CORPUS = Path(__file__).parent / "corpus"


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_raises_only_what_is_documented(name: str) -> None:
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("table", ["trials", "evals", "predictions"])
def test_bytes_flipped_in_sound_files(table: str) -> None:
    dice = random.Random(3)
    kind = ["trials", "evals", "predictions"].index(table)
    sound = made(table, b"1")
    for _ in range(150):
        data = bytearray(sound)
        for _ in range(dice.randrange(1, 4)):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        TARGETS["results"](bytes([kind]) + bytes(data[: dice.choice([len(data), dice.randrange(len(data))])]))
