"""What keeps quick commands quick, without a clock: which modules they import, and that a plan makes no trials."""

import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import pytest

from finebench.bench.driver.forecast import forecast
from finebench.bench.study.load import load_study
from finebench.bench.study.plan import Plan
from tests.benchmarks.startup import MILLION, timed

ROOT = Path(__file__).resolve().parents[3]

CODE = """
import sys
from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
assert guarded(lambda: app({arguments!r}, standalone_mode=False)) == 0
print("brought in", sorted({heavy!r} & set(sys.modules)), file=sys.stderr)
"""


def brought_in(arguments: list[str], heavy: set[str]) -> str:
    code = CODE.format(arguments=arguments, heavy=heavy)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    return done.stderr.strip().splitlines()[-1]


def test_help_imports_none_of_what_commands_need() -> None:
    assert (
        brought_in(["--help"], {"numpy", "pydantic", "ruamel", "pyarrow", "finebench.bench.study.schema"})
        == "brought in []"
    )


def test_a_forecast_imports_neither_the_results_nor_their_libraries() -> None:
    heavy = {
        "pyarrow",
        "filelock",
        "finebench.bench.results.folder",
        "finebench.bench.scheduling.scheduler",
        "finebench.bench.scheduling.recorder",
        "scipy",
        "sklearn",
    }
    assert brought_in(["plan", "quickstart", "--json"], heavy) == "brought in []"


def test_a_million_trials_are_counted_without_making_one(tmp_path: Path) -> None:
    path = tmp_path / "million.yaml"
    path.write_text(MILLION)
    study = load_study(str(path), [])
    refuse = AssertionError("made")
    with (
        patch.object(Plan, "trial", side_effect=refuse),
        patch.object(Plan, "seeds", side_effect=refuse),
        patch.object(Plan, "points", side_effect=refuse),
    ):
        found = forecast(study, None)
    assert found["trials"] == 1_050_000 == sum(row["trials"] for row in found["methods"])
    assert found["cells"] == 300


def test_a_command_that_fails_is_not_timed() -> None:
    with pytest.raises(subprocess.CalledProcessError):
        timed(("plan", "no-such-study"))

    seconds, peak = timed(("--version",))
    assert seconds > 0
    assert peak > 2**20
