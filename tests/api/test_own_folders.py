"""The user's own folders and files, named as ours or as a library's, change nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.util.own_python import reordered

STUDY = """
name: small
tasks: [mini-mrpc]
methods: {head: {lr: 1e-2}}
fractions: [0.1]
seeds: 2
budget: {steps: 2}
training: {evals: 1}
"""
RAISES = 'raise RuntimeError("the file of the user was imported")\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("bench", "analysis", "tests"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(RAISES)
    for name in ("random", "tokenizers", "torch"):
        (tmp_path / f"{name}.py").write_text(RAISES)
    (tmp_path / "study.yaml").write_text(STUDY)
    return tmp_path


def run(folder: Path, *arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = Path(sys.executable).with_name("finebench")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    return subprocess.run(
        [str(command), "run", "study.yaml", "--results", "out", *arguments],
        cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def test_a_run_in_one_process_whatever_pythonpath_holds(folder: Path) -> None:
    done = run(folder, "--debug", PYTHONPATH=str(folder))
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["status"] for row in ResultsFolder(str(folder / "out")).rows()] == ["ok", "ok"]


def test_workers_of_ray_whatever_the_working_directory_holds(folder: Path) -> None:
    done = run(folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["status"] for row in ResultsFolder(str(folder / "out")).rows()] == ["ok", "ok"]


def test_a_script_beside_such_folders(folder: Path) -> None:
    """Python itself looks beside a script for `random` first; what is named as our folders is no matter."""
    for name in ("random", "tokenizers", "torch"):
        (folder / f"{name}.py").unlink()
    (folder / "mine.py").write_text("import finebench as fb\nprint(fb.Study.from_yaml('study.yaml').plan().n_trials)\n")
    done = subprocess.run([sys.executable, "mine.py"], cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "2"), done.stderr


def test_what_stands_before_the_library_goes_last() -> None:
    library = [path for path in sys.path if path and "site-packages" not in path and "lib/python" in path]
    given = ["/home/user/project", *library, "/opt/site"]
    assert reordered(given) == [*library, "/opt/site", "/home/user/project"]
