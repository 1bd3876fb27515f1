"""What other packages add: each page of docs/extending is followed to the letter, through the real command."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.analysis.claim_folder import drawn

ROOT = Path(__file__).parent.parent

Finebench = Callable[..., subprocess.CompletedProcess[str]]

STUDY = """
name: tiny
tasks: [mini-cola]
methods: {bitfit: {lr: 5e-3}}
fractions: [0.1]
seeds: 1
budget: {steps: 6}
training: {evals: 3, batch_size: 8}
"""


def install(folder: Path, page: str) -> None:
    """A package as the page has it: its file, and its entry point."""
    text = (ROOT / "docs/extending" / page).read_text("utf-8")
    (code,), (group, entry) = re.findall(r"```python\n(.*?)```", text, re.S), _entry(text)
    module = re.fullmatch(r"\w+ = \"my_package\.(\w+)\"", entry)
    assert module is not None
    package, about = folder / "my_package", folder / "my_package-1.0.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").write_text("")
    (package / f"{module[1]}.py").write_text(code, "utf-8")
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: my_package\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(f"[{group}]\n{entry.replace(chr(34), '')}\n")


def _entry(text: str) -> tuple[str, str]:
    found = re.search(r"```toml\n\[project\.entry-points\.\"([\w.]+)\"\]\n(.*?)\n```", text, re.S)
    assert found is not None
    return found[1], found[2]


@pytest.fixture
def finebench(tmp_path: Path) -> Finebench:
    """The command, with or without the package of a page."""

    def run(page: str | None, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = dict(os.environ)
        if page is not None:
            site = tmp_path / f"site-{page}"
            if not site.exists():
                install(site, page)
            env["PYTHONPATH"] = str(site)
        command = [sys.executable, "-m", "finebench", *arguments]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)

    return run


CLAIM = {"id": "c", "says": "wins_more", "a": "a", "b": "b"}


@pytest.mark.slow
def test_a_kind_of_claim(tmp_path: Path, finebench: Finebench) -> None:
    claims = [CLAIM, CLAIM | {"id": "d", "a": "b", "b": "a"}, CLAIM | {"id": "e", "ties": 0.5}]
    results = drawn(tmp_path / "r", {"a": {"mean": 0.9}, "b": {"mean": 0.8}}, claims).write()
    done = finebench("claim.md", "report", results, "--check-claims")
    assert done.returncode == 4, done.stderr
    made = {row["id"]: row for row in json.loads((tmp_path / "r/report/claims.json").read_text("utf-8"))}
    assert (made["c"]["verdict"], made["c"]["estimate"], made["c"]["pairs"]) == ("supported", 1.0, 10)
    assert made["c"]["statement"].startswith("a is ahead of b on most seeds on every task")
    assert made["c"]["reason"] == "the 95 % interval lies above 0.5"
    assert made["e"]["verdict"] == "inconclusive"  # no seed on which they differ by so much
    assert made["e"]["statement"].startswith("a is ahead of b by more than 0.5 on most seeds")
    assert (made["d"]["verdict"], made["d"]["quantity"]) == ("refuted", "share of seeds on which a is ahead of b")
    assert "share of seeds on which b is ahead of a = 0" in (tmp_path / "r/report/report.md").read_text("utf-8")
    without = finebench(None, "report", results)
    assert without.returncode == 2
    assert "'wins_more' is not one of better, cheaper, collapses_more, matches" in " ".join(without.stderr.split())


@pytest.mark.slow
def test_a_table(tmp_path: Path, finebench: Finebench) -> None:
    results = drawn(tmp_path / "r", {"a": {"mean": 0.9}, "b": {"mean": 0.8}}, []).write()
    done = finebench("table.md", "report", results)
    assert done.returncode == 0, done.stderr
    tables = tmp_path / "r/report/tables"
    assert {file.suffix for file in tables.glob("winners.*")} == {".csv", ".md", ".parquet", ".tex"}
    assert "| alpha | a |" in (tables / "winners.md").read_text("utf-8")
    report = (tmp_path / "r/report/report.md").read_text("utf-8")
    assert report.index("## Scores") < report.index("Best method per task") < report.index("## Variance")


@pytest.mark.slow
def test_a_tracker(tmp_path: Path, finebench: Finebench) -> None:
    (tmp_path / "tiny.yaml").write_text(STUDY)
    given = ("run", "tiny.yaml", "--debug", "--results", "r", "--logger")
    wrong = finebench("tracker.md", *given, "line")
    assert wrong.returncode == 2
    assert "unknown tracker 'line'; did you mean 'lines'? choices: lines, mlflow" in " ".join(wrong.stderr.split())
    assert not (tmp_path / "r").exists()
    done = finebench("tracker.md", *given, "lines")
    assert done.returncode == 0, done.stderr
    (line,) = (tmp_path / "r/lines/trials.jsonl").read_text("utf-8").splitlines()
    row = json.loads(line)
    assert (row["method"], row["lr"], row["status"], row["final/steps"]) == ("bitfit", 5e-3, "ok", 6)
