"""The record of looks: what counts as one, what it says, and that the report keeps it."""

import json
from pathlib import Path

import pytest

from finebench.analysis.load.read import load_results
from finebench.analysis.report import looks
from finebench.analysis.report.write import write_report
from finebench.bench.util.errors import ResultsError
from finebench.bench.util.storage import Store
from tests.analysis.fixtures import empty


def test_a_look_is_a_set_of_trials_and_not_a_report(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1)
    folder.plan("alpha", "one", 1.0, 2, 1)
    record: list[looks.Rendering] = []
    for _ in range(2):
        loaded = load_results(folder.write())
        record = looks.with_look(record, looks.look(loaded.trials, loaded.plan))
    assert [(one.trials, one.planned) for one in record] == [(1, 2)]
    assert looks.said(record) == []
    folder.add(seed=2)
    loaded = load_results(folder.write())
    record = looks.with_look(record, looks.look(loaded.trials, loaded.plan))
    (said,) = looks.said(record)
    assert said.startswith("The study was looked at while it ran: 2 reports saw different trials of it (1, 2).")


def test_a_plan_that_grew_after_a_look_is_an_extension() -> None:
    record = [looks.Rendering(10, 10, "a", ""), looks.Rendering(16, 20, "b", ""), looks.Rendering(20, 20, "c", "")]
    (said,) = looks.said(record)
    assert said.startswith("The study was extended after a look: 3 reports")
    assert "too narrow" in said
    (unknown,) = looks.said([looks.Rendering(1, None, "a", ""), looks.Rendering(2, None, "b", "")])
    assert "looked at while it ran" in unknown


def test_the_record_survives_the_file(tmp_path: Path) -> None:
    record = [looks.Rendering(3, None, "a", "2025-03-01T12:00:00+00:00"), looks.Rendering(4, 5, "b", "")]
    assert looks.read_looks(Store(str(tmp_path))) == []
    (tmp_path / looks.FILE).write_bytes(looks.to_json(record))
    assert looks.read_looks(Store(str(tmp_path))) == record


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({"looks": [{"trials": 3}]})])
def test_a_broken_record_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    (tmp_path / looks.FILE).write_text(text)
    with pytest.raises(ResultsError, match=r"looks\.json: not a record of looks"):
        looks.read_looks(Store(str(tmp_path)))


def test_the_report_keeps_the_record_and_warns(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(seed=1)
    write_report(folder.write())
    folder.add(seed=2)
    write_report(folder.write())
    assert len(looks.read_looks(Store(str(tmp_path / "report")))) == 2
    assert "looked at while it ran: 2 reports" in (tmp_path / "report" / "report.md").read_text("utf-8")
