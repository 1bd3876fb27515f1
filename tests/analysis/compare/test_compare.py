"""Two results folders side by side: what is paired, what is called a change, and what is only pointed out."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finebench.analysis.compare.compare import compare
from finebench.analysis.compare.report import ComparisonReport, write_comparison
from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.util.errors import ResultsError
from tests.analysis.fixtures import HOSTILE, Folder, empty

TRUTH = [float(i % 2) for i in range(60)]


def folder(
    path: Path,
    seeds: range,
    shift: int = 0,
    seconds: float = 10.0,
    change: Callable[[int], dict[str, Any]] | None = None,
) -> Folder:
    """Accuracies of runs that err on `10 - shift` examples, and on one more for every other seed."""
    made = empty(path, name="small")
    for seed in seeds:
        wrong = 10 - shift + seed % 2
        given = {"seed": seed, "score": (60 - wrong) / 60, "train_seconds": seconds * (1 + seed / 100)}
        trial_id = made.add(**given | (change(seed) if change else {}))
        made.predict(trial_id, [1 - y if i < wrong else y for i, y in enumerate(TRUTH)])
    return made


def both(tmp_path: Path, a: Folder, b: Folder, out: str | None = None) -> ComparisonReport:
    assert a.path != b.path
    return write_comparison(a.write(), b.write(), out)


@pytest.fixture
def left(tmp_path: Path) -> Folder:
    return folder(tmp_path / "a", range(1, 9))


def test_a_folder_against_itself_is_identical(tmp_path: Path, left: Folder) -> None:
    made = both(tmp_path, left, folder(tmp_path / "b", range(1, 9)))
    (row,) = made.document()["changes"]
    assert (row["change"], row["difference"], row["pairs"], row["same_configuration"]) == ("identical", 0.0, 8, True)
    assert made.document()["trials"] == {"in_both": 8, "bit_equal": 8}
    assert "All 8 trials that both folders hold have bit-equal scores." in made.findings
    assert "Nothing differs in study, versions, commit or machine." in made.findings


def test_a_change_is_paired_by_seed_and_example(tmp_path: Path, left: Folder) -> None:
    made = both(tmp_path, left, folder(tmp_path / "b", range(1, 9), shift=8, seconds=5.0))
    (row,) = made.document()["changes"]
    assert row["how"] == "paired by seed and example"
    assert row["difference"] == pytest.approx(8 / 60)
    assert row["low"] < 8 / 60 < row["high"]
    assert (row["change"], row["pairs"]) == ("higher", 8)
    assert made.document()["trials"] == {"in_both": 8, "bit_equal": 0}
    assert len(made.document()["reproduced"]) == 8
    (cost,) = made.document()["method_costs"]
    assert cost["train_seconds"] == pytest.approx(0.5)


def test_both_means_are_over_the_seeds_of_the_difference(tmp_path: Path, left: Folder) -> None:
    """B's further seeds scored far higher: beside a paired difference their mean would contradict it."""
    other = folder(tmp_path / "b", range(3, 13), change=lambda seed: {"score": 1.0} if seed > 8 else {})
    other.rows["predictions"] = []
    (row,) = both(tmp_path, left, other).document()["changes"]
    assert (row["pairs"], row["seeds_a"], row["seeds_b"]) == (6, 8, 10)
    assert row["score_b"] - row["score_a"] == row["difference"] == 0
    assert row["score_a"] == pytest.approx(sum((50 - seed % 2) / 60 for seed in range(3, 9)) / 6)


def test_other_examples_are_not_paired(tmp_path: Path, left: Folder) -> None:
    other = folder(tmp_path / "b", range(1, 9), shift=3)
    for row in other.rows["predictions"]:
        row["label"], row["prediction"] = 1 - row["label"], 1 - row["prediction"]
    (row,) = both(tmp_path, left, other).document()["changes"]
    assert row["how"] == "unpaired: other score split"
    assert row["pairs"] == 0
    assert row["change"] == "higher"


def test_no_common_seed_is_not_paired(tmp_path: Path, left: Folder) -> None:
    (row,) = both(tmp_path, left, folder(tmp_path / "b", range(11, 19))).document()["changes"]
    assert row["how"] == "unpaired: no seed in common"
    assert row["change"] == "no change shown"
    assert row["score_b"] - row["score_a"] == pytest.approx(row["difference"])  # each over its own eight


def test_few_seeds_give_an_interval_and_no_verdict(tmp_path: Path) -> None:
    made = both(tmp_path, folder(tmp_path / "a", range(1, 5)), folder(tmp_path / "b", range(1, 5), shift=5))
    (row,) = made.document()["changes"]
    assert row["low"] > 0
    assert row["change"] == "too few seeds"


def test_another_metric_is_no_difference(tmp_path: Path, left: Folder) -> None:
    (row,) = both(tmp_path, left, folder(tmp_path / "b", range(1, 9), change=lambda _: {"metric": "f1"})).document()[
        "changes"
    ]
    assert row["difference"] is None
    assert row["change"] == "not judged"
    assert "scored by accuracy and by f1" in row["why"]


def test_another_choice_is_pointed_out(tmp_path: Path, left: Folder) -> None:
    (row,) = both(tmp_path, left, folder(tmp_path / "b", range(1, 9), change=lambda _: {"lr": 1e-4})).document()[
        "changes"
    ]
    assert row["same_configuration"] is False
    assert "another configuration was chosen" in row["why"]
    assert (row["setting_a"], row["setting_b"]) == ("lr 0.001", "lr 0.0001")


def test_what_differs_is_listed_and_what_does_not_is_not(tmp_path: Path, left: Folder) -> None:
    def other(_: int) -> dict[str, Any]:
        return {"git_commit": "fff0000", "device": "gpu", "versions": '{"torch": "2.14.0"}'}

    right = folder(tmp_path / "b", range(1, 9), change=other)
    right.study["training"] = {"batch_size": 32}
    rows = both(tmp_path, left, right).document()["settings"]
    assert {(row["setting"], row["a"], row["b"]) for row in rows} == {
        ("git commit", "abc1234", "fff0000"),
        ("device", "cpu", "gpu"),
        ("torch", "2.13.0", "2.14.0"),
        ("training.batch_size", "", "32"),
    }


def test_times_of_shared_devices_are_left_out(tmp_path: Path, left: Folder) -> None:
    right = folder(tmp_path / "b", range(1, 9), change=lambda seed: {"exclusive": seed < 4, "train_seconds": 20.0})
    (cost,) = both(tmp_path, left, right).document()["method_costs"]
    assert cost["pairs"] == 3
    assert cost["train_seconds"] == pytest.approx(2 / np.prod([1.01, 1.02, 1.03]) ** (1 / 3))


def test_cells_of_one_folder_are_listed(tmp_path: Path, left: Folder) -> None:
    left.add(method="two", seed=1)
    right = folder(tmp_path / "b", range(1, 9))
    right.add(task="beta", seed=1)
    rows = both(tmp_path, left, right).document()["only"]
    assert {(row["task"], row["method"], row["only"]) for row in rows} == {("alpha", "two", "A"), ("beta", "one", "B")}


def test_nothing_in_common_is_said(tmp_path: Path, left: Folder) -> None:
    right = folder(tmp_path / "b", range(1, 3), change=lambda _: {"task": "beta"})
    made = both(tmp_path, left, right, str(tmp_path / "out"))
    assert made.findings[0] == "No cell has a score in both folders."
    assert (tmp_path / "out/index.html").is_file()


def test_a_missing_folder_is_an_error(tmp_path: Path, left: Folder) -> None:
    with pytest.raises(ResultsError, match="does not exist"):
        compare(left.write(), str(tmp_path / "nowhere"))


def test_files_and_hostile_names(tmp_path: Path) -> None:
    def bad(_: int) -> dict[str, Any]:
        return {"method": HOSTILE, "task": HOSTILE, "device": HOSTILE}

    a, b = (folder(tmp_path / name, range(1, 8), shift, change=bad) for name, shift in (("a", 0), ("b", 4)))
    made = both(tmp_path, a, b, str(tmp_path / "out"))
    assert made.path == str(tmp_path / "out/index.html")
    assert "<script>alert" not in (tmp_path / "out/index.html").read_text("utf-8")
    assert "<script" not in (tmp_path / "out/compare.md").read_text("utf-8")
    names = {path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    tables = ("changes", "method_costs", "cost_changes", "reproduced", "settings", "only")
    assert names == {
        "index.html",
        "compare.md",
        "figures/changes-01-accuracy.svg",
        "figures/changes-01-accuracy.png",
    } | {f"tables/{name}.{end}" for name in tables for end in ("csv", "md", "tex", "parquet")}


def test_the_command_prints_one_json_document_or_a_table(
    tmp_path: Path, left: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = left.write(), folder(tmp_path / "b", range(1, 9), shift=8).write()
    assert guarded(lambda: app(["compare", a, b, "--json"], standalone_mode=False)) == 0
    assert json.loads(capsys.readouterr().out)["changes"][0]["change"] == "higher"
    assert guarded(lambda: app(["compare", a, b], standalone_mode=False)) == 0
    shown = capsys.readouterr().out
    assert "1 cells have a score in both folders" not in shown
    assert "1 cell has a score in both folders: 1 higher in B." in shown
    assert guarded(lambda: app(["compare", a, str(tmp_path / "nowhere")], standalone_mode=False)) == 2
