"""The fuzzer itself, from the kept corpus on, for five minutes a target."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

ROOT = Path(__file__).parent.parent.parent
SECONDS = int(os.environ.get("FUZZ_SECONDS", "300"))


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is not installed: pip install '.[fuzz]'"
)
@pytest.mark.parametrize("name", TARGETS)
def test_new_inputs_raise_only_what_is_documented(name: str, tmp_path: Path) -> None:
    found, bad = tmp_path / "found", tmp_path / "bad"
    found.mkdir()
    bad.mkdir()
    options = [f"-max_total_time={SECONDS}", f"-artifact_prefix={bad}/", str(found), f"tests/fuzz/corpus/{name}"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.run", name, *options],
        cwd=ROOT, capture_output=True, text=True, timeout=SECONDS + 900, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-5000:]
    assert [one.name for one in bad.iterdir() if not one.name.startswith("slow-unit")] == []
    executed = re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)
    assert executed is not None
    assert int(executed[1]) > len(os.listdir(ROOT / "tests/fuzz/corpus" / name))
    print(f"{name}: {executed[1]} executions")
