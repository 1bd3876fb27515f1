"""The studies under docs/studies: what is published is what today's code makes of the rows that lie beside it."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from docs.studies.publish import table
from finebench.bench.study.load import load_study
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


@pytest.fixture(scope="module", params=PAGES, ids=lambda page: page.name)
def page(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture(scope="module")
def made(page: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of the published rows, made now."""
    out = tmp_path_factory.mktemp(page.name)
    copy = shutil.copytree(page / "results", out / "results", ignore=shutil.ignore_patterns("report"))
    done = finebench("report", str(copy), "--out", str(out / "report"), *plugins(page))
    assert done.returncode == 0, done.stderr
    return out / "report"


def test_there_are_studies() -> None:
    assert EMBEDDED in PAGES


def test_its_tables_are_those_that_are_published(page: Path, made: Path) -> None:
    published = {path.name for path in (page / "results" / "report" / "tables").glob("*.csv")}
    assert {path.name for path in (made / "tables").glob("*.csv")} == published
    for name in sorted(published):
        files = [one / "tables" / name for one in (page / "results" / "report", made)]
        empty = [not file.read_text("utf-8").strip() for file in files]
        assert empty[0] == empty[1]
        if empty[0]:
            continue
        then, now = (pd.read_csv(file).drop(columns="command", errors="ignore") for file in files)  # names the folder
        pd.testing.assert_frame_equal(now, then, rtol=1e-6, obj=name)


@pytest.mark.usefixtures("plugins_go")
def test_its_verdicts_are_those_that_are_published(page: Path, made: Path) -> None:
    then, now = (json.loads((one / "claims.json").read_text("utf-8")) for one in (page / "results" / "report", made))
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
