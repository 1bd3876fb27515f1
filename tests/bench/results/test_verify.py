"""`finebench verify`: a sound folder is sound, and every way of spoiling it is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.exit_codes import EXIT_FAILED_TRIALS
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import compact
from finebench.bench.results.verify import Verification, verify
from finebench.bench.util.errors import ResultsError
from tests.bench.stored import fill, make_record, trial_id
from tests.bench.tiny import run_tiny


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of two real trials."""
    path = tmp_path_factory.mktemp("trained")
    run_tiny(path, budget={"steps": 2}, training={"evals": 1, "batch_size": 4})
    return path


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> ResultsFolder:
    """A copy of it, to be spoilt."""
    for file in trained.rglob("*"):
        if file.is_file():
            target = tmp_path / "r" / file.relative_to(trained)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())
    return ResultsFolder(str(tmp_path / "r"))


def problems(found: Verification) -> list[str]:
    return [one.kind for one in found.problems]


def test_a_run_is_sound_and_all_ids_are_recomputed(folder: ResultsFolder) -> None:
    found = verify(folder)
    assert found.problems == []
    assert (found.trials, found.planned, found.ids, dict(found.unchecked)) == (2, 2, 2, {})
    assert found.files == 2 + 3 * 2
    compact(folder)
    again = verify(folder)
    assert (again.problems, again.notes, again.ids) == ([], [], 2)


def change(folder: ResultsFolder, column: str, value: Any) -> None:
    """Write another value into the first row."""
    path = next(Path(folder.root, "trials").glob("*.parquet"))
    table = pq.read_table(path)
    index = table.schema.get_field_index(column)
    field = table.schema.field(column)
    pq.write_table(table.set_column(index, field, pa.array([value], field.type)), path)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("hyperparameters", '{"lr": 0.123}'),
        ("seed", 7),
        ("fraction", 0.25),
        ("budget", '{"steps": 3}'),
        ("budget", '{"steps": -3}'),
    ],
)
def test_a_row_whose_contents_were_changed(folder: ResultsFolder, column: str, value: Any) -> None:
    change(folder, column, value)
    assert problems(verify(folder)) == ["id"]


def test_an_id_of_other_versions_is_not_called_wrong(folder: ResultsFolder) -> None:
    plan = folder.read_json("plan.json")
    plan["identities"][0]["training_version"] = 0
    folder.write_json("plan.json", plan)
    found = verify(folder)
    assert (found.problems, found.ids, sum(found.unchecked.values())) == ([], 0, 2)
    del plan["identities"]
    folder.write_json("plan.json", plan)
    assert sum(verify(folder).unchecked.values()) == 2


def first(folder: ResultsFolder, table: str) -> Path:
    return sorted(Path(folder.root, table).glob("*.parquet"))[0]


def truncate(folder: ResultsFolder) -> None:
    path = first(folder, "predictions")
    path.write_bytes(path.read_bytes()[:-30])


def flip(folder: ResultsFolder) -> None:
    path = first(folder, "evals")
    data = bytearray(path.read_bytes())
    data[40] ^= 0xFF
    path.write_bytes(data)


def foreign(folder: ResultsFolder) -> None:
    pq.write_table(pa.table({"a": [1]}), Path(folder.root, "trials/other.parquet"))


def duplicate(folder: ResultsFolder) -> None:
    path = first(folder, "trials")
    table = pq.read_table(path)
    index = table.schema.get_field_index("score")
    changed = table.set_column(index, table.schema.field("score"), [[0.123]])
    pq.write_table(changed, path.with_name("copy.parquet"))


SPOILT: dict[str, tuple[Callable[[ResultsFolder], Any], list[str]]] = {
    "truncated": (truncate, ["damaged", "incomplete"]),
    "a flipped byte": (flip, ["damaged", "incomplete"]),
    "emptied": (lambda f: first(f, "trials").write_bytes(b""), ["damaged"]),
    "another program's file": (foreign, ["foreign"]),
    "predictions gone": (lambda f: first(f, "predictions").unlink(), ["incomplete"]),
    "renamed": (lambda f: first(f, "trials").rename(Path(f.root, f"trials/{'0' * 20}.parquet")), ["name"]),
    "two results of one trial": (duplicate, ["duplicate"]),
    "no study": (lambda f: Path(f.root, "study.yaml").unlink(), ["missing"]),
    "a broken study": (lambda f: Path(f.root, "study.yaml").write_text("a: ["), ["damaged"]),
    "a broken plan": (lambda f: Path(f.root, "plan.json").write_text("{"), ["damaged"]),
    "a plan of other shape": (lambda f: f.write_json("plan.json", {"cells": [3]}), ["damaged"]),
    "a broken calibration": (lambda f: Path(f.root, "calibration.json").write_text("{"), ["damaged"]),
    "a broken delta": (lambda f: f.write_bytes("deltas/x.safetensors", b"\x80\x04x."), ["damaged"]),
}


@pytest.mark.parametrize("case", SPOILT)
def test_whatever_is_spoilt_is_named(case: str, folder: ResultsFolder) -> None:
    spoil, kinds = SPOILT[case]
    spoil(folder)
    before = {path: path.read_bytes() for path in Path(folder.root).rglob("*") if path.is_file()}
    assert problems(verify(folder)) == kinds
    assert {path: path.read_bytes() for path in Path(folder.root).rglob("*") if path.is_file()} == before


def test_what_an_interrupted_run_leaves_is_a_note(folder: ResultsFolder) -> None:
    first(folder, "trials").unlink()
    Path(folder.root, "trials/_x.parquet.0123abcd").write_bytes(b"half")
    found = verify(folder)
    assert found.problems == []
    assert sorted(one.kind for one in found.notes) == ["orphan", "orphan", "pending", "unfinished"]


def test_rows_beyond_the_plan_are_a_note(folder: ResultsFolder) -> None:
    """An earlier, wider study was run into the folder."""
    plan = folder.read_json("plan.json")
    cell = next(one for one in plan["cells"] if one["method"] == "bitfit")
    cell["planned"] = 0
    folder.write_json("plan.json", plan)
    found = verify(folder)
    assert (found.problems, found.planned, found.trials) == ([], 1, 2)
    assert [(one.kind, "bitfit" in one.where) for one in found.notes] == [("beyond the plan", True)]


def test_superseded_rows_are_notes(tmp_path: Path) -> None:
    folder = fill(tmp_path, range(3), "oom")
    compact(folder)
    folder.write(make_record(1))
    found = verify(folder)
    assert found.problems == []
    where = [one.where for one in found.notes if one.kind == "superseded"]
    assert where == [f"trials/{path.name}" for path in (tmp_path / "trials").glob("segment-*")]
    assert f"trial {trial_id(1)}" in next(one.what for one in found.notes if one.kind == "superseded")


def test_the_command(folder: ResultsFolder, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*more: str) -> int:
        return guarded(lambda: app(["verify", folder.root, *more], standalone_mode=False))

    assert run() == 0
    assert "sound" in capsys.readouterr().out
    truncate(folder)
    assert run("--json") == EXIT_FAILED_TRIALS
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] is False
    assert found["problems"][0]["where"].startswith("predictions/")
    assert run() == EXIT_FAILED_TRIALS
    assert "problem: damaged: predictions/" in capsys.readouterr().out


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="does not exist"):
        verify(ResultsFolder(str(tmp_path / "nowhere")))
