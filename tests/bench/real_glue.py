"""Where the tests find real GLUE, if anywhere: `cola/train.parquet` and so on, as `--data` reads it.

FINEBENCH_GLUE says where; without it, shared/data/glue beside this checkout, beside the repository that it is a clone
of (a local one), or beside the one whose worktree it is.
"""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def find(root: Path = ROOT, named: str | None = None) -> Path | None:
    """The folder, or None; raises pytest.UsageError where the one that is `named` is none."""
    if named:
        if not Path(named).is_dir():
            raise pytest.UsageError(f"FINEBENCH_GLUE={named}: there is no such folder")
        return Path(named)
    return next((found for place in _repositories(root) if (found := place.parent / "shared/data/glue").is_dir()), None)


def _repositories(root: Path) -> Iterator[Path]:
    """This checkout, and the local repositories that it comes from."""
    yield root
    for question in (["config", "remote.origin.url"], ["rev-parse", "--path-format=absolute", "--git-common-dir"]):
        command = ["git", "-C", str(root), *question]
        answer = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        place = Path(answer.removeprefix("file://"))
        if place.is_absolute() and place.is_dir():
            yield place.parent if place.name == ".git" else place


REAL = find(named=os.environ.get("FINEBENCH_GLUE"))
real = pytest.mark.skipif(REAL is None, reason="no real GLUE: FINEBENCH_GLUE names no folder, and there is none beside")
