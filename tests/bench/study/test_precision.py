"""`precision: auto` is one precision for a whole run, part of a trial's identity and told by its row."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from finebench.analysis.load.read import load_results
from finebench.bench.cli.show import status
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.verify import verify
from finebench.bench.results.within import same
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study import precision
from finebench.bench.study.plan import Identities, Plan
from finebench.bench.study.precision import Gpus, gpus_here, has_amx, of_row, resolve
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import InputError, ResultsError
from tests.bench.scheduling.test_scheduler import KNOWN, done_row
from tests.bench.tiny import run_tiny, tiny_study

T4, A100 = Gpus(1, False), Gpus(2, True)


def study(written: str = "auto", gpu: Any = "auto", **methods: Any) -> Study:
    """A study that asks for a precision and, by method, for GPUs."""
    own = {name: {"lr": 1e-3, "resources": {"gpu": asked}} for name, asked in methods.items()} or {"full": {"lr": 1e-3}}
    return tiny_study(methods=own, training={"precision": written}, resources={"gpu": gpu})


@pytest.mark.parametrize(
    ("machines", "expected"),
    [([Gpus(0, False)], "fp32"), ([A100], "bf16"), ([T4], "fp32"), ([A100, T4], "fp32"), ([A100, A100], "bf16"),
     ([A100, Gpus(0, False)], "bf16"), ([], "fp32")],
)  # fmt: skip
def test_auto_is_what_all_gpus_compute_in_hardware(machines: list[Gpus], expected: str) -> None:
    """On a CPU float32; of unlike GPUs what they have in common."""
    assert resolve(study(), lambda: machines).precision == expected


def test_what_is_written_is_not_asked_for() -> None:
    """Nor is anything that trains on a CPU."""

    def ask() -> list[Gpus]:
        raise AssertionError("asked")

    assert resolve(study("bf16"), ask).precision == "bf16"
    assert resolve(study("fp32"), ask).precision == "fp32"
    assert resolve(study(gpu=0), ask).precision == "fp32"
    assert resolve(study(full=0, bitfit=0), ask).precision == "fp32"


def test_a_method_on_the_cpu_makes_it_float32_for_all() -> None:
    """Methods that are compared train in one precision, and it is said."""
    found = resolve(study(full="auto", bitfit=0), lambda: [A100])
    assert found.precision == "fp32"
    assert "bitfit trains on a CPU" in found.notes[0]


def test_gpus_that_are_not_there_yet_cannot_be_asked() -> None:
    """On a cluster that makes nodes as trials ask for them."""
    with pytest.raises(InputError, match=r"training\.precision: auto .*'bitfit' asks for one.*precision=bf16"):
        resolve(study(full="auto", bitfit=0.5), lambda: [])


def known(now: Any) -> Identities:
    """Names as they stand in a run that trains in this precision."""
    return replace(KNOWN, precision=now)


def ids(written: str, now: Any) -> set[str]:
    """Ids of a study's trials."""
    return {trial.id for trial in Plan(study(written)).grid(known(now))}


def test_the_precision_is_part_of_the_identity() -> None:
    """Written or found out, the same precision is the same trial."""
    assert ids("auto", "fp32") == ids("fp32", "fp32")
    assert ids("auto", "bf16") == ids("bf16", "bf16")
    assert not ids("auto", "bf16") & ids("auto", "fp32")
    assert {trial.training.precision for trial in Plan(study()).grid(known("bf16"))} == {"bf16"}


def test_training_options_in_a_methods_space_keep_it() -> None:
    """They make training options of their own."""
    tuned = tiny_study(methods={"full": {"lr": 1e-3, "batch_size": [8, 16]}})
    assert {trial.training.precision for trial in Plan(tuned).grid(known("bf16"))} == {"bf16"}


@pytest.mark.parametrize(
    ("stored", "device", "written", "expected"),
    [
        ("bf16", "x", "auto", "bf16"),
        (None, "AMD EPYC", "auto", "fp32"),
        (None, "NVIDIA A100-SXM4-80GB", "auto", None),
        (None, None, "auto", None),
        (None, "x", "bf16", "bf16"),
        (None, "x", "fp32", None),
    ],
)
def test_rows_older_than_the_column(stored: Any, device: Any, written: str, expected: Any) -> None:
    """What auto was on a GPU they do not say."""
    assert of_row(stored, device, written) == expected


def test_rows_of_another_precision_do_not_enter() -> None:
    """And are told by number."""
    trials = list(Plan(tiny_study(seeds=3)).grid(KNOWN))
    rows = [replace(done_row(t), precision=p) for t, p in zip(trials, ["fp32", "bf16", "bf16", None], strict=False)]
    kept, said = same({(row.trial_id, False): row for row in rows}, "auto", "fp32")
    assert list(kept) == [(trials[0].id, False)]
    assert said[0].endswith("2 in bf16, 1 in one that is not known")
    assert same(kept, "auto", "fp32") == (kept, [])


class Notes(Observer):
    """Keeps what a user is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def on_note(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)


def test_a_folder_continued_on_other_hardware_does_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each precision has trials of its own; the other's stay, sound, and count for nothing that is chosen or shown."""
    changes: dict[str, Any] = {
        "methods": {"full": {"lr": [1e-3]}},
        "seeds": 2,
        "budget": {"steps": 2},
        "training": {"evals": 1, "batch_size": 4},
        "search": {"grid": {"confirm_seeds": 1}},
    }
    assert run_tiny(tmp_path, **changes).statuses == {"ok": 4}
    before = {row["trial_id"]: row for row in ResultsFolder(str(tmp_path)).rows()}
    monkeypatch.setattr("finebench.bench.driver.run.gpus_here", lambda: Gpus(1, True))
    notes = Notes()
    again = run_tiny(tmp_path, observer=lambda scheduler: notes, **changes)
    assert (again.statuses, again.skipped) == ({"ok": 4}, 0)
    assert "precision auto is bf16: all GPUs (1) compute it in hardware" in notes.said
    assert any("left out" in note and "4 in fp32" in note for note in notes.said), notes.said
    after = {row["trial_id"]: row for row in ResultsFolder(str(tmp_path)).rows()}
    assert {i: row for i, row in after.items() if i in before} == before
    assert sorted(row["precision"] for row in after.values()) == ["bf16"] * 4 + ["fp32"] * 4
    found = verify(ResultsFolder(str(tmp_path)))
    assert (found.problems, found.ids) == ([], 8)
    assert {note.kind for note in found.notes} == {"other precision"}
    loaded = load_results(str(tmp_path))
    assert set(loaded.trials["precision"]) == {"bf16"}
    assert "4 in fp32" in loaded.left_out[0]
    counted = status(str(tmp_path))
    assert (counted["ok"], counted["pending"], counted["other_precision"]) == (4, 0, 4)
    monkeypatch.undo()
    assert run_tiny(tmp_path, **changes).statuses == {}
    assert set(load_results(str(tmp_path)).trials["precision"]) == {"fp32"}


def test_status_verify_and_report_count_the_same_rows_of_before_the_column(tmp_path: Path) -> None:
    """What a GPU made of auto then is not told: such a row is left out by all of them, one of a CPU by none."""
    run_tiny(tmp_path)
    for path, device in zip(sorted((tmp_path / "trials").glob("*.parquet")), ("NVIDIA H200", "AMD EPYC"), strict=True):
        rows = pq.read_table(path)
        for name, value in (("precision", None), ("device", device)):
            field = rows.schema.field(name)
            rows = rows.set_column(rows.schema.get_field_index(name), field, pa.array([value], field.type))
        pq.write_table(rows, path)
    counted = status(str(tmp_path))
    assert (counted["ok"], counted["pending"], counted["other_precision"]) == (1, 1, 1)
    assert len(load_results(str(tmp_path)).trials) == 1
    assert "1 trials were not trained in fp32" in str(verify(ResultsFolder(str(tmp_path))).notes)


def test_a_folder_with_nothing_of_the_studys_precision_says_so(tmp_path: Path) -> None:
    """Rather than show an empty report."""
    run_tiny(tmp_path)
    folder = ResultsFolder(str(tmp_path))
    folder.write_json("plan.json", (folder.plan() or {}) | {"precision": "bf16"})
    with pytest.raises(ResultsError, match=r"no finished trial of its study yet: .* 2 in fp32"):
        load_results(str(tmp_path))


def test_gpus_are_looked_for_only_where_there_may_be_some(monkeypatch: pytest.MonkeyPatch) -> None:
    """Importing torch for it takes seconds."""
    monkeypatch.setattr(precision, "look", lambda: A100)
    monkeypatch.setattr(precision, "_may_have_gpus", lambda: False)
    assert gpus_here() == Gpus(0, False)
    monkeypatch.setattr(precision, "_may_have_gpus", lambda: True)
    assert gpus_here() == A100
    monkeypatch.setenv("FINEBENCH_LOGICAL_GPUS", "1")
    assert gpus_here() == Gpus(0, False)


@pytest.mark.parametrize(("hardware", "expected"), [((True, True), True), ((True, False), False), ((), False)])
def test_each_gpu_is_asked_for_hardware(
    monkeypatch: pytest.MonkeyPatch, hardware: tuple[bool, ...], expected: bool
) -> None:
    """An emulated bf16 is none; torch speaks of the current device alone."""
    current: list[int] = []

    @contextmanager
    def device(index: int) -> Iterator[None]:
        current.append(index)
        yield

    def supported(including_emulation: bool = True) -> bool:
        return including_emulation or hardware[current[-1]]

    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(hardware))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(hardware))
    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    assert precision.look() == Gpus(len(hardware), expected)


def test_hidden_gpus_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As torch and Ray see it."""
    monkeypatch.setattr(precision.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert precision._may_have_gpus()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert not precision._may_have_gpus()


def test_a_process_of_its_own_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it cannot tell is a message that says what else decides."""
    assert precision._asked_apart({}) == Gpus(0, False)
    monkeypatch.setattr(precision.sys, "executable", "/bin/false")
    with pytest.raises(InputError, match=r"exit code 1.*precision=fp32 or"):
        precision._asked_apart({})


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu amx_bf16 avx512f amx_tile amx_int8", True), ("fpu amx_tile", False), ("fpu avx512_bf16", False)],
)
def test_amx_is_read_from_the_processors_flags(tmp_path: Path, flags: str, expected: bool) -> None:
    """Tiles and bf16, both."""
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nmodel name\t: X\nflags\t\t: {flags}\nbugs\t\t: amx_bf16\n")
    assert has_amx(tmp_path / "cpuinfo") is expected
    assert not has_amx(tmp_path / "none")


def test_the_plan_says_the_precision_and_where_a_cpu_has_amx(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what would use it; where bf16 is written there is nothing to say."""
    from finebench.bench.driver import forecast as module

    monkeypatch.setattr(module, "has_amx", lambda: True)
    found = module.forecast(tiny_study(), None)
    assert found["precision"] == "fp32"
    assert any("AMX" in note for note in found["notes"])
    written = module.forecast(tiny_study(training={"precision": "bf16"}), None)
    assert written["precision"] == "bf16"
    assert not any("AMX" in note for note in written["notes"])
    assert json.dumps(found)
