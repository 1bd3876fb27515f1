"""`finebench new`: a file that is a study, says every key, and overwrites nothing."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from bench.budget import Budget
from bench.claim_needs import needs
from bench.claim_seeds import LEAST_PAIRS, LEAST_PAIRS_OF_SPREAD
from bench.errors import StudyError
from bench.new import study_name, template, write_new
from bench.plan import Plan
from bench.study import (
    CrossedSeeds,
    DataFiles,
    GridSearch,
    OptunaSearch,
    OwnTask,
    Resources,
    Select,
    Study,
    Training,
)
from bench.study_file import load_study


def test_what_is_written_is_a_study_under_its_own_name(tmp_path: Path) -> None:
    written = write_new(tmp_path / "my-study")
    assert written == tmp_path / "my-study.yaml"
    study = load_study(str(written))
    assert study.name == "my-study"
    assert study.model == "embedded"
    assert Plan(study).count() == 192
    assert f"finebench run {written}" in written.read_text(encoding="utf-8")


PARTS = [Study, Training, Select, Resources, GridSearch, OptunaSearch, CrossedSeeds, OwnTask, DataFiles, Budget]


PARTS = [Study, Training, Select, Resources, GridSearch, OptunaSearch, CrossedSeeds, OwnTask, DataFiles, Budget]


@pytest.mark.parametrize("part", PARTS)
def test_every_key_is_shown(part: type[BaseModel]) -> None:
    text = template()
    unsaid = [key for key in part.model_fields if re.search(rf"\b{key}\b", text) is None]
    assert unsaid == []


def test_it_says_what_a_verdict_needs_and_has_it() -> None:
    needed = re.findall(r"verdict on a claim needs (\d+) pairs, one on varies_more over seeds (\d+)", template())
    assert needed == [(str(LEAST_PAIRS), str(LEAST_PAIRS_OF_SPREAD))]
    assert needs(load_study("template")) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("mine", encoding="utf-8")
    with pytest.raises(StudyError, match="exists; give another path"):
        write_new(file)
    assert file.read_text(encoding="utf-8") == "mine"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="does not exist"):
        write_new(tmp_path / "nowhere" / "a.yaml")


@pytest.mark.parametrize(
    ("stem", "name"), [("a b", "a-b"), ("étude", "tude"), ("..x", "x"), ("日本", "study"), ("x" * 200, "x" * 100)]
)
def test_names_are_file_name_safe(tmp_path: Path, stem: str, name: str) -> None:
    assert study_name(stem) == name
