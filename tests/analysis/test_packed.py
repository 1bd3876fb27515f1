"""Rows of packs: their scores count like any other's, their times are never part of a table of times."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis.contents import analyse
from analysis.costs import SECONDS, with_solo_seconds
from analysis.ledger import ledger
from analysis.load import load_results
from analysis.report import write_report
from analysis.runs import CELL, runs
from tests.analysis.fixtures import Folder, draw

UNSEEN = (*SECONDS, "peak_memory_bytes", "energy_joules")
OF_TIME = ("efficiency", "ratios", "fronts", "crossovers", "curves")


def packed(path: Path, **seen: Any) -> Folder:
    """A drawn study in which all seeds but the first were trained in packs; `seen` is what their rows claim to know."""
    folder = draw(path, seeds=3, tasks=("cola",))
    for row in folder.rows["trials"]:
        if row["seed"] > 1:
            row |= {"pack_size": 4, "exclusive": False} | dict.fromkeys(UNSEEN) | seen
    mine = {row["trial_id"] for row in folder.rows["trials"] if row["seed"] > 1}
    for row in folder.rows["evals"]:
        if row["trial_id"] in mine:
            row["train_seconds"] = seen.get("train_seconds")
    return folder


def frames(folder: Folder) -> dict[str, pd.DataFrame]:
    """All frames of its report."""
    return analyse(load_results(folder.write()), price_per_hour=1.0).frames


def test_no_table_of_times_sees_a_packed_row(tmp_path: Path) -> None:
    """Nulls, or absurd times that a foreign writer put there: the tables are the same, and those of the first seed."""
    absurd: dict[str, Any] = dict.fromkeys(UNSEEN, 10**9)
    null, lying = frames(packed(tmp_path / "null")), frames(packed(tmp_path / "lying", **absurd))
    for name in OF_TIME:
        assert name == "crossovers" or len(null[name]) > 0
        pd.testing.assert_frame_equal(null[name], lying[name])
    solo = null["runs"][null["runs"]["seed"].eq(1)]
    for row in null["efficiency"].to_dict("records"):
        own = solo[(solo["method"] == row["method"]) & (solo["fraction"] == row["fraction"]) & (solo["lr"] > 0)]
        assert row["n"] == len(own[own["status"].eq("ok")]) / (2 if row["method"] == "shaky" else 1)
        assert own["train_seconds"].min() <= row["train_seconds"] <= own["train_seconds"].max()
        assert row["shared"] == 2 * row["n"]
    assert null["scores"]["n"].max() == 3  # their scores count
    pd.testing.assert_series_equal(null["scores"]["train_seconds"], lying["scores"]["train_seconds"])


def test_what_a_pack_took_is_priced_as_its_cells_solo_trials(tmp_path: Path) -> None:
    """The ledger and the time spent on choosing: three seeds at what the first one took, on average."""
    table = runs(load_results(packed(tmp_path).write()))
    solo = table[table["seed"].eq(1)]
    for row in ledger(table, 1.0).to_dict("records"):
        own = solo[solo["method"].eq(row["method"])]
        assert row["seconds"] == pytest.approx(3 * own[SECONDS].sum().sum())
        assert row["cost"] == pytest.approx(row["seconds"] / 3600)
        assert row["shared"] == 2 * row["trials"] / 3
    for key, rows in with_solo_seconds(table).groupby(CELL):
        own = solo[(solo[CELL] == pd.Series(key, index=CELL)).all(axis=1)]
        assert rows["train_seconds"].sum() == pytest.approx(3 * own["train_seconds"].sum())


def test_a_report_of_packs_alone_has_scores_and_no_times(tmp_path: Path) -> None:
    """Not even a first seed by itself: nothing breaks, and nothing is made up."""
    folder = packed(tmp_path)
    folder.rows["trials"] = [row for row in folder.rows["trials"] if row["seed"] > 1]
    kept = {row["trial_id"] for row in folder.rows["trials"]}
    for table in ("evals", "predictions"):
        folder.rows[table] = [row for row in folder.rows[table] if row["trial_id"] in kept]
    made = frames(folder)
    assert made["scores"]["n"].max() == 2
    assert made["scores"]["train_seconds"].isna().all()
    assert (made["efficiency"]["n"] == 0).all()
    assert made["curves"]["train_seconds"].isna().all()
    assert (made["ledger"]["seconds"] == 0).all()
    report = write_report(str(tmp_path))
    assert Path(report.path).is_file()
