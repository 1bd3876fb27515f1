"""Kept deltas: the best of each cell, and back to the very predictions that were stored."""

import dataclasses
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from finebench.bench.data.embedded import MODEL_DIR, load_split
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.results.deltas import BestDeltas, keep_best
from finebench.bench.results.folder import ResultsFolder, done_of
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.training.worker import checkpoint_policy
from finebench.bench.training.worker.messages import Pack, Share, Shipment
from finebench.bench.training.worker.pack_runner import PackRun
from finebench.bench.training.worker.weights import load_delta
from finebench.bench.training.worker.worker_cache import WorkerCache
from finebench.bench.util.errors import ModelError
from finebench.bench.util.machine import hostname
from finebench.bench.util.storage import Store
from tests.bench.stored import make_record, trial_id
from tests.bench.tiny import tiny_prepared, tiny_study


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> ResultsFolder:
    """A tiny study of two methods and two learning rates, all deltas kept."""
    out = tmp_path_factory.mktemp("keep")
    methods = {"full": {"lr": [1e-3, 1e-4]}, "lora": {"lr": [1e-3, 5e-3]}}
    study = tiny_study(methods=methods, tasks=["mini-stsb"], budget={"steps": 20})
    options = RunOptions(str(out), debug=True, keep="all")
    run_study(study, options, lambda scheduler: Observer(), lambda trial, reason, runs: None)
    return ResultsFolder(str(out))


def test_a_delta_gives_the_stored_predictions_back(folder: ResultsFolder) -> None:
    """Three lines from a file to a model that predicts what was stored."""
    texts = load_split("mini-stsb", "validation")
    for row in folder.rows():
        model, tokenizer = load_delta(folder.path(f"deltas/{row['trial_id']}.safetensors"), MODEL_DIR)
        batch = tokenizer(texts["sentence1"][:8], texts["sentence2"][:8], padding=True, return_tensors="pt")
        with torch.no_grad():
            logits = model(**batch).logits.squeeze(-1)
        stored = pq.read_table(folder.path(f"predictions/{row['trial_id']}.parquet"))["prediction"].to_numpy()[:8]
        assert logits.numpy() == pytest.approx(stored, abs=1e-4)


def test_a_low_rank_delta_is_small(folder: ResultsFolder) -> None:
    """Only what is trained is stored."""
    sizes = {
        row["method"]: Path(folder.path(f"deltas/{row['trial_id']}.safetensors")).stat().st_size
        for row in folder.rows()
    }
    assert sizes["lora"] < sizes["full"] / 10


def test_keep_best_keeps_one_per_cell_by_select(folder: ResultsFolder) -> None:
    """The winner on `select`, not on `score`."""
    kept = keep_best(folder).names
    best = {}
    for row in sorted(folder.rows(), key=lambda row: row["select_score"]):
        best[row["method"]] = f"{row['trial_id']}.safetensors"
    assert set(kept) == set(best.values()) == set(folder.names("deltas", ".safetensors"))


def test_a_better_trial_without_a_delta_is_told(folder: ResultsFolder) -> None:
    """What is kept is then not the best of its cell."""
    best = max((row for row in folder.rows() if row["method"] == "lora"), key=lambda row: row["select_score"])
    assert keep_best(folder).beaten == 0
    folder.delete(f"deltas/{best['trial_id']}.safetensors")
    found = keep_best(folder)
    assert (len(found.names), found.beaten) == (1, 0)  # nothing of this cell is there
    other = next(r for r in folder.rows() if r["method"] == "lora" and r["trial_id"] != best["trial_id"])
    folder.write_bytes(f"deltas/{other['trial_id']}.safetensors", b"a delta")
    found = keep_best(folder)
    assert (len(found.names), found.beaten) == (2, 1)


def test_a_trial_whose_results_are_away_ends_as_it_ended_without_a_delta(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its row goes by the driver; a worker waited two minutes for the store, and made an error of it."""
    asked: list[float] = []

    def no_route(store: Store, path: str, data: bytes) -> None:
        asked.append(store.patience())
        raise OSError("no route to host")

    monkeypatch.setattr(Store, "_put", no_route)
    monkeypatch.setattr(checkpoint_policy, "SHORT", 0.5)
    monkeypatch.setenv("FINEBENCH_STORAGE_SECONDS", "20")
    ready = tiny_prepared(methods={"bitfit": {"lr": 1e-3}}, budget={"steps": 2})
    cell = next(iter(ready.plan.cells()))
    trial = ready.plan.trial(cell, "grid", ready.plan.points(cell)[0], Seeds.paired(1), ready.known)
    shipment = Shipment("tiny", str(ready.model.folder), ready.tasks, 600.0, "all", "mock:///bucket/run", "token")
    run = PackRun(WorkerCache(shipment, Share()), Pack((trial,)), None, fused=False)
    (record,) = run.finish()
    assert (record.trial["status"], record.trial["reason"]) == ("ok", None)
    assert set(asked) == {0.5}
    (note,) = run.notes()
    assert note.startswith(
        f"{trial.id}: node {hostname()} cannot store its trained tensors in RESULTS, and its row is "
    )
    assert note.endswith("mock://bucket/run/deltas/" + f"{trial.id}.safetensors: cannot be written: no route to host")


def test_a_better_trial_without_a_delta_costs_no_other_its_own(tmp_path: Path) -> None:
    """Also while the run goes on: what was to be kept of the cell is the best that there is."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    best = BestDeltas(folder, [])
    made = [make_record(number) for number in range(3)]
    for number, score in enumerate((0.9, 0.5, 0.7)):
        row = made[number].trial | {"select_score": score, "status": "ok"}
        if number:
            folder.write_bytes(f"deltas/{row['trial_id']}.safetensors", b"a delta")
        best.saw([done_of(row)])
    assert folder.names("deltas", ".safetensors") == [f"{trial_id(2)}.safetensors"]


def test_the_other_precisions_best_is_kept_too(tmp_path: Path) -> None:
    """A folder that went on on other hardware loses nothing."""
    made = ResultsFolder(str(tmp_path))
    made.create()
    for number, precision in enumerate(["fp32", "bf16", "bf16", "fp32"]):
        record = make_record(number)
        made.write(dataclasses.replace(record, trial=record.trial | {"precision": precision}))
        made.write_bytes(f"deltas/{record.trial['trial_id']}.safetensors", b"a delta")
    assert set(keep_best(made).names) == {f"{trial_id(number)}.safetensors" for number in (0, 1)}


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """Not a pickle, not a traceback."""
    (tmp_path / "x.safetensors").write_bytes(b"\x80\x04evil")
    with pytest.raises(ModelError, match=r"x\.safetensors"):
        load_delta(tmp_path / "x.safetensors", MODEL_DIR)


def test_a_kept_model_names_its_classes(tmp_path: Path) -> None:
    """What the results call class 1 is what the model calls it."""
    study = tiny_study(methods={"bitfit": {"lr": 1e-3}}, budget={"steps": 2})
    options = RunOptions(str(tmp_path), debug=True, keep="all")
    run_study(study, options, lambda scheduler: Observer(), lambda trial, reason, runs: None)
    folder = ResultsFolder(str(tmp_path))
    (name,) = folder.names("deltas", ".safetensors")
    model, _ = load_delta(folder.path(f"deltas/{name}"), MODEL_DIR)
    plan = folder.plan()
    assert plan is not None
    assert list(model.config.id2label.values()) == plan["tasks"]["mini-cola"]["classes"]
    assert model.config.label2id == {name: i for i, name in model.config.id2label.items()}
