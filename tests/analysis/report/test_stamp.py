"""A report that was made of just what is there is not made again; whatever changes, it is."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from finebench.analysis.report import stamp
from finebench.analysis.report.stamp import Report, still_there, what_is_there
from finebench.analysis.report.write import write_report
from finebench.bench.cli.terminal.console import make_console
from finebench.bench.util.storage import Store
from tests.analysis.fixtures import Folder
from tests.bench.stored import fill, make_record

SAID = Report("x", [{"score": np.float64(0.5), "complete": np.bool_(True), "low": None}], ["a"], ["b"], ({"id": "c"},))


@pytest.fixture
def made(tmp_path: Path) -> Path:
    """A results folder with a report."""
    store: Store = fill(tmp_path, range(3))
    store.write_bytes("report/index.html", b"page")
    store.write_bytes("report/made.json", stamp.to_json(SAID, what_is_there(store)))
    return tmp_path


def test_it_says_again_what_it_said(made: Path) -> None:
    again = still_there(str(made))
    assert again is not None
    assert again.summary == [{"score": 0.5, "complete": True, "low": None}]
    assert (again.state, again.findings, again.verdicts) == (["a"], ["b"], ({"id": "c"},))
    assert again.path == str(made / "report/index.html")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a row more": lambda path: fill(path, [7]),
    "a row again": lambda path: fill(path, []).write(make_record(1)),
    "predictions gone": lambda path: next((path / "predictions").iterdir()).unlink(),
    "another study": lambda path: (path / "study.yaml").write_text("name: other\n"),
    "another plan": lambda path: (path / "plan.json").write_text("{}"),
    "no page": lambda path: (path / "report/index.html").unlink(),
    "a broken stamp": lambda path: (path / "report/made.json").write_text("{"),
    "a stamp of another shape": lambda path: (path / "report/made.json").write_text('{"report": {"path": 1}}'),
    "a stamp of another kind": lambda path: (path / "report/made.json").write_text("[]"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_whatever_changes_it_is_made_again(made: Path, change: str) -> None:
    CHANGES[change](made)
    assert still_there(str(made)) is None


def test_another_version_makes_it_again(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stamp, "__version__", "0.0.0")
    assert still_there(str(made)) is None


def test_a_run_tells_what_the_report_said_and_one_with_prices_is_no_runs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from finebench.bench.cli.commands import _report_again

    folder = Folder(tmp_path, {"name": "s", "model": "tiny", "tasks": ["alpha"], "methods": {"one": {}}})
    for seed in (1, 2):
        folder.add(seed=seed)
    results = folder.write()
    first = write_report(results)
    page = (tmp_path / "report/index.html").stat().st_mtime_ns
    again = still_there(results)
    assert again is not None
    assert json.dumps(again.summary) == json.dumps(json.loads(stamp.to_json(first, ""))["report"]["summary"])
    _report_again(make_console(), results)
    assert "nothing has changed since it was made" in capsys.readouterr().out.replace("\n", " ")
    assert (tmp_path / "report/index.html").stat().st_mtime_ns == page
    write_report(results, price_per_hour=2.0)
    assert still_there(results) is None
