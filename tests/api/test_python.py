"""`import finebench as fb`: a study from typed arguments or a file, run and read without the command line."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import finebench as fb
from finebench._columns import COLUMNS
from finebench.bench.cli.show import status
from finebench.bench.driver.run import dump_study
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.study import plan as planning
from finebench.bench.study.waves import Waves, asked_of
from tests.analysis.fixtures import empty

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
    both = results.predictions_df(task="mini-mrpc", method="head", trial_ids=one)
    assert (list(both), len(both)) == (list(results.predictions_df()), 0)  # of bitfit: columns, and no row
    for wrong, says in (
        ({"task": "mini-mrcp"}, "unknown task 'mini-mrcp'; did you mean 'mini-mrpc'"),
        ({"method": "haed"}, "unknown method 'haed'; did you mean 'head'"),
        ({"trial_ids": ["nobody"]}, r"unknown trial 'nobody'; choices: \w{20}, .* and 2 more$"),
    ):
        with pytest.raises(fb.InputError, match=says):
            results.predictions_df(**wrong)  # type: ignore[arg-type]


def test_several_folders_are_told_apart(run: tuple[fb.Results, str]) -> None:
    _, where = run
    both = fb.load(where, Path(where))
    assert both.trials_df()["folder"].value_counts().to_dict() == {where: 24}
    assert len(both.predictions_df(method="head")) == 2 * len(fb.load(where).predictions_df(method="head"))
    for frame in (both.scores_df(), both.claims_df(), both.failures_df()):
        assert "folder" in frame
    says = r"claim is about one results folder, and 2 were loaded: fb.load\('.*'\).claim…; changes_df compares two"
    with pytest.raises(fb.InputError, match=says):
        both.claim(says="better", a="bitfit", b="head")
    with pytest.raises(fb.InputError, match="plot is about one results folder"):
        both.plot  # noqa: B018


def test_two_folders_are_compared(run: tuple[fb.Results, str]) -> None:
    results, where = run
    changes = fb.load(where, where).changes_df()
    assert dict(zip(changes["method"], changes["change"], strict=True)) == {"bitfit": "identical", "head": "identical"}
    with pytest.raises(fb.InputError, match=r"compares two results folders, and 1 were loaded: fb.load\(A, B\)"):
        results.changes_df()


def test_a_claim_of_the_readers_own_is_marked_as_exploratory(run: tuple[fb.Results, str]) -> None:
    results, _ = run
    found = results.claim(says="matches", a="bitfit", b="head", margin=0.9)
    stated = results.claims_df().iloc[0]
    assert found.exploratory
    assert (found.verdict, found.estimate, found.pairs) == (stated["verdict"], stated["estimate"], 6)
    assert found.level == 0.9  # equivalence is supported by the 90 % interval
    assert f"bitfit − head = {found.estimate:.4g} (90 %: " in str(found)
    assert str(found).endswith("; exploratory")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"says": "wins"}, "claim: says: 'wins' is not one of .*better"),
        ({"says": None}, "claim: says: text is needed"),
        ({"margn": 1}, "claim: unknown key 'margn'; did you mean 'margin'"),
        ({"b": "haed"}, "claim: unknown method 'haed'; did you mean 'head'"),
        ({"b": "bitfit"}, "claim: 'bitfit' is compared with itself"),
        ({"tasks": ["mini-mrcp"]}, "claim.tasks: unknown task 'mini-mrcp'; did you mean 'mini-mrpc'"),
        ({"fraction": 0.11}, "claim: unknown fraction '0.11'; did you mean '0.1'"),
        ({"budget": {"steps": 5}}, "claim: unknown budget"),
        ({"budget": {"stepz": 4}}, "claim: budget: unknown key 'stepz'; did you mean 'steps'"),
        ({"over": "sedes"}, "claim: over: one of seeds, lr is needed .* did you mean 'seeds'"),
    ],
)
def test_what_is_wrong_with_a_claim_is_said_in_our_words(
    run: tuple[fb.Results, str], change: dict[str, Any], says: str
) -> None:
    results, _ = run
    with pytest.raises(fb.InputError, match=says):
        results.claim(**{"says": "better", "a": "bitfit", "b": "head"} | change)
    with pytest.raises(fb.InputError, match="claim: a: this key is missing"):
        results.claim(says="better")  # type: ignore[call-arg]


def test_figures_are_charts(run: tuple[fb.Results, str]) -> None:
    results, _ = run
    assert results.plot.overview.to_dict()
    assert set(dir(results.plot)) == {name.replace("-", "_") for name in results.plot}
    with pytest.raises(AttributeError, match="no figure 'overvieww'; there are overview"):
        results.plot.overvieww  # noqa: B018
    with pytest.raises(fb.InputError, match="overview"):
        results.plot["overvieww"]
    assert results.plot.get("overvieww") is None
    assert results.plot.get("overview").to_dict() == results.plot.overview.to_dict()


def test_a_kept_model_comes_back(run: tuple[fb.Results, str]) -> None:
    results, _ = run
    model, tokenizer = results.model(results.trials_df()["trial_id"][0])
    assert model(**tokenizer("a sentence", return_tensors="pt")).logits.shape == (1, 2)
    with pytest.raises(fb.InputError, match="unknown trial '0000'"):
        results.model("0000")


def test_a_plan_trains_nothing_and_lists_its_trials() -> None:
    with pytest.raises(ValueError, match="slots are 1 or more, not 0"):
        fb.Study(**STUDY).plan(slots=0)
    on_slots = fb.Study(**STUDY).plan(slots=4).on_slots
    assert on_slots is not None
    assert on_slots["slots"] == 4
    assert on_slots["seconds"] >= on_slots["bound"] > 0
    plan = fb.Study(**STUDY).plan()
    assert plan.on_slots is None
    assert (plan.n_trials, plan.n_there, len(plan.cells), plan.no_verdict, plan.waves) == (12, 0, 2, (), None)
    assert str(plan).startswith("12 trials in 2 cells, about ")
    trials = plan.trials_df()
    assert len(trials) == 12
    assert not trials["there"].any()
    assert set(trials["seed"]) == set(range(1, 7))
    assert set(trials["hp_lr"]) == {1e-2}
    assert plan.seconds == pytest.approx(trials["seconds"].sum() / plan.cores)
    assert "{" not in "".join(map(str, plan.cells.to_numpy().ravel()))


def test_a_plan_knows_what_a_folder_has(run: tuple[fb.Results, str]) -> None:
    results, where = run
    more = fb.Study(**STUDY | {"seeds": 8}).plan(where)
    assert (more.n_trials, more.n_there) == (16, 12)
    trials = more.trials_df()
    there = trials[trials["there"]]
    assert set(there["trial_id"]) == set(results.trials_df()["trial_id"])
    assert set(there["status"]) == {"ok"}
    assert set(trials.loc[~trials["there"], "seed"]) == {7, 8}
    assert more.seconds == pytest.approx(trials.loc[~trials["there"], "seconds"].sum() / more.cores)
    with pytest.raises(fb.InputError, match="holds another study"):
        fb.Study(**STUDY | {"name": "another"}).plan(where)


def test_a_shard_is_a_part_of_the_trials(run: tuple[fb.Results, str], tmp_path: Path) -> None:
    results, _ = run
    parts = [fb.Study(**STUDY).run(tmp_path / number, debug=True, shard=f"{number}/2") for number in ("1", "2")]
    ids = [set(one.trials_df()["trial_id"]) for one in parts]
    assert ids[0].isdisjoint(ids[1])
    assert ids[0] | ids[1] == set(results.trials_df()["trial_id"])
    with pytest.raises(fb.InputError, match=r"'3/2': give a shard's number"):
        fb.Study(**STUDY).run(tmp_path / "none", debug=True, shard="3/2")


def test_a_plan_of_seeds_in_waves_counts_what_the_interim_analyses_have_let_come(tmp_path: Path) -> None:
    """As `status` does: the first look of two has let one cell alone go on."""
    study = fb.Study(**STUDY | {"seeds": {"looks": [6, 9]}})
    most = study.plan(tmp_path)
    assert (most.n_trials, most.cells["trials"].sum()) == (18, 18)
    assert most.waves is not None
    assert [most.waves["looks"], most.waves["fewest"]["trials"], most.waves["most"]["trials"]] == [[6, 9], 12, 18]
    assert "run only where it leaves a claim open" in str(most)
    plan = planning.Plan(study.spec)
    keys = [cell.key for cell in plan.cells()]
    waves = Waves(study.spec, keys, lambda look: keys[:1])
    waves.look()
    looks = {"looks": [[6, 9]], "asked": [asked_of(study.spec)]}
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    folder.write_bytes("study.yaml", dump_study(study.spec).encode())
    folder.write_json("plan.json", plan.to_json(waves, {}) | looks)
    come = study.plan(tmp_path)
    assert come.n_trials == status(str(tmp_path))["planned"] == 15
    assert len(come.trials_df()) == come.cells["trials"].sum() == 15
    assert come.trials_df().groupby("method")["seed"].max().tolist() == [9, 6]
    assert come.seconds == pytest.approx(come.trials_df()["seconds"].sum() / come.cores)
    assert "a further one may bring more" in str(come)


def test_a_plan_of_a_search_counts_what_it_cannot_know() -> None:
    search: fb.keys.Search = {"optuna": {"trials": 3, "seeds": 2, "confirm_seeds": 4}}
    space = {"head": {"lr": {"loguniform": [1e-4, 1e-2]}}}
    plan = fb.Study(**STUDY | {"search": search, "methods": space, "claims": []}).plan()
    trials = plan.trials_df()
    assert trials["stage"].value_counts().to_dict() == {"search": 6, "confirm": 8}
    assert trials["seed"].isna().all()
    assert plan.n_trials == len(trials)


def test_a_plan_says_which_claims_get_no_verdict_and_what_to_set() -> None:
    said = str(fb.Study(**STUDY | {"seeds": 2}).plan())
    assert "no verdict on same as planned: " in said
    assert "; for a verdict: seeds=6" in said


def test_a_shipped_study_is_read_by_its_name() -> None:
    study = fb.Study.from_yaml("quickstart", set=["seeds=2"])
    assert (study.spec.name, study.spec.seeds) == ("quickstart", 2)


def test_what_is_wrong_is_one_message(tmp_path: Path) -> None:
    with pytest.raises(fb.InputError, match=r"Study\('small'\): .*did you mean 'bitfit'"):
        fb.Study(**STUDY | {"methods": {"bitfitt": {}}})
    with pytest.raises(fb.InputError, match=r"Study\('small'\): unknown key 'steps'; did you mean"):
        fb.Study(**STUDY, steps=3)
    with pytest.raises(fb.InputError, match=r"^Study\(\): name: this key is missing$"):
        fb.Study(**{key: value for key, value in STUDY.items() if key != "name"})
    with pytest.raises(fb.InputError, match=r"claims\[0\].budget: unknown key 'stepz'; did you mean 'steps'"):
        fb.Study(**STUDY | {"claims": [STUDY["claims"][0] | {"budget": {"stepz": 1}}]})
    with pytest.raises(fb.InputError, match=r"plugins\[0\]: a mapping such as .* \(given: 3\)"):
        fb.Study(**STUDY | {"plugins": [3]})
    with pytest.raises(fb.InputError, match=r"^Study\('small'\): fractions: fraction 0.001"):
        fb.Study(**STUDY | {"fractions": [0.001]}).plan()


def test_a_folder_without_trials_is_refused_when_it_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(fb.InputError, match="does not exist"):
        fb.load("no/such/folder")
    with pytest.raises(fb.InputError, match="holds no finished trial yet"):
        fb.load(tmp_path)
    with pytest.raises(fb.InputError, match="takes folders one by one"):
        fb.load([tmp_path])  # type: ignore[arg-type]


def test_a_study_takes_what_python_and_numpy_have(tmp_path: Path) -> None:
    study = STUDY | {
        "tasks": ("mini-mrpc",),
        "methods": {"head": {"lr": np.array([1e-3, 1e-2])}},
        "fractions": np.linspace(0.1, 0.2, 2),
        "seeds": range(1, 4),
        "budget": {"steps": np.int64(4)},
        "claims": [],
    }
    made = fb.Study(**study).spec
    assert (made.fractions, made.seeds, made.budget[0].steps) == ([0.1, 0.2], [1, 2, 3], 4)
    assert made.methods == {"head": {"lr": [1e-3, 1e-2]}}
    own = {"train": tmp_path / "a.csv", "validation": tmp_path / "b.csv"}
    task = {"name": "mine", "data": own, "text": ("title", "body"), "label": "stars", "metric": "accuracy"}
    (found,) = fb.Study(**study | {"tasks": [task]}).spec.tasks
    assert not isinstance(found, str)
    assert found.data.model_dump() == {key: str(path) for key, path in own.items()}


@pytest.mark.usefixtures("plugins_go")
def test_a_study_may_name_plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plugins_go: None) -> None:
    """Of the working directory, as its other relative paths are."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(Path(__file__).parents[1] / "bench" / "doors" / "half_way.py", "mine.py")
    (found,) = fb.Study(**STUDY, plugins=[Path("mine.py")]).spec.plugins
    assert found.file == "mine.py"


def test_an_override_may_be_one_text() -> None:
    assert fb.Study.from_yaml("quickstart", set="seeds=2").spec.seeds == 2


def test_things_say_what_they_are(run: tuple[fb.Results, str]) -> None:
    results, where = run
    said = "study small: bitfit and head on mini-mrpc, model embedded, 1 claim, 12 trials"
    assert repr(fb.Study(**STUDY)) == said
    assert repr(results) == f"results of small in {where}: 12 trials (12 ok), 2 methods on 1 task"
    assert results._repr_html_() == f"<p>{results!r}</p>"
    plan = fb.Study(**STUDY).plan()
    assert repr(plan) == str(plan)
    assert "<td>bitfit</td>" in plan._repr_html_()
    assert repr(results.plot).startswith("figures: overview, ")
    claim = results.claim(says="better", a="bitfit", b="head")
    assert repr(claim) == str(claim)


def test_failed_trials_are_there_with_their_reasons(tmp_path: Path) -> None:
    folder = empty(tmp_path, seeds=4)
    kept = [folder.add(seed=1), folder.add(seed=2)]
    folder.add(seed=3, status="oom", reason="out of memory at 3 GiB", score=None)
    folder.add(seed=4, status="diverged", reason="loss is not finite", score=None)
    results = fb.load(folder.write())
    failures = results.failures_df()
    assert dict(zip(failures["status"], failures["reason"], strict=True)) == {
        "oom": "out of memory at 3 GiB",
        "diverged": "loss is not finite",
    }
    assert list(failures) == list(results.trials_df())
    assert "(2 ok, 1 diverged, 1 oom)" in str(results)
    with pytest.raises(fb.InputError, match="no delta was kept"):
        results.model(kept[0])


def test_folders_are_compared_as_they_were_when_they_were_loaded(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add()
    where = folder.write()
    both = fb.load(where, where)
    folder.add(method="two")
    folder.write()
    assert list(both.changes_df()["method"]) == list(both.trials_df()["method"].unique()) == ["one"]
    assert list(fb.load(where, where).changes_df()["method"]) == ["one", "two"]


def test_a_folder_in_which_all_failed_can_be_looked_into(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(status="error", reason="RuntimeError: no", score=None)
    results = fb.load(folder.write())
    assert list(results.failures_df()["reason"]) == ["RuntimeError: no"]
    assert results.scores_df()["score"].isna().all()
    assert results.pairs_df().empty
    assert results.claims_df().empty


def test_trials_are_read_without_evaluations_and_predictions(tmp_path: Path) -> None:
    """Of a large folder these take most of the memory."""
    folder = empty(tmp_path)
    trial = folder.add(seed=1)
    folder.predict(trial, [0, 1])
    folder.curve(trial, [(1, 0.5, 0.5)])
    where = folder.write()
    for table in ("evals", "predictions"):
        (tmp_path / table / f"{trial}.parquet").write_bytes(b"not a table")
    results = fb.load(where)
    assert len(results.trials_df()) == 1
    assert results.failures_df().empty
    assert results.notes == ()
    assert results.evals_df().empty
    assert "evals" in results.notes[0]  # which says so once it has been read
    assert "evals" in str(results)


def test_progress_is_the_commands_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    study = fb.Study(**STUDY | {"seeds": 1, "claims": []})
    study.run(tmp_path / "a", debug=True)
    assert capsys.readouterr().out == ""
    study.run(tmp_path / "b", debug=True, progress=True)
    out = capsys.readouterr().out
    assert "2/2 trials done, 0 running, 0 failed" in out
    assert "this run: 2 ok; 0 there before" in out


FRAMES: dict[str, Callable[[fb.Results, str], pd.DataFrame]] = {
    "Results.evals_df": lambda results, where: results.evals_df(),
    "Results.predictions_df": lambda results, where: results.predictions_df(),
    "Results.scores_df": lambda results, where: results.scores_df(),
    "Results.pairs_df": lambda results, where: results.pairs_df(),
    "Results.costs_df": lambda results, where: results.costs_df(),
    "Results.changes_df": lambda results, where: fb.load(where, where).changes_df(),
    "Plan.trials_df": lambda results, where: fb.Study(**STUDY).plan().trials_df(),
    "Plan": lambda results, where: fb.Study(**STUDY).plan().cells,
}
WITH_REST = {
    "Results.trials_df": lambda results, where: results.trials_df(),
    "Results.claims_df": lambda results, where: results.claims_df(),
}
"""Those whose columns are a reference page's, and which name the first of them."""


def named_columns(what: str) -> list[str]:
    """The columns that a docstring names, as patterns."""
    owner, _, method = what.partition(".")
    found = getattr(fb, owner)
    text = (getattr(found, method) if method else found).__doc__
    listed = text[text.index("Columns") if "Columns" in text else text.index("`cells` has") :]
    names = re.findall(r"`([\w…]+)`", re.split(r"Raises|A failed|\(docs", listed)[0])
    if "(docs" in listed:
        names += re.findall(r"`([\w…]+)`", listed.partition("(docs")[2])
    return [name.replace("…", ".+") for name in names]


@pytest.mark.parametrize("what", FRAMES)
def test_every_column_of_a_frame_is_in_its_docstring(what: str, run: tuple[fb.Results, str]) -> None:
    columns, names = list(FRAMES[what](*run)), named_columns(what)
    assert [column for column in columns if not any(re.fullmatch(name, column) for name in names)] == []


@pytest.mark.parametrize("what", [*FRAMES, *WITH_REST])
def test_every_column_of_a_docstring_is_in_its_frame(what: str, run: tuple[fb.Results, str]) -> None:
    columns = list((FRAMES | WITH_REST)[what](*run))
    others = {"cells", "reference"} - set(columns)
    wrong = [name for name in named_columns(what) if not any(re.fullmatch(name, column) for column in columns)]
    assert set(wrong) - others - {"trials" if what == "Results.trials_df" else ""} == set()


def test_a_claim_without_an_interval_is_a_sentence_too() -> None:
    claim = fb.Claim(
        "a costs less than b", "inconclusive", "one run", "cost of b / cost of a", 1.25, None, None, None, 1, None
    )
    assert str(claim) == "a costs less than b: inconclusive, cost of b / cost of a = 1.25 (one run); exploratory"


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


def test_a_frame_is_the_readers_own(run: tuple[fb.Results, str]) -> None:
    results, _ = run
    for name in ("trials_df", "evals_df", "scores_df"):
        frame = getattr(results, name)()
        column = frame.columns[1]
        frame[column] = 77
        del frame[frame.columns[0]]
        again = getattr(results, name)()
        assert column in again
        assert set(again[column]) != {77}
        assert again.columns[0] not in frame


def test_a_frame_without_rows_has_the_columns_of_one_with_rows(run: tuple[fb.Results, str], tmp_path: Path) -> None:
    results, _ = run
    none = fb.Study(**STUDY | {"claims": [], "methods": {"head": {"lr": 1e-2}}}).run(tmp_path / "r", debug=True)
    for name in ("claims_df", "pairs_df"):
        empty_one, whole = getattr(none, name)(), getattr(results, name)()
        assert len(empty_one) == 0
        assert set(empty_one.columns) == {one for one in whole.columns if one != "budget_steps"}
    costs = {one for one in results.costs_df().columns if one != "budget_steps"}
    assert set(COLUMNS["efficiency"]) == costs


def test_overrides_may_be_a_mapping() -> None:
    study = fb.Study.from_yaml("quickstart", set={"seeds": 2, "tasks": ["mini-cola"], "claims": []})
    assert (study.spec.seeds, study.spec.task_names) == (2, ["mini-cola"])
    with pytest.raises(fb.InputError, match=r"set: .*a mapping of key.path to value, not 3"):
        fb.Study.from_yaml("quickstart", set=[3])  # type: ignore[list-item]


def test_what_is_no_folder_is_said_to_be_none(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(fb.InputError, match="is a file, and not a folder"):
        fb.load(tmp_path / "a.txt")
    with pytest.raises(fb.InputError, match="'' is no folder"):
        fb.load("")
    with pytest.raises(fb.InputError, match=r"one by one, .* not NoneType"):
        fb.load(None)  # type: ignore[arg-type]


def test_a_trial_may_be_named_by_the_beginning_of_its_id(run: tuple[fb.Results, str]) -> None:
    results, _ = run
    model, _ = results.model(results.trials_df()["trial_id"][0][:12])
    assert not model.training
    with pytest.raises(fb.InputError, match="unknown task"):
        results.predictions_df(task=["mini-mrpc"])  # type: ignore[arg-type]
