"""`import finebench as fb`: a study from typed arguments or a file, run and read without the command line."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import finebench as fb

STUDY: dict[str, Any] = {
    "name": "small",
    "tasks": ["mini-mrpc"],
    "methods": {"bitfit": {"lr": 1e-2}, "head": {"lr": 1e-2}},
    "fractions": [0.1],
    "seeds": 6,
    "budget": {"steps": 4},
    "training": {"evals": 2},
    "claims": [{"id": "same", "says": "matches", "a": "bitfit", "b": "head", "margin": 0.9}],
}
DOCS = Path(__file__).parents[2] / "docs" / "python.md"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[fb.Results, str]:
    where = str(tmp_path_factory.mktemp("api") / "r")
    return fb.Study(**STUDY).run(where, debug=True, keep="all"), where


def test_frames_are_flat(run: tuple[fb.Results, str]) -> None:
    results, _ = run
    trials = results.trials_df()
    assert len(trials) == 12
    assert set(trials["status"]) == {"ok"}
    assert set(trials["hp_lr"]) == {1e-2}
    assert set(trials["budget_steps"]) == {4}
    assert "version_torch" in trials
    for frame in (trials, results.evals_df(), results.scores_df(), results.pairs_df(), results.costs_df()):
        assert len(frame)
        cells = (cell for row in frame.itertuples(index=False) for cell in row)
        assert not any(isinstance(cell, str) and cell.startswith(("{", "[")) for cell in cells)
    assert set(results.scores_df()["method"]) == {"bitfit", "head"}
    assert set(results.costs_df()["method"]) == {"bitfit", "head"}
    assert list(results.claims_df()["id"]) == ["same"]


def test_predictions_are_of_the_trials_that_are_asked_for(run: tuple[fb.Results, str]) -> None:
    results, _ = run
    trials = results.trials_df()
    one = trials["trial_id"][0]
    assert set(results.predictions_df(trial_ids=[one])["trial_id"]) == {one}
    assert set(results.predictions_df(method="head")["trial_id"]) == set(trials["trial_id"][trials["method"] == "head"])
    assert results.predictions_df(task="mini-cola").empty


def test_several_folders_are_told_apart(run: tuple[fb.Results, str]) -> None:
    _, where = run
    both = fb.load(where, Path(where))
    assert both.trials_df()["folder"].value_counts().to_dict() == {where: 24}
    with pytest.raises(fb.InputError, match="about one results folder; 2 were loaded"):
        both.claim(says="better", a="bitfit", b="head")


def test_a_claim_of_the_readers_own_is_marked_as_exploratory(run: tuple[fb.Results, str]) -> None:
    results, _ = run
    found = results.claim(says="matches", a="bitfit", b="head", margin=0.9)
    stated = results.claims_df().iloc[0]
    assert found.exploratory
    assert (found.verdict, found.estimate) == (stated["verdict"], stated["estimate"])
    assert str(found).endswith("; exploratory")
    with pytest.raises(fb.InputError, match="wins"):
        results.claim(says="wins", a="bitfit", b="head")


def test_figures_are_charts(run: tuple[fb.Results, str]) -> None:
    results, _ = run
    assert results.plot.overview.to_dict()
    assert set(dir(results.plot)) == {name.replace("-", "_") for name in results.plot}
    with pytest.raises(AttributeError, match="no figure 'overvieww'; there are overview"):
        results.plot.overvieww  # noqa: B018
    with pytest.raises(fb.InputError, match="overview"):
        results.plot["overvieww"]


def test_a_kept_model_comes_back(run: tuple[fb.Results, str]) -> None:
    results, _ = run
    model, tokenizer = results.model(results.trials_df()["trial_id"][0])
    assert model(**tokenizer("a sentence", return_tensors="pt")).logits.shape == (1, 2)
    with pytest.raises(fb.InputError, match="no delta was kept"):
        results.model("0" * 20)


def test_a_plan_trains_nothing() -> None:
    plan = fb.Study(**STUDY).plan()
    assert (plan.trials, len(plan.cells), plan.no_verdict) == (12, 2, ())
    assert str(plan).startswith("12 trials in 2 cells")
    assert isinstance(plan.cells, pd.DataFrame)


def test_a_shipped_study_is_read_by_its_name() -> None:
    study = fb.Study.from_yaml("quickstart", set=["seeds=2"])
    assert (study.spec.name, study.spec.seeds) == ("quickstart", 2)


def test_what_is_wrong_is_one_message() -> None:
    with pytest.raises(fb.InputError, match=r"Study\('small'\): .*did you mean 'bitfit'"):
        fb.Study(**STUDY | {"methods": {"bitfitt": {}}})
    with pytest.raises(fb.InputError, match="does not exist"):
        fb.load("no/such/folder")


def test_the_pages_lines_run(run: tuple[fb.Results, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the results of the study above for those of the page's."""
    _, where = run
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", DOCS.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        lines = [line for line in block.splitlines() if ".run(" not in line]
        exec("\n".join(lines).replace("results/my-study", where).replace("my-study.yaml", "quickstart"), names)
    assert len(names["results"].claims_df()) == 1


def test_a_claim_without_an_interval_is_a_sentence_too() -> None:
    claim = fb.Claim("a costs less than b", "inconclusive", "one run", 1.25, None, None, None)
    assert str(claim) == "a costs less than b: inconclusive, 1.25; exploratory"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"keep": "bset"}, "best"),
        ({"debug": True, "address": "auto"}, "--address auto"),
        ({"keep": "all", "address": "auto"}, "URI that every node reaches"),
        ({"data": "not-there"}, "does not exist"),
    ],
)
def test_options_are_checked_as_the_commands_are(tmp_path: Path, options: dict[str, Any], says: str) -> None:
    with pytest.raises(fb.InputError, match=says):
        fb.Study(**STUDY).run(str(tmp_path / "r"), **options)
    assert not (tmp_path / "r").exists()
