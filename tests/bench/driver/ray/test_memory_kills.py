"""A trial that takes all memory is killed, by Ray's memory monitor or by the kernel: it is `oom`, the sweep goes on."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from finebench.bench.cli.exit_codes import EXIT_FAILED_TRIALS
from finebench.bench.results.folder import ResultsFolder
from tests.bench.lives import ROOT

GiB = 2**30
STUDY = """
name: memory
tasks: [mini-cola]
methods:
  faulty: {{lr: 1e-3, how: memory, marks: {marks}}}
  bitfit: {{lr: 5e-3}}
fractions: [0.1]
seeds: 2
budget: {{steps: 6}}
training: {{evals: 3, batch_size: 8}}
resources: {{gpu: 0}}
trial_timeout: 10m
retries: 1
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(psutil.virtual_memory().available < 10 * GiB, reason="8 GiB of free memory are needed"),
]


def used() -> int:
    """Bytes of the machine's memory in use, as Ray's monitor counts them."""
    memory = psutil.virtual_memory()
    return int(memory.total - memory.available)


def drive(tmp_path: Path, before: list[str], goal: int, **environment: str) -> tuple[int, str, list[dict[str, Any]]]:
    """Run the study in a child, whose faulty trials take memory up to `goal` bytes; exit code, output, rows."""
    marks = tmp_path / "marks"
    marks.mkdir()
    (tmp_path / "study.yaml").write_text(STUDY.format(marks=marks))
    arguments = [str(tmp_path / "study.yaml"), str(tmp_path / "r")]
    environment |= {"PYTHONPATH": str(ROOT), "FAULTY_MEMORY": str(goal)}
    done = subprocess.run(
        [*before, sys.executable, "-m", "tests.faulty.drive", *arguments],
        env=os.environ | environment, cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip
    rows = list(ResultsFolder(str(tmp_path / "r")).rows())
    return done.returncode, done.stdout + done.stderr, rows


def check(tmp_path: Path, code: int, said: str, rows: list[dict[str, Any]], because: str) -> None:
    """Both trials that took the memory are `oom` after one retry each, and say why; the other two are well."""
    assert code == EXIT_FAILED_TRIALS, said
    assert "Traceback" not in said
    assert sorted((row["method"], row["status"]) for row in rows) == [
        ("bitfit", "ok"), ("bitfit", "ok"), ("faulty", "oom"), ("faulty", "oom"),
    ]  # fmt: skip
    for row in rows:
        if row["method"] == "faulty":
            assert re.search(because, row["reason"]), row["reason"]
            assert row["score"] is None
    assert len((tmp_path / "marks/memory").read_text().splitlines()) == 4
    assert said.count("trying again (1 of 1)") == 2


def test_a_worker_that_rays_memory_monitor_kills(tmp_path: Path) -> None:
    """A real monitor, told that the machine is full soon after what is in use now."""
    limit = used() + 4 * GiB
    threshold = limit / psutil.virtual_memory().total
    monitor = {"RAY_memory_usage_threshold": f"{threshold:.4f}", "RAY_memory_monitor_refresh_ms": "100"}
    code, said, rows = drive(tmp_path, [], limit + GiB, **monitor)
    check(tmp_path, code, said, rows, r"^worker lost: .*low on memory")


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A memory cgroup of 3 GiB below this process's own."""
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
        own = next((path for _, controllers, path in lines if "memory" in controllers.split(",")), None)
        if own is None:
            pytest.skip("the kernel's memory controller is not that of cgroup v1 here")
        folder = Path(f"/sys/fs/cgroup/memory{own}/finebench-{os.getpid()}")
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(3 * GiB))
    except OSError as error:
        pytest.skip(f"a cgroup cannot be made here: {error}")
    yield folder
    for _ in range(300):  # until the last of Ray's processes has gone
        if not (folder / "cgroup.procs").read_text():
            break
        time.sleep(0.1)
    folder.rmdir()


def test_a_worker_that_the_kernel_kills_for_memory(tmp_path: Path, cgroup: Path) -> None:
    """The driver and its Ray live in a cgroup that is too small for the trial; Ray's own monitor is off."""
    enter = ["sh", "-c", 'echo $$ > "$0" && exec "$@"', str(cgroup / "cgroup.procs")]
    code, said, rows = drive(tmp_path, enter, used() + 8 * GiB, RAY_memory_monitor_refresh_ms="0")
    check(tmp_path, code, said, rows, r"^worker lost while the kernel's out-of-memory killer ended a process here: ")
