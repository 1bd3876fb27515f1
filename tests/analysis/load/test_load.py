"""Loading: what is read, what is refused, and that the message names the file."""

from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.bench.util.errors import ResultsError
from tests.analysis.fixtures import START, empty, write_rows


def test_frames_study_and_plan(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    first = folder.add(seed=1)
    folder.add(seed=2)
    folder.curve(first, [(10, 0.6, 0.5), (20, 0.7, None)])
    folder.predict(first, [0, 1, 1])
    folder.plan("alpha", "one", 1.0, 6, 2)
    results = load_results(folder.write())
    assert len(results.trials) == 2
    assert results.study["name"] == "small"
    assert results.plan is not None
    assert results.evals[["step", "split", "value"]].values.tolist() == [
        [10, "score", 0.5],
        [10, "select", 0.6],
        [20, "select", 0.7],
    ]
    (part,) = results.predictions(["prediction"])
    assert part["prediction"].tolist() == [0, 1, 1]


def test_unfinished_files_are_ignored(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add()
    folder.write()
    (tmp_path / "trials" / "_half.parquet").write_bytes(b"PAR1")
    (tmp_path / "trials" / "notes.txt").write_text("not ours")
    assert len(load_results(str(tmp_path)).trials) == 1


def test_a_trial_in_two_files_is_taken_once(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    trial_id = folder.add(seed=1)
    folder.add(seed=2)
    folder.predict(trial_id, [0, 1])
    folder.curve(trial_id, [(10, 0.6, 0.5)])
    folder.write()
    for table in ("trials", "evals", "predictions"):
        write_rows(tmp_path / table / "merged.parquet", table, folder.rows[table])
    results = load_results(str(tmp_path))
    assert len(results.trials) == 2
    assert len(results.evals) == 2
    assert sum(map(len, results.predictions())) == 2
    assert sum(map(len, results.predictions(trial_ids=[trial_id]))) == 2


def test_a_result_is_kept_before_a_failure_and_a_pruned_row(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(status="ok", score=0.7, finished_at=START)
    folder.add(status="oom", finished_at=START + timedelta(hours=1))
    folder.add(status="pruned", stage="search", finished_at=START + timedelta(hours=2))
    rows = folder.rows["trials"]
    assert len({row["trial_id"] for row in rows}) == 1
    folder.write()
    (row,) = load_results(str(tmp_path)).trials.to_dict("records")
    assert (row["status"], row["score"]) == ("ok", 0.7)


def test_the_latest_of_two_results_is_kept(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(score=0.9, finished_at=START + timedelta(hours=1))
    folder.add(score=0.7, finished_at=START)
    folder.write()
    assert load_results(str(tmp_path)).trials["score"].tolist() == [0.9]


def test_no_folder_and_no_rows(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match=r"nowhere.* does not exist; `finebench run"):
        load_results(str(tmp_path / "nowhere"))
    with pytest.raises(ResultsError, match="holds no finished trial yet"):
        load_results(empty(tmp_path).write())
    with pytest.raises(ResultsError, match="cannot be opened"):
        load_results("nosuchscheme://bucket/run")


def test_damaged_files_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    good, bad = folder.add(seed=1), folder.add(seed=2)
    for trial_id in (good, bad):
        folder.curve(trial_id, [(10, 0.6, 0.5)])
        folder.predict(trial_id, [0, 1])
    folder.write()
    (tmp_path / "trials" / "broken.parquet").write_bytes(b"PAR1 this is no parquet PAR1")
    for table in ("evals", "predictions"):
        path = tmp_path / table / f"{bad}.parquet"
        path.write_bytes(path.read_bytes()[:-20])
    results = load_results(str(tmp_path))
    assert set(results.trials["trial_id"]) == {good, bad}
    assert set(results.evals["trial_id"]) == {good}
    assert [set(part["trial_id"]) for part in results.predictions()] == [{good}]
    names = ("trials/broken", f"evals/{bad}", f"predictions/{bad}")
    assert [f"{name}.parquet: cannot be read" in line for name, line in zip(names, results.damaged, strict=True)] == [
        True
    ] * 3


def test_a_folder_of_damaged_files_only_says_so(tmp_path: Path) -> None:
    empty(tmp_path).write()
    (tmp_path / "trials" / "broken.parquet").write_bytes(b"")
    with pytest.raises(ResultsError, match=r"holds no finished trial yet(.|\n)*broken\.parquet: cannot be read"):
        load_results(str(tmp_path))


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    trial_id = folder.add()
    folder.write()
    path = tmp_path / "trials" / f"{trial_id}.parquet"
    pq.write_table(pq.read_table(path).drop_columns(["majority_score"]), path)
    with pytest.raises(
        ResultsError, match=rf"{trial_id}\.parquet: not a trials file: column 'majority_score' is missing"
    ):
        load_results(str(tmp_path))


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"schema_version": 99}, r"results schema 99; this finebench reads up to"),
        ({"status": "fine"}, r"status 'fine' is not one of ok, pruned"),
        ({"stage": "final"}, r"stage 'final' is not one of grid"),
        ({"hyperparameters": "[1]"}, r"hyperparameters: a JSON object is needed, not '\[1\]'"),
        ({"hyperparameters": "{"}, r"hyperparameters: a JSON object is needed"),
    ],
)
def test_foreign_rows_are_refused_with_their_file(tmp_path: Path, given: dict[str, object], match: str) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1)
    bad = folder.add(seed=2, **given)
    folder.write()
    with pytest.raises(ResultsError, match=rf"{bad}\.parquet: .*{match}"):
        load_results(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "text", "match"),
    [
        ("study.yaml", "a: [", r"study\.yaml, line 1: not valid YAML"),
        ("study.yaml", "- a", r"study\.yaml: a study is a mapping"),
        ("plan.json", "{", r"plan\.json: not valid JSON"),
        ("plan.json", '{"cells": [{"task": "a"}]}', r"plan\.json: cells\[0\]\.method: this key is missing"),
    ],
)
def test_a_broken_study_or_plan_is_named(tmp_path: Path, name: str, text: str, match: str) -> None:
    folder = empty(tmp_path)
    folder.add()
    folder.write()
    (tmp_path / name).write_text(text)
    with pytest.raises(ResultsError, match=match):
        load_results(str(tmp_path))


def test_a_file_uri_is_the_same_as_its_path(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add()
    path = folder.write()
    assert load_results(tmp_path.as_uri()).trials.equals(load_results(path).trials)


def test_an_error_without_a_constant_predictors_score_is_not_held_against_the_best_there_is(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    trial = folder.add(metric="neg_rmse", score=-0.4, majority_score=None)
    with pytest.raises(ResultsError, match=rf"trial {trial} has no majority_score, and of neg_rmse nothing else"):
        runs(load_results(folder.write()))
