"""best.yaml: what was chosen, as a study that reads back exactly."""

import io
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.scores.best_study import best_study
from finebench.analysis.scores.scores import scores
from finebench.bench.methods import method
from finebench.bench.study.load import load_study
from finebench.bench.study.plan import Plan
from finebench.bench.study.search_space import parse_space
from tests.analysis.fixtures import Folder, empty


def best(folder: Folder) -> Any:
    results = load_results(folder.write())
    table = runs(results)
    text = best_study(results.study, scores(table, Expectation(results.plan, table)))
    return None if text is None else YAML(typ="safe", pure=True).load(io.StringIO(text))


def test_each_method_at_its_best_and_tasks_that_differ(tmp_path: Path) -> None:
    methods = {"one": {"lr": [1e-5, 1e-3], "resources": {"gpu": 0.5}}}
    folder = empty(tmp_path, tasks=["alpha", "beta", "gamma"], methods=methods, claims=[{"id": "c"}], seeds=4)
    for task, lr in (("alpha", 1e-5), ("beta", 1e-3), ("gamma", 1e-5)):
        folder.add(task=task, lr=lr, hp={"shape": "wide", "on": True, "p": None}, select_score=0.9)
        folder.add(task=task, lr=5e-4, hp={"shape": "wide", "on": True, "p": None}, select_score=0.1)
        folder.add(task=task, lr=7e-4, hp={"shape": "narrow", "on": True, "p": None}, fraction=0.1, select_score=0.99)
    made = best(folder)
    assert made["name"] == "small-best"
    assert made["methods"]["one"] == {
        "lr": 1e-5, "shape": "wide", "on": True, "p": None, "resources": {"gpu": 0.5},
        "per_task": {"beta": {"lr": 1e-3}},
    }  # fmt: skip
    assert isinstance(made["methods"]["one"]["lr"], float)
    assert (made["tasks"], made["fractions"], made["seeds"]) == (["alpha", "beta", "gamma"], [1.0], 4)
    assert made["budget"] == [{"epochs": 3.0, "min_steps": 200}]
    assert not {"claims", "search"} & set(made)
    space = parse_space({k: v for k, v in made["methods"]["one"].items() if k not in ("resources", "per_task")}, "x")
    assert (space.size, dict(space.distributions)) == (1, {})


def test_own_tasks_keep_their_declaration_and_unscored_ones_go(tmp_path: Path) -> None:
    own = {
        "name": "mine",
        "data": {"train": "a.csv", "validation": "b.csv"},
        "text": ["t"],
        "label": "y",
        "metric": ["accuracy"],
    }
    folder = empty(tmp_path, tasks=[own, "alpha"])
    folder.add(task="mine")
    folder.add(task="alpha", status="oom")
    assert best(folder)["tasks"] == [own]


def test_the_plugins_that_it_rests_on_are_named_and_given_to_its_command(tmp_path: Path) -> None:
    plugins = [{"file": "mine.py", "hash": "0123456789abcdef"}]
    folder = empty(tmp_path, plugins=plugins)
    folder.add()
    results = load_results(folder.write())
    table = runs(results)
    text = best_study(results.study, scores(table, Expectation(results.plan, table))) or ""
    assert YAML(typ="safe", pure=True).load(io.StringIO(text))["plugins"] == plugins
    assert text.splitlines()[1] == "# Run it: finebench run best.yaml --plugin mine.py"


@pytest.mark.parametrize("text", ["off", "1e-5", "null", "a: b", "#x", "é"])
def test_text_settings_read_back_as_text(tmp_path: Path, text: str) -> None:
    folder = empty(tmp_path)
    folder.add(hp={"kind": text})
    assert best(folder)["methods"]["one"]["kind"] == text


def test_no_study_and_no_score_give_none(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(status="error")
    assert best(folder) is None
    (tmp_path / "study.yaml").unlink()
    results = load_results(str(tmp_path))
    assert results.study == {}


def test_the_harness_accepts_it(tmp_path: Path) -> None:
    methods = {"full": {"lr": [1e-5, 2e-5]}, "adapter": {"lr": [1e-4], "variant": ["pfeiffer", "houlsby"]}}
    folder = empty(tmp_path, tasks=["cola", "mrpc"], methods=methods, seeds=2)
    for task, lr in (("cola", 1e-5), ("mrpc", 2e-5)):
        folder.add(task=task, method="full", lr=lr)
        settings = {key: value for key, value in method("adapter")().model_dump().items() if key != "lr"}
        folder.add(task=task, method="adapter", lr=1e-4, hp=settings)
    results = load_results(folder.write())
    table = runs(results)
    path = tmp_path / "best.yaml"
    path.write_text(best_study(results.study, scores(table, Expectation(results.plan, table))) or "", "utf-8")
    study = load_study(str(path))
    assert study.methods["full"] == {"lr": 1e-5, "per_task": {"mrpc": {"lr": 2e-5}}}
    assert Plan(study).count() == 2 * 2 * 2
