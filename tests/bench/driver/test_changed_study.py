"""A study that is narrowed or widened between runs, through the whole program; and one that is refused."""

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from finebench.analysis.load.read import load_results
from finebench.analysis.report import page
from finebench.analysis.report.contents import analyse
from finebench.analysis.report.write import write_report
from finebench.bench.cli.show import status
from finebench.bench.driver import opening
from finebench.bench.driver.opening import Opening
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.ray import session
from finebench.bench.driver.ray.nodes.asks import Room, slots
from finebench.bench.driver.run import dump_study, run_study
from finebench.bench.driver.validate import Prepared, prepare
from finebench.bench.results.deltas import BestDeltas
from finebench.bench.results.folder import Done, ResultsFolder, done_of
from finebench.bench.results.record import Record
from finebench.bench.results.schema import EVALS, PREDICTIONS, SCHEMA_VERSION, TRIALS
from finebench.bench.results.verify import verify
from finebench.bench.results.writer import Writer
from finebench.bench.scheduling.recorder import Observer, Recorder
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.scheduling.slots import parallel
from finebench.bench.study.load import load_study
from finebench.bench.study.trial_id import Trial
from finebench.bench.util.errors import InputError
from tests.bench.tiny import run_tiny, tiny_study

NOW = datetime(2025, 3, 1, tzinfo=UTC)
GRID: dict[str, Any] = {"methods": {"full": {"lr": [1e-3, 1e-2]}}, "seeds": 2, "tasks": ["mini-cola"]}


def record(trial: Trial, score: float, **changes: Any) -> Record:
    """What a trial leaves behind, without training it."""
    row: dict[str, Any] = {field.name: None for field in TRIALS}
    row |= {"trial_id": trial.id, "study": "tiny", "stage": trial.stage, "method": trial.method, "model": "embedded"}
    row |= {"hyperparameters": trial.configuration, "task": trial.task.name, "fraction": trial.fraction}
    row |= {"seed": trial.seeds.code, "budget": trial.budget.canonical, "lr": trial.hyperparameters["lr"]}
    row |= {"status": "ok", "metric": "mcc", "score": score, "score_last": score, "select_score": score}
    row |= {"majority_score": 0.0, "metrics": "{}", "steps": 6, "train_seconds": 1.0, "exclusive": True, "pack_size": 1}
    row |= {"trainable_params": 10, "head_params": 1, "total_params": 10, "device": "cpu", "versions": "{}"}
    row |= {"started_at": NOW, "finished_at": NOW, "schema_version": SCHEMA_VERSION, "eval_seconds": 0.0}
    point = {"trial_id": trial.id, "step": 6, "examples": 6, "split": "select", "metric": "mcc", "value": score}
    scored = [{"trial_id": trial.id, "example": i, "label": i % 2, "prediction": float(i % 2)} for i in range(4)]
    evals = pa.Table.from_pylist([point], schema=EVALS)
    return Record(row | changes, evals, pa.Table.from_pylist(scored, schema=PREDICTIONS))


def lr_score(trial: Trial) -> float:
    return min(0.9, 10 * float(trial.hyperparameters["lr"]) + 0.001 * trial.seeds.init)


class Told(Observer):
    """Keeps what the user is told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        self.notes.append(text)


def ran(
    folder: Path, score: Callable[[Trial], float] = lr_score, trials: int | None = None, **changes: Any
) -> list[str]:
    """Start a study into a folder as `finebench run` would, at most so many `trials`, and store rows instead of
    training; returns the notes."""
    ready, results, told = prepare(tiny_study(**changes), None), ResultsFolder(str(folder)), Told()
    results.create()
    opening = open_(results, ready)
    scheduler = opening.scheduler(trials, lambda trial, reason, runs: None)
    with Writer(results) as writer:
        recorder = Recorder(writer, scheduler, told, "tiny")
        opening.begin(recorder, dict.fromkeys(ready.study.methods, 2))
        while (pack := scheduler.next_pack()) is not None:
            recorder.store(pack, [record(trial, score(trial)) for trial in pack.trials])
    return opening.notes


def open_(results: ResultsFolder, ready: Prepared, keep: str = "none") -> Opening:
    inputs = {"data": None, "model_folder": str(ready.model.folder), "tasks": {}}
    return Opening(results, ready, dump_study(ready.study), inputs, keep, lambda results, looks: ([], ""))


def told_of(folder: Path, **changes: Any) -> list[str]:
    """The notes of a run that finds nothing to do."""
    told = Told()
    outcome = run_study(
        tiny_study(**changes), RunOptions(str(folder), debug=True), lambda c: told, lambda trial, reason, runs: None
    )
    assert outcome.statuses == {}
    return told.notes


NARROWED: dict[str, tuple[dict[str, Any], int]] = {
    "a value": ({"methods": {"full": {"lr": [1e-3]}}}, 2),
    "a method": ({}, 2),
    "a task": ({"tasks": ["mini-cola"]}, 2),
    "a seed": ({"seeds": 1}, 2),
    "a seed by name": ({"seeds": [2]}, 2),
    "a fraction": ({"fractions": [0.1]}, 2),
    "a budget": ({"budget": [{"steps": 6}]}, 2),
}
BEFORE: dict[str, dict[str, Any]] = {
    "a value": {},
    "a method": {"methods": {"full": {"lr": [1e-3]}, "bitfit": {"lr": [1e-2]}}},
    "a task": {"tasks": ["mini-cola", "mini-mrpc"], "methods": {"full": {"lr": [1e-3]}}},
    "a seed": {},
    "a seed by name": {},
    "a fraction": {"fractions": [0.1, 0.3], "methods": {"full": {"lr": [1e-3]}}},
    "a budget": {"budget": [{"steps": 6}, {"steps": 7}], "methods": {"full": {"lr": [1e-3]}}},
}


@pytest.mark.parametrize("dropped", NARROWED)
def test_what_is_dropped_stays_and_counts_nowhere(tmp_path: Path, dropped: str) -> None:
    before = GRID | BEFORE[dropped]
    after = before | {"methods": {"full": {"lr": [1e-3]}}} if dropped == "a method" else before | NARROWED[dropped][0]
    ran(tmp_path, **before)
    assert (status(str(tmp_path))["planned"], status(str(tmp_path))["outside"]) == (4, 0)
    notes = ran(tmp_path, **after)
    outside = NARROWED[dropped][1]
    assert any(f"{outside} trials in the folder are not part of the study" in note for note in notes)
    found = status(str(tmp_path))
    assert (found["planned"], found["ok"], found["pending"], found["outside"]) == (4 - outside, 4 - outside, 0, outside)
    assert len(found["notes"]) == 1
    contents = analyse(load_results(str(tmp_path)))
    assert len(contents.frames["runs"]) == contents.frames["ledger"]["trials"].sum() == 4 - outside
    said = f"{outside} more runs are there of cells, configurations or seeds"
    assert any(said in line for line in page.said(contents)["state"])
    assert (contents.frames["scores"]["n"] > 0).all()
    verdict = verify(ResultsFolder(str(tmp_path)))
    assert (verdict.planned, verdict.trials, verdict.problems) == (4 - outside, 4, [])
    assert {note.kind for note in verdict.notes} == {"beyond the plan"}
    assert ran(tmp_path, **before) == []  # all of it is part again
    assert (status(str(tmp_path))["ok"], status(str(tmp_path))["outside"]) == (4, 0)


def test_a_winner_that_was_taken_out_of_a_grid_wins_no_more(tmp_path: Path) -> None:
    ran(tmp_path, **GRID)
    narrowed = GRID | {"methods": {"full": {"lr": [1e-3]}}}
    assert lrs(tmp_path) == {1e-2}
    assert any("2 trials" in note for note in told_of(tmp_path, **narrowed))
    assert {row["lr"] for row in write_report(str(tmp_path)).summary} == {1e-3}
    assert load_study(str(tmp_path / "report/best.yaml")).methods["full"]["lr"] == 1e-3
    report = (tmp_path / "report/report.md").read_text("utf-8")
    assert "2 more runs are there of cells, configurations or seeds" in report


def lrs(folder: Path) -> set[float]:
    """Learning rates of the report's winners."""
    return set(analyse(load_results(str(folder))).frames["scores"]["lr"])


def test_a_confirmed_winner_that_was_taken_out_makes_room(tmp_path: Path) -> None:
    """Its confirm runs are no part; those of the default still say what the default scores."""
    confirmed = GRID | {"methods": {"full": {"lr": [1e-3, 1e-2, 3e-3]}}, "search": {"grid": {"confirm_seeds": 2}}}
    ran(tmp_path, **confirmed)
    narrowed = confirmed | {"methods": {"full": {"lr": [1e-3, 3e-3]}}}
    ran(tmp_path, **narrowed)
    assert lrs(tmp_path) == {3e-3}
    found = status(str(tmp_path))
    assert (found["ok"], found["pending"]) == (found["planned"], 0)
    assert found["outside"] == 2 + 2
    tuning = analyse(load_results(str(tmp_path))).frames["scores"]
    assert list(tuning["source"]) == ["fresh seeds"]


def test_a_confirm_stage_without_the_default_runs_the_best_alone(tmp_path: Path) -> None:
    """All else as with it; half-way, its missing seeds are said to be missing; and the key may change."""
    space = {"methods": {"full": {"lr": [1e-3, 1e-2]}}, "tasks": ["mini-cola"], "seeds": 1}
    alone = space | {"search": {"grid": {"confirm_seeds": 4, "confirm_default": False}}}
    ran(tmp_path, trials=4, **alone)
    half = status(str(tmp_path))
    assert (half["ok"], half["planned"], half["pending"]) == (4, 6, 2)
    frames = analyse(load_results(str(tmp_path))).frames
    assert list(frames["cells"][["planned", "pending"]].iloc[0]) == [6, 2]
    ran(tmp_path, **alone)
    assert (status(str(tmp_path))["ok"], status(str(tmp_path))["pending"]) == (6, 0)
    tuned = analyse(load_results(str(tmp_path))).frames["equal_budget"]
    assert "confirm_default" in tuned["default_note"].item()
    assert tuned["default"].isna().all()
    with_default = space | {"search": {"grid": {"confirm_seeds": 4}}}
    ran(tmp_path, **with_default)
    assert (status(str(tmp_path))["ok"], status(str(tmp_path))["outside"]) == (10, 0)
    ran(tmp_path, **alone)
    assert (status(str(tmp_path))["ok"], status(str(tmp_path))["outside"]) == (6, 4)


def test_a_default_that_keeps_what_it_cannot_do_without_is_part_of_its_study(tmp_path: Path) -> None:
    """Its learning rate is no point of the grid, and a value of the space stands in it."""
    space = {"peft:PREFIX_TUNING": {"lr": [1e-3, 3e-3], "num_virtual_tokens": 4}}
    study = {"methods": space, "search": {"grid": {"confirm_seeds": 2}}, "tasks": ["mini-cola"]}
    assert ran(tmp_path, **study) == ran(tmp_path, **study) == []
    found = status(str(tmp_path))
    assert (found["ok"], found["pending"], found["outside"]) == (found["planned"], 0, 0)


def searched(space: Any, **settings: Any) -> dict[str, Any]:
    optuna = {"trials": 4, "seeds": 1, "confirm_seeds": 0} | settings
    return {"methods": {"full": {"lr": space}}, "search": {"optuna": optuna}}


@pytest.mark.parametrize(("limit", "stored"), [(1, 0), (3, 3), (4, 3), (7, 6), (99, 12)])
def test_a_search_starts_no_more_trials_than_asked_for(tmp_path: Path, limit: int, stored: int) -> None:
    """A configuration's seeds start together: of one that has no room, none does, and the run ends."""
    search = searched({"loguniform": [1e-5, 1e-2]}, seeds=3)
    ran(tmp_path, trials=limit, tasks=["mini-cola"], **search)
    assert status(str(tmp_path))["ok"] == stored


@pytest.mark.parametrize("confirm", [6, {"looks": [6, 7], "until": "settled"}])
@pytest.mark.parametrize(("limit", "stored"), [(1, 0), (4, 3)])
def test_a_search_whose_next_configuration_has_no_room_ends_before_its_confirm_stage(
    tmp_path: Path, confirm: Any, limit: int, stored: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And says so: what trains on a cluster would wait for more."""
    made: list[Scheduler] = []
    monkeypatch.setattr(
        opening, "Scheduler", lambda *given, **named: made.append(Scheduler(*given, **named)) or made[-1]
    )
    claim = {"id": "c", "says": "better", "a": "full", "b": "full"}
    search = searched({"loguniform": [1e-5, 1e-2]}, seeds=3, confirm_seeds=confirm)
    search["methods"]["bitfit"] = {"lr": 1e-3}
    ran(tmp_path, trials=limit, tasks=["mini-cola"], claims=[claim | {"b": "bitfit"}], **search)
    assert status(str(tmp_path))["ok"] == stored
    assert made[-1].finished


def test_a_search_over_a_narrowed_range_chooses_inside_and_tries_the_rest(tmp_path: Path) -> None:
    ran(tmp_path, **searched({"loguniform": [1e-5, 1e-2]}))
    narrowed = searched({"loguniform": [1e-5, 1e-4]})
    notes = ran(tmp_path, **narrowed)
    assert any("not part of the study" in note for note in notes)
    assert all(1e-5 <= lr <= 1e-4 for lr in lrs(tmp_path))
    found = status(str(tmp_path))
    assert (found["planned"], found["ok"], found["pending"]) == (4, 4, 0)
    assert found["outside"] == len(list((tmp_path / "trials").iterdir())) - 4 > 0
    ran(tmp_path, **searched({"loguniform": [1e-5, 1e-4]}, trials=2))  # fewer trials: the first ones
    found = status(str(tmp_path))
    assert (found["planned"], found["ok"]) == (2, 2)
    assert set(analyse(load_results(str(tmp_path))).frames["ledger"]["configurations_most"]) == {2}


def test_a_folder_whose_trials_are_all_of_another_study_says_so(tmp_path: Path) -> None:
    ran(tmp_path, **GRID)
    with pytest.raises(InputError, match=r"4 trials in the folder .*nothing is left to report"):
        told_of_none(tmp_path)


def told_of_none(folder: Path) -> None:
    ready, results = (
        prepare(tiny_study(**GRID | {"methods": {"bitfit": {"lr": [1e-3]}}}), None),
        ResultsFolder(str(folder)),
    )
    opening = open_(results, ready)
    recorder = Recorder(Writer(results), opening.scheduler(None, lambda *why: None), Observer(), "tiny")
    opening.begin(recorder)
    write_report(str(folder))


def snapshot(folder: Path) -> dict[str, str]:
    """Every file and folder, with the hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        for path in sorted(folder.rglob("*"))
    }


def refused(folder: Path, says: str, options: dict[str, Any] | None = None, **changes: Any) -> None:
    before = snapshot(folder)
    with pytest.raises(InputError, match=says):
        run_study(
            tiny_study(**changes),
            RunOptions(str(folder), **({"debug": True} | (options or {}))),
            lambda scheduler: Observer(),
            lambda trial, reason, runs: None,
        )
    assert snapshot(folder) == before


def test_a_refused_resume_leaves_the_folder_as_it_was(tmp_path: Path) -> None:
    """Whatever refuses it, and with a damaged file and a half-written one in the folder."""
    space = searched({"loguniform": [1e-5, 1e-2]})
    ran(tmp_path, **space)
    (tmp_path / "_driver.lock").touch()
    (tmp_path / "evals/_half.parquet.0123abcd").write_bytes(b"half")
    first = sorted((tmp_path / "predictions").iterdir())[0]
    first.write_bytes(first.read_bytes()[:-30])
    wider = searched({"loguniform": [1e-6, 1e-2]}, trials=9)
    refused(tmp_path, "training.evals", **wider, training={"evals": 2, "batch_size": 8})
    refused(tmp_path, "search.optuna.sampler", **searched({"loguniform": [1e-5, 1e-2]}, sampler="random"))
    refused(tmp_path, "search", **GRID)
    refused(tmp_path, "no Ray cluster can be reached", {"debug": False, "address": "127.0.0.1:9"}, **wider)
    suggestion = next((tmp_path / "search").rglob("000002.json"))
    content = suggestion.read_bytes()
    suggestion.write_bytes(b"[]")
    refused(tmp_path, "000002.json: not a suggestion", **wider)
    suggestion.write_bytes(content)
    (tmp_path / "calibration.json").write_text("{")
    refused(tmp_path, r"calibration\.json", **wider)
    (tmp_path / "calibration.json").unlink()
    (tmp_path / "plan.json").write_text("{")
    refused(tmp_path, r"plan\.json", **wider)


def test_more_than_a_machine_has_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def no_ray(options: Any) -> Iterator[None]:
        yield

    monkeypatch.setattr(session, "ray_session", no_ray)
    monkeypatch.setattr(session, "cpus_available", lambda: 2.0)
    monkeypatch.setattr(session, "gpus_available", lambda: 0.0)
    ran(tmp_path, **GRID)
    (tmp_path / "_driver.lock").touch()
    refused(tmp_path, "resources.cpu: 64", {"debug": False}, **GRID | {"seeds": 3}, resources={"cpu": 64})


@pytest.mark.parametrize(
    ("resources", "cpus", "gpus", "places"),
    [
        ({}, 16, 0, 16),
        ({}, 16, 1, 1),  # a whole GPU, whatever the cores
        ({}, 16, 4, 4),
        ({"gpu": 0.25}, 16, 1, 4),
        ({"gpu": 0.1}, 64, 2, 20),
        ({"gpu": 0.3}, 16, 1, 3),
        ({"gpu": 2}, 16, 5, 2),
        ({"gpu": 0, "ranks": 4}, 18, 5, 4),
        ({"gpu": 0}, 16, 1, 16),
        ({"gpu": 0.25, "cpu": 8}, 16, 1, 2),
        ({"cpu": 3}, 16, 0, 5),
        ({"cpu": 0.1}, 1, 0, 10),
        ({"cpu": 32}, 16, 0, 1),
        ({"gpu": 0.25}, 16, 0, 1),  # a cluster whose GPUs are still to come
    ],
)
def test_places_for_trials(resources: dict[str, Any], cpus: int, gpus: int, places: int) -> None:
    assert slots(tiny_study(resources=resources), gpus, [Room(cpus, gpus)])["full"] == places


def test_what_is_asked_for_beside_cpus_counts_and_each_node_for_itself() -> None:
    def at_once(resources: dict[str, Any], *places: Room) -> int:
        return slots(tiny_study(resources=resources), sum(place.gpus for place in places), places)["full"]

    large, licensed = Room(16, 0, {"memory": 64 * 2**30}), Room(16, 0, {"licence": 1.0})
    assert at_once({"memory": "48GiB"}, large) == 1
    assert at_once({"memory": "48GiB"}, large, large) == 2
    assert at_once({"custom": {"licence": 1}}, licensed, Room(16, 0)) == 1
    assert at_once({"cpu": 3}, *[Room(4, 0)] * 4) == 4
    assert at_once({"gpu": 0.4}, Room(16, 2)) == 4  # two of a share that does not straddle GPUs on each
    assert at_once({"labels": {"zone": "a"}}, Room(4, 0, labels={"zone": "a"}), Room(8, 0)) == 4
    assert at_once({"gpu": 0, "ranks": 4, "cpu": 2}, *[Room(5, 0)] * 4) == 2  # ranks may stand on several


def test_parallel_is_the_studys_word_else_what_was_recorded_else_places_over_cells() -> None:
    auto, said = (tiny_study(**searched({"loguniform": [1e-5, 1e-2]}, parallel=n)) for n in ("auto", 3))
    assert parallel(auto, 1, {"full": 16}, {}) == {"full": 16}
    assert parallel(auto, 3, {"full": 16}, {}) == {"full": 6}
    assert parallel(auto, 40, {"full": 16}, {}) == {"full": 1}
    assert parallel(auto, 1, {"full": 16}, {"full": 2, "gone": 9}) == {"full": 2}
    assert parallel(said, 1, {"full": 16}, {"full": 2}) == {"full": 3}
    assert parallel(tiny_study(), 1, {"full": 16}, {}) == {}


def test_a_study_goes_on_as_parallel_as_it_began(tmp_path: Path) -> None:
    space = searched({"loguniform": [1e-5, 1e-2]})
    results, widths = ResultsFolder(str(tmp_path)), []
    results.create()
    for number, changes in ((1, {}), (16, {}), (None, {}), (2, {"parallel": 5})):
        ready = prepare(tiny_study(**searched(space["methods"]["full"]["lr"], **changes)), None)
        opening = open_(results, ready)
        recorder = Recorder(Writer(results), opening.scheduler(None, lambda *why: None), Observer(), "tiny")
        opening.begin(recorder, number and {"full": number})
        plan = results.plan()
        assert plan is not None
        widths.append((plan["parallel"], {search.parallel for search in opening.searches.values()}))
    assert widths == [({"full": 1}, {1})] * 3 + [({"full": 5}, {5})]


def test_a_search_follows_the_places_of_its_cluster_and_never_shrinks(tmp_path: Path) -> None:
    """A head without CPUs would run one configuration after the other, whatever the autoscaler brings."""
    results, widths = ResultsFolder(str(tmp_path)), []
    results.create()
    ready = prepare(tiny_study(**searched({"loguniform": [1e-5, 1e-2]})), None)
    opening = open_(results, ready)
    recorder = Recorder(Writer(results), opening.scheduler(None, lambda *why: None), Observer(), "tiny")
    opening.begin(recorder, {"full": 1})
    for number in (1, 8, 2, 32):
        opening.widen({"full": number})
        plan = results.plan()
        assert plan is not None
        widths.append((plan["parallel"]["full"], {search.parallel for search in opening.searches.values()}))
    assert widths == [(1, {1}), (8, {8}), (8, {8}), (32, {32})]


def deltas(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "deltas").glob("*.safetensors")}


def test_beaten_deltas_go_as_rows_arrive_and_the_best_is_there_at_any_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before or after each write and each deletion: the best trial that has a row has its delta."""
    ready, results = prepare(tiny_study(**GRID | {"seeds": 4}), None), ResultsFolder(str(tmp_path))
    results.create()
    opening = open_(results, ready, keep="best")
    scheduler = opening.scheduler(None, lambda *why: None)
    recorder = Recorder(Writer(results), scheduler, Observer(), "tiny")
    opening.begin(recorder, dict.fromkeys(ready.study.methods, 2))
    seen = list[int]()

    def check() -> None:
        rows = [row for row in results.done().values() if row.status == "ok"]
        if rows:
            best = max(rows, key=lambda row: (row.select_score or 0.0, -row.seed))
            assert best.trial_id in deltas(tmp_path)
        seen.append(len(deltas(tmp_path)))

    remove = results.delete

    def watched(name: str) -> None:
        check()
        remove(name)
        check()

    monkeypatch.setattr(results, "delete", watched)
    scores = iter([0.3, 0.5, 0.5, 0.2, float("nan"), 0.9, 0.1, 0.9])
    while (pack := scheduler.next_pack()) is not None:
        for trial in pack.trials:
            results.write_bytes(f"deltas/{trial.id}.safetensors", b"tensors")  # as its worker does
        score = next(scores)
        recorder.store(pack, [record(trial, score) for trial in pack.trials])
        check()
    assert max(seen) == 2  # the best, and the one that has just come
    assert len(deltas(tmp_path)) == 1


def test_what_a_killed_run_should_have_deleted_the_next_one_deletes(tmp_path: Path) -> None:
    """Of the study; what it no longer contains stays."""
    ran(tmp_path, **GRID)
    results = ResultsFolder(str(tmp_path))
    rows = list(results.done().values())
    for row in rows:
        results.write_bytes(f"deltas/{row.trial_id}.safetensors", b"tensors")
    results.write_bytes("deltas/00000000000000000000.safetensors", b"of a trial that had not ended")
    narrowed = GRID | {"methods": {"full": {"lr": [1e-3]}}}
    opening = open_(results, prepare(tiny_study(**narrowed), None), keep="best")
    recorder = Recorder(Writer(results), opening.scheduler(None, lambda *why: None), Observer(), "tiny")
    opening.begin(recorder)
    assert deltas(tmp_path) == {kept for kept in expected(rows)}
    assert lr(next(row for row in rows if row.trial_id in deltas(tmp_path) and lr(row) == 1e-3)) == 1e-3


def expected(rows: list[Done]) -> set[str]:
    """Both of the value that was taken out, and the better one of the other."""
    best = max((row for row in rows if lr(row) == 1e-3), key=lambda row: row.select_score or 0.0)
    return {row.trial_id for row in rows if lr(row) == 1e-2} | {best.trial_id}


def lr(row: Done) -> float:
    return float(json.loads(row.configuration)["lr"])


def test_beaten_deltas_go_in_an_object_store_too() -> None:
    """A store of whole objects, where a listing and a deletion are requests."""
    plan = prepare(tiny_study(**GRID), None)
    results = ResultsFolder("mock:///bucket/run")
    results.make(["deltas"])
    assert not results.local
    rows = [done_of(record(trial, lr_score(trial)).trial) for trial in plan.plan.grid(plan.known)]
    for row in rows:
        results.write_bytes(f"deltas/{row.trial_id}.safetensors", b"tensors")
    best = BestDeltas(results, rows[:1], [row.trial_id for row in rows[1:]])
    best.saw(rows[1:3])
    best.saw(rows[3:])
    winner = max(rows, key=lambda row: (row.select_score or 0.0, -row.seed))
    assert results.names("deltas", ".safetensors") == [f"{winner.trial_id}.safetensors"]


def test_another_number_of_ranks_is_another_study(tmp_path: Path) -> None:
    """Their trials would stand in one cell; refused before anything trains or is written."""
    run_tiny(tmp_path, fractions=[0.05])
    before = sorted((path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file())
    ranked = {"bitfit": {"lr": [5e-3], "resources": {"gpu": 0, "ranks": 2}}, "full": {"lr": [1e-3]}}
    with pytest.raises(InputError, match=r"holds trials of 'bitfit' on one rank, and the study's.*on 2 ranks"):
        run_tiny(tmp_path, fractions=[0.05], methods=ranked)
    assert [one for one in before if "lock" not in one[0].name] == sorted(
        (path, path.stat().st_mtime_ns) for path in tmp_path.rglob("*") if path.is_file() and "lock" not in path.name
    )
    run_tiny(tmp_path, fractions=[0.05], methods={"full": {"lr": [1e-3]}}, resources={"gpu": 0})
