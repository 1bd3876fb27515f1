"""A study that stops when its claims are settled, through real runs: what it runs, and what the report says."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from finebench.analysis.claims import judge
from finebench.analysis.claims.interim import needed_after
from finebench.analysis.report.write import write_report
from finebench.bench.cli.rerun import rerun_command
from finebench.bench.cli.show import status
from finebench.bench.driver.options import RunOptions, RunOutcome
from finebench.bench.driver.run import run_study
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study.load import load_study
from finebench.bench.study.plan import Plan
from tests.bench.tiny import tiny_study

LOOKS = [6, 8, 10]
STUDY: dict[str, Any] = {
    "tasks": ["mini-cola", "mini-mrpc"],
    "seeds": {"looks": LOOKS, "until": "settled"},
    "budget": {"steps": 2},
    "training": {"evals": 1, "batch_size": 8},
    "claims": [
        {"id": "wide", "says": "matches", "a": "bitfit", "b": "full", "margin": 5, "tasks": ["mini-cola"]},
        {"id": "open", "says": "better", "a": "bitfit", "b": "full", "margin": 0.001, "tasks": ["mini-mrpc"]},
    ],
}


class Notes(Observer):
    def __init__(self) -> None:
        self.said: list[str] = []

    def on_note(self, text: str) -> None:
        self.said.append(text)


def run(folder: Path, limit: int | None = None, **changes: Any) -> tuple[RunOutcome, list[str]]:
    notes = Notes()
    options = RunOptions(str(folder), debug=True, limit=limit)
    made = run_study(tiny_study(**(STUDY | changes)), options, lambda c: notes, lambda *one: None, needed_after)
    return made, [note for note in notes.said if note.startswith("interim analysis ")]


def rows(folder: Path) -> dict[str, tuple[Any, ...]]:
    return {row["trial_id"]: (row["task"], row["seed"], row["score"]) for row in ResultsFolder(str(folder)).rows()}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    folder = tmp_path_factory.mktemp("whole")
    return folder, run(folder)[1]


def seeds_of(folder: Path, task: str) -> set[int]:
    return {seed for name, seed, _ in rows(folder).values() if name == task}


def test_a_settled_claim_s_cells_get_no_more_seeds(whole: tuple[Path, list[str]]) -> None:
    folder, said = whole
    assert said[0].startswith("interim analysis 1 of 3, 6 seeds: wide supported, ")
    assert seeds_of(folder, "mini-cola") == set(range(1, 7))
    taken = len(said)
    assert seeds_of(folder, "mini-mrpc") == set(range(1, LOOKS[taken - 1] + 1))
    counted = status(str(folder))
    assert (counted["pending"], counted["planned"]) == (0, 2 * 6 + 2 * LOOKS[taken - 1])


def test_it_is_bit_identical_to_a_study_given_the_same_seeds(whole: tuple[Path, list[str]], tmp_path: Path) -> None:
    run(tmp_path, seeds=max(seeds_of(whole[0], "mini-mrpc")))
    fixed = rows(tmp_path)
    assert rows(whole[0]).items() <= fixed.items()


@pytest.mark.parametrize("limit", [5, 24])
def test_stopped_anywhere_it_goes_on_to_the_same_end(whole: tuple[Path, list[str]], tmp_path: Path, limit: int) -> None:
    run(tmp_path, limit=limit)
    assert run(tmp_path)[1] == whole[1]
    assert rows(tmp_path) == rows(whole[0])


def test_run_again_it_finds_nothing_to_do(whole: tuple[Path, list[str]]) -> None:
    made, said = run(whole[0])
    assert (made.statuses, said) == ({}, whole[1])


def test_the_report_says_which_look_decided(whole: tuple[Path, list[str]]) -> None:
    folder = whole[0]
    report = write_report(str(folder), str(folder / "out"))
    wide, other = json.loads((folder / "out" / "claims.json").read_text())
    assert wide["verdict"] == "supported"
    looks = wide["looks"]
    assert (looks["taken"], looks["planned"], looks["decided_at"], looks["futile"]) == (1, LOOKS, 1, False)
    assert [(step["look"], step["seeds"], step["pairs"]) for step in looks["path"]] == [(1, 6, 6)]
    assert not looks["schedule_changed"]
    assert wide["missing"] is None
    assert other["looks"]["taken"] > 1
    page = (folder / "out" / "report.md").read_text()
    assert "Decided at interim analysis 1 of 3, 6 of at most 10 seeds. Seeds saved in each of its cells: 4." in page
    assert (folder / "out" / "figures" / "claims-looks-01-open.svg").is_file()
    assert not [line for line in report.state if "not yet run" in line]


def test_its_best_configurations_are_a_study_of_as_many_seeds(whole: tuple[Path, list[str]]) -> None:
    folder = whole[0]
    write_report(str(folder), str(folder / "out"))
    best = load_study(str(folder / "out" / "best.yaml"))
    assert (best.seeds, best.claims) == (LOOKS[-1], [])
    assert Plan(best).count() == 2 * 2 * LOOKS[-1]


def test_the_stored_study_is_the_same_study(whole: tuple[Path, list[str]]) -> None:
    stored = load_study(str(whole[0] / "study.yaml"))
    assert stored.waves is not None
    assert stored.waves.schedule == tuple(LOOKS)


def test_looks_that_are_changed_after_one_are_told(tmp_path: Path) -> None:
    run(tmp_path, limit=25)  # the first look has been taken
    run(tmp_path, seeds={"looks": [6, 7], "until": "settled"})
    write_report(str(tmp_path), str(tmp_path / "out"))
    wide, _ = json.loads((tmp_path / "out" / "claims.json").read_text())
    assert wide["looks"]["schedule_changed"]
    page = (tmp_path / "out" / "report.md").read_text()
    assert "The study was changed after an interim analysis (looks, claims or configurations)" in page


def test_a_trial_of_such_a_study_can_be_rerun(
    whole: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert rerun_command(str(whole[0]), next(iter(rows(whole[0])))) == 0
    assert ": bit-equal" in capsys.readouterr().out


def test_a_claim_is_decided_at_the_analysis_whose_correction_let_it_be() -> None:
    """Its own interval may be beyond the bound before Holm's correction over the other claims allows a verdict."""
    waves = SimpleNamespace(levels=SimpleNamespace(looks=(6, 9, 14)))
    after = {1: ["inconclusive"] * 3, 2: ["supported", "inconclusive", "inconclusive"]}
    after[3] = ["supported", "refuted", "inconclusive"]

    def of(looks: int) -> Any:
        made = [SimpleNamespace(claim=SimpleNamespace(id=f"c{k}"), verdict=one) for k, one in enumerate(after[looks])]
        return SimpleNamespace(verdicts=made, waves=waves, followed={"c0", "c1", "c2"})

    found = judge._decided(of(3), of)
    assert {name: (number, one.verdict) for name, (number, one) in found.items()} == {
        "c0": (2, "supported"),
        "c1": (3, "refuted"),
    }
    single = of(3)
    single.waves, single.followed = None, frozenset()
    assert judge._decided(single, of) == {}
