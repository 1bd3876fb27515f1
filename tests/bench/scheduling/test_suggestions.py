"""Recorded suggestions are read back as they were written, from an object store several at once."""

import threading
from pathlib import Path

import pytest

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.suggestions import Suggestion, Suggestions
from finebench.bench.util.errors import ResultsError
from finebench.bench.util.storage import REQUESTS


def written(folder: ResultsFolder, number: int) -> list[Suggestion]:
    """So many suggestions of one cell, which stand in the folder."""
    made = [Suggestion(number=n, params={"lr": n / 7}, configuration={"lr": n / 7}, told=n // 2) for n in range(number)]
    for one in made:
        Suggestions(folder, "cell").write(one)
    return made


def test_suggestions_come_back_in_order(tmp_path: Path) -> None:
    folder = ResultsFolder(str(tmp_path))
    made = written(folder, 12)
    assert Suggestions(folder, "cell").read() == made
    assert Suggestions(folder, "other cell").read() == []


def test_what_is_no_suggestion_is_named(tmp_path: Path) -> None:
    folder = ResultsFolder(str(tmp_path))
    written(folder, 3)
    folder.write_json("search/cell/000001.json", {"number": 1})
    with pytest.raises(ResultsError, match=r"cell/000001\.json: not a suggestion written by finebench: params"):
        Suggestions(folder, "cell").read()


def test_an_object_store_is_asked_for_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 30 ms a request, 20,000 of them one after the other took ten minutes at the start of a run."""
    folder = ResultsFolder("mock:///bucket/run")
    folder.fs.create_dir("bucket/run/search/cell")
    made = written(folder, 2 * REQUESTS)
    together, read = threading.Barrier(REQUESTS), folder.read_bytes

    def slow(name: str, limit: int | None = None) -> bytes | None:
        together.wait(10)  # raises where the others are not asked for meanwhile
        return read(name, limit)

    monkeypatch.setattr(folder, "read_bytes", slow)
    assert Suggestions(folder, "cell").read() == made
