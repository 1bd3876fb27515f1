"""The results folder: written whole, read whole, foreign things named."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.record import Record
from finebench.bench.results.schema import ADDED, EVALS, PREDICTIONS, SCHEMA_VERSION, TRIALS
from finebench.bench.util.errors import ResultsError, plain


def make_record(trial_id: str = "aa", status: str = "ok", version: int = SCHEMA_VERSION) -> Record:
    """A minimal record."""
    text = dict.fromkeys(("study", "method", "model", "task", "metric"), "x")
    row = {field.name: None for field in TRIALS} | text
    row |= {"trial_id": trial_id, "hyperparameters": '{"lr": 0.1}', "fraction": 1.0, "seed": 1, "budget": "{}"}
    row |= {"stage": "grid", "status": status, "schema_version": version}
    return Record(row, EVALS.empty_table(), PREDICTIONS.empty_table())


def test_a_record_survives_the_wire(tmp_path: Path) -> None:
    """encode and decode are inverse."""
    record = make_record()
    again = Record.decode(record.encode())
    assert again.trial == record.trial
    assert again.evals.schema == EVALS
    assert again.predictions.schema == PREDICTIONS


def test_written_files_have_the_schema_and_no_temporary_is_left(tmp_path: Path) -> None:
    """Each table's file has the contract's schema; temporary names begin with _ and are gone."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    folder.write(make_record())
    assert pq.read_schema(tmp_path / "trials/aa.parquet").equals(TRIALS)
    assert pq.read_schema(tmp_path / "evals/aa.parquet").equals(EVALS)
    assert pq.read_schema(tmp_path / "predictions/aa.parquet").equals(PREDICTIONS)
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith("_")]


def test_files_from_before_a_column_hold_nulls_there(tmp_path: Path) -> None:
    """Alone and beside newer ones; any other column that is missing is no file of ours."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    folder.write(make_record())
    whole = pq.read_table(tmp_path / "trials/aa.parquet")
    pq.write_table(whole.drop_columns(list(ADDED)), tmp_path / "trials/aa.parquet")
    folder.write(
        Record(make_record("bb").trial | {"precision": "bf16"}, EVALS.empty_table(), PREDICTIONS.empty_table())
    )
    assert {row["trial_id"]: row["precision"] for row in folder.rows()} == {"aa": None, "bb": "bf16"}
    assert {one.precision for one in folder.done().values()} == {None, "bf16"}
    assert all(TRIALS.field(name).nullable for name in ADDED)
    pq.write_table(whole.drop_columns(["score"]), tmp_path / "trials/aa.parquet")
    with pytest.raises(ResultsError, match="column 'score' is missing"):
        list(folder.rows())


def test_a_precision_that_there_is_not_is_refused(tmp_path: Path) -> None:
    """As any word outside of a column's choices."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    folder.write(Record(make_record().trial | {"precision": "auto"}, EVALS.empty_table(), PREDICTIONS.empty_table()))
    with pytest.raises(ResultsError, match="precision 'auto' is not one of fp32, bf16"):
        list(folder.rows())


def test_readers_ignore_temporary_names(tmp_path: Path) -> None:
    """A half-written file is never seen."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    folder.write(make_record())
    (tmp_path / "trials/_bb.parquet.1").write_bytes(b"half")
    (tmp_path / "trials/_cc.parquet").write_bytes(b"half")
    assert [row["trial_id"] for row in folder.rows()] == ["aa"]


def test_a_pruned_row_and_a_full_one_live_side_by_side(tmp_path: Path) -> None:
    """They have one id and two files."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    folder.write(make_record(status="pruned"))
    folder.write(make_record())
    assert set(folder.done()) == {("aa", True), ("aa", False)}


def test_a_corrupt_file_is_named(tmp_path: Path) -> None:
    """Not a traceback: the path."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    (tmp_path / "trials/bad.parquet").write_bytes(b"PAR1 not parquet")
    with pytest.raises(ResultsError, match=r"trials/bad\.parquet"):
        list(folder.rows())


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    """Numbers are not guessed at."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    folder.write(make_record(version=SCHEMA_VERSION + 1))
    with pytest.raises(ResultsError, match="update finebench"):
        list(folder.rows())


def test_any_uri_that_pyarrow_opens(tmp_path: Path) -> None:
    """A URI works like a path."""
    folder = ResultsFolder(tmp_path.as_uri())
    folder.create()
    folder.write(make_record())
    assert pa.concat_tables([pq.read_table(tmp_path / "trials/aa.parquet")]).num_rows == 1
    assert folder.read_json("nothing.json") is None


def test_an_unknown_scheme_is_refused() -> None:
    """One clear message."""
    with pytest.raises(ResultsError, match="nowhere://"):
        ResultsFolder("nowhere://bucket/x")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("\x1b[36mray::f\x1b[39m\nfailed\t at \x1b]0;title\x07line\x00 2\x9b", "ray::f failed at line 2"),
        ("a" * 300 + "b" * 300, f"{'a' * 98} … {'b' * 98}"),
        ("caf\u00e9", "caf\u00e9"),
    ],
)
def test_foreign_messages_become_plain_lines(given: str, line: str) -> None:
    """Colours, titles and control characters go, and the middle of what is long."""
    assert plain(given) == line
