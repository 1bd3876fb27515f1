"""The studies under docs/studies: what is published is what today's code makes of the rows that lie beside it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from docs.studies.publish import table
from finebench.analysis.claims import judge
from finebench.analysis.load.read import load_results
from finebench.analysis.report.contents import Contents, analyse
from finebench.analysis.report.layout import tables
from finebench.analysis.tables.formats import to_csv
from finebench.bench.study.load import load_study
from finebench.bench.study.plugins import load_given
from finebench.bench.util import doors
from tests.test_readme import ROOT, environment

PAGES = sorted(page.parent for page in (ROOT / "docs" / "studies").glob("*/results"))
EMBEDDED = ROOT / "docs" / "studies" / "embedded"
MOST_BYTES = 5 * 2**20
"""Of predictions."""


def finebench(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "finebench", *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment())


def plugins(page: Path) -> list[str]:
    return [word for file in sorted(page.glob("*.py")) for word in ("--plugin", str(file))]


def published_tables(page: Path) -> dict[str, str]:
    return {path.name: path.read_text("utf-8") for path in (page / "results" / "report" / "tables").glob("*.csv")}


def check_tables(now: dict[str, str], then: dict[str, str]) -> None:
    """Equal but for the last digits, and for the column that names the folder."""
    assert now.keys() == then.keys()
    for name in sorted(then):
        assert bool(now[name].strip()) == bool(then[name].strip())
        if then[name].strip():
            frames = [pd.read_csv(StringIO(one[name])).drop(columns="command", errors="ignore") for one in (now, then)]
            pd.testing.assert_frame_equal(*frames, rtol=1e-6, obj=name)


@pytest.fixture(scope="module", params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture(scope="module")
def made(page: Path) -> Iterator[Contents]:
    """What a report of the published rows holds, made now."""
    before = dict(doors._plugins)
    load_given([str(file) for file in sorted(page.glob("*.py"))])
    yield analyse(load_results(str(page / "results")))
    doors._plugins.clear()
    doors._plugins.update(before)


def test_there_are_studies() -> None:
    assert EMBEDDED in PAGES


def test_its_tables_are_those_that_are_published(page: Path, made: Contents) -> None:
    check_tables({f"{name}.csv": to_csv(table) for name, table in tables(made).items()}, published_tables(page))


@pytest.mark.slow
def test_the_command_makes_the_tables_that_are_published(page: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(page / "results", tmp_path / "results", ignore=shutil.ignore_patterns("report"))
    done = finebench("report", str(copy), *plugins(page))
    assert done.returncode == 0, done.stderr
    check_tables(
        {path.name: path.read_text("utf-8") for path in copy.glob("report/tables/*.csv")}, published_tables(page)
    )


@pytest.mark.usefixtures("plugins_go")
def test_its_verdicts_are_those_that_are_published(page: Path, made: Contents) -> None:
    then = json.loads((page / "results" / "report" / "claims.json").read_text("utf-8"))
    now = json.loads(judge.to_json(made.verdicts))
    assert [(one["id"], one["verdict"]) for one in now] == [(one["id"], one["verdict"]) for one in then]
    assert [one.id for one in load_study(str(page / "study.yaml")).claims] == [one["id"] for one in now]
    assert (page / "results" / "claims.md").read_text("utf-8") == table(then)


def test_what_is_published_is_whole_and_names_no_folder_of_a_machine(page: Path) -> None:
    assert finebench("verify", str(page / "results"), *plugins(page)).returncode == 0
    assert sum(path.stat().st_size for path in (page / "results" / "predictions").iterdir()) < MOST_BYTES
    texts = [path for path in page.rglob("*") if path.suffix in {".md", ".yaml", ".json", ".csv", ".html"}]
    assert len(texts) > 5
    for path in texts:
        text = path.read_text("utf-8")
        assert not any(f"{folder}/" in text for folder in ("/home", "/root", "/work", "/tmp", "/mnt", "/Users")), path


@pytest.mark.usefixtures("plugins_go")
def test_the_study_is_the_one_that_was_run(page: Path) -> None:
    """The file that a reader runs would add nothing but what the stored one does."""
    results = page / "results"
    asked = finebench("status", str(results), "--json", *plugins(page))
    assert json.loads(asked.stdout)["outside"] == 0
    stored = pq.read_table(results / "trials", columns=["study"])["study"].unique().to_pylist()
    assert stored == [load_study(str(page / "study.yaml")).name]


def test_the_controls_come_out_as_known() -> None:
    """Full fine-tuning under another name is bit for bit full fine-tuning; the head alone loses."""
    claims = json.loads((EMBEDDED / "results" / "report" / "claims.json").read_text("utf-8"))
    controls = {one["id"]: one for one in claims if one["id"].startswith("control-")}
    assert {one["verdict"] for one in controls.values()} == {"supported"}
    assert len(controls) == 2
    rows = pq.read_table(EMBEDDED / "results" / "trials").to_pandas()
    keys = ["task", "fraction", "seed", "lr", "stage"]
    full, twin = (rows[rows["method"] == name].set_index(keys)["score"].sort_index() for name in ("full", "twin"))
    both = full.index.intersection(twin.index)
    assert len(both) > 50
    assert (full[both] == twin[both]).all()


@pytest.mark.parametrize("method", [pytest.param("bitfit", marks=pytest.mark.slow), "twin"])
def test_a_published_trial_runs_again_here(method: str, tmp_path: Path) -> None:
    """Bit for bit on the machine that trained it, as `rerun` says; another processor's rounding is amplified."""
    rows = pq.read_table(EMBEDDED / "results" / "trials").to_pandas()
    row = rows[(rows["method"] == method) & (rows["fraction"] == 0.3) & (rows["task"] == "mini-stsb")].iloc[0]
    copy = shutil.copytree(EMBEDDED / "results", tmp_path / "results")
    done = finebench("rerun", str(copy), row["trial_id"], "--json", *plugins(EMBEDDED))
    found = json.loads(done.stdout)
    assert found["status"]["now"] == "ok"
    assert found["score"]["now"] == pytest.approx(row["score"], abs=0.05)


@pytest.mark.slow
def test_a_trial_of_every_method_and_task_runs_again_here(tmp_path: Path) -> None:
    """Scores as near as another processor's rounding lets them be; bit-equal on the machine that trained them."""
    rows = pq.read_table(EMBEDDED / "results" / "trials").to_pandas()
    last = rows[(rows["fraction"] == 1.0) & (rows["stage"] == "confirm")].sort_values("seed")
    copy = shutil.copytree(EMBEDDED / "results", tmp_path / "results")
    for _, row in last.groupby(["task", "method"]).tail(1).iterrows():
        done = finebench("rerun", str(copy), row["trial_id"], "--json", *plugins(EMBEDDED))
        found = json.loads(done.stdout)
        assert found["status"]["now"] == "ok", row
        spread = 0.2 if row["task"] == "mini-cola" else 0.05  # by three standard deviations over seeds
        assert found["score"]["now"] == pytest.approx(row["score"], abs=spread), row
