"""`finebench new`: a file that is a study, says every key, and overwrites nothing."""

import csv
import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from finebench.analysis.claims.kinds.varies_more import LEAST_PAIRS_OF_SPREAD
from finebench.bench.cli.new import study_name, template, write_new
from finebench.bench.driver.forecast import forecast
from finebench.bench.study.claim_needs import needs
from finebench.bench.study.load import load_study
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.claim_kinds import LEAST_PAIRS
from finebench.bench.study.parts.own_task import DataFiles, DataHub, DataSplit, OwnTask
from finebench.bench.study.parts.search import CrossedSeeds, GridSearch, OptunaSearch
from finebench.bench.study.parts.training import Resources, Select, Training
from finebench.bench.study.plan import Plan
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import DataError, StudyError


def test_what_is_written_is_a_study_under_its_own_name(tmp_path: Path) -> None:
    written = write_new(tmp_path / "my-study")
    assert written == tmp_path / "my-study.yaml"
    study = load_study(str(written))
    assert study.name == "my-study"
    assert study.model == "embedded"
    assert Plan(study).count() == 192
    assert f"finebench run {written}" in written.read_text(encoding="utf-8")


PARTS = [Study, Training, Select, Resources, GridSearch, OptunaSearch, CrossedSeeds, OwnTask, DataFiles, DataSplit]
PARTS += [DataHub, Budget]


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


REVIEWS = [(f"p{i}", f"Title number {i}", f"this text of review {i} is long", i % 5 + 1, i % 7) for i in range(200)]


@pytest.mark.parametrize("columns", [("id", "title", "body", "stars", "votes"), ("id", "a b", "yes", "target", "c")])
def test_a_study_is_proposed_for_a_file(tmp_path: Path, columns: tuple[str, ...]) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "data/product reviews.csv"
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([columns, *REVIEWS])
    study = load_study(str(write_new(tmp_path / "mine.yaml", file)))
    (task,) = study.tasks
    assert isinstance(task, OwnTask)
    assert task.data == DataSplit(file=str(file), validation=0.2)
    assert (task.name, task.text, task.label) == ("product-reviews", list(columns[1:3]), columns[3])
    assert task.metric == ["macro_f1", "accuracy"]
    assert forecast(study, None)["tasks"]["product-reviews"]["classes"] == ["1", "2", "3", "4", "5"]


def test_scores_make_a_regression(tmp_path: Path) -> None:
    rows = "".join(f'{{"sentence": "some words {i}", "score": {i / 7}}}\n' for i in range(100))
    (tmp_path / "scores.jsonl").write_text(rows, encoding="utf-8")
    (task,) = load_study(str(write_new(tmp_path / "mine", tmp_path / "scores.jsonl"))).tasks
    assert isinstance(task, OwnTask)
    assert (task.text, task.label, task.metric) == (["sentence"], "score", ["pearson", "rmse"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("text\nsome words here\nand other words\n", "no column looks like a label"),
        ("id,label\n1,0\n2,1\n", "no column looks like a text; columns: id, label"),
        (
            "text,label\nsome words here,a\nand other words,a\n",
            r"labels are equal.*columns taken are text text, label label",
        ),
    ],
)
def test_no_study_is_proposed_for_a_file_that_cannot_be_used(tmp_path: Path, content: str, says: str) -> None:
    (tmp_path / "x.csv").write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match=says):
        write_new(tmp_path / "mine.yaml", tmp_path / "x.csv")
    assert not (tmp_path / "mine.yaml").exists()
