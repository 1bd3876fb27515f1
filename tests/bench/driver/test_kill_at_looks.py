"""Seeds until settled, killed at every boundary of their waves: they end as in one go, and as the same seeds fixed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from finebench.analysis.report.write import write_report
from finebench.bench.cli.commands import report_command
from finebench.bench.cli.exit_codes import EXIT_REFUTED
from finebench.bench.driver.run import dump_study
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.study.schema import Study
from tests.bench.driver.test_kill import finish, kill_driver
from tests.bench.driver.waves_life import MOMENTS, Doomed, live
from tests.bench.lives import PATIENCE, ROOT, Damage, Life, damage, science
from tests.bench.tiny import tiny_study

LOOKS = [6, 8, 11, 14]
NOTHING = Damage(lost=0, duplicated=0, differing=0)
METHODS: dict[str, Any] = {"full": {"lr": [1e-3]}, "bitfit": {"lr": [5e-3]}, "lora": {"lr": [1e-2]}}
CLAIMS = [
    {"id": "early", "says": "better", "a": "full", "b": "bitfit", "tasks": ["mini-cola"], "given": "not_collapsed"},
    {"id": "later", "says": "better", "a": "full", "b": "bitfit", "tasks": ["mini-mrpc"], "given": "not_collapsed"},
    {"id": "open", "says": "matches", "a": "lora", "b": "full", "margin": 0.009, "given": "not_collapsed",
     "tasks": ["mini-mrpc"]},
]  # fmt: skip


def until(**changes: Any) -> Study:
    keys = {"seeds": {"looks": LOOKS, "until": "settled"}, "tasks": ["mini-cola", "mini-mrpc"], "methods": METHODS}
    return tiny_study(**(keys | {"claims": CLAIMS, "budget": {"steps": 2}, "training": {"evals": 1}} | changes))


FRESH: dict[str, Any] = {
    "seeds": 2,
    "search": {"grid": {"confirm_seeds": {"looks": LOOKS, "until": "settled"}}},
    "methods": METHODS | {"full": {"lr": [1e-3, 1e-4]}},
}


def killed(study: Study, folder: Path) -> list[dict[str, Any]]:
    """Runs it in processes that are killed at every boundary; how each of them ended."""
    file = folder.with_suffix(".yaml")
    file.write_text(dump_study(study))
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.driver.waves_life", str(file), str(folder)],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def claims(folder: Path) -> Any:
    write_report(str(folder), str(folder / "out"))
    return json.loads((folder / "out" / "claims.json").read_text())


SEARCH: dict[str, Any] = {
    "seeds": 1,
    "search": {"optuna": {"trials": 3, "scheduler": "asha", "confirm_seeds": {"looks": LOOKS, "until": "settled"}}},
    "methods": {name: {"lr": {"loguniform": [1e-4, 1e-2]}} for name in METHODS},
}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="fixed configurations"),
        pytest.param(FRESH, id="chosen on other seeds", marks=pytest.mark.slow),
        pytest.param(SEARCH, id="chosen by a search", marks=pytest.mark.slow),
    ],
)
def test_killed_at_every_look_it_ends_as_in_one_go(tmp_path: Path, changes: dict[str, Any]) -> None:
    study = until(**changes)
    live(study, str(tmp_path / "whole"), Doomed(tuple(LOOKS)))
    ends = killed(study, tmp_path / "killed")
    assert len(ends) == len(LOOKS) * len(MOMENTS)
    assert [one["signal"] for one in ends[:-1]] == [signal.SIGKILL] * (len(ends) - 1)
    assert ends[-1]["code"] == 0
    assert damage(tmp_path / "killed", tmp_path / "whole") == NOTHING
    both = [claims(tmp_path / name) for name in ("killed", "whole")]
    assert both[0] == both[1]
    early, later, never = (one["looks"]["taken"] for one in both[0])  # what this is a test of: claims end in three ways
    assert (early, later in (2, 3), never) == (1, True, len(LOOKS))
    assert [one["verdict"] for one in both[0]] == ["supported", "supported", "inconclusive"]
    there, also = (ResultsFolder(str(tmp_path / name)).plan() for name in ("killed", "whole"))
    assert there is not None
    assert also is not None
    assert (there["looks"], there["cells"]) == (also["looks"], also["cells"])


def test_the_same_seeds_fixed_give_the_same_rows(tmp_path: Path) -> None:
    """Bit for bit, in every cell the seeds that it got."""
    live(until(), str(tmp_path / "waves"), Doomed(tuple(LOOKS)))
    waves = science(tmp_path / "waves")
    seeds: dict[tuple[str, str], set[int]] = {}
    for row, *_ in waves.values():
        seeds.setdefault((row["task"], row["method"]), set()).add(row["seed"])
    assert {len(one) for one in seeds.values()} == {LOOKS[0], LOOKS[-1]} | {
        len(seeds["mini-mrpc", "bitfit"])
    }  # those of open claims went on, and no others
    fixed: dict[str, Any] = {}
    for number, ((task, method), own) in enumerate(seeds.items()):
        one = until(tasks=[task], methods={method: METHODS[method]}, seeds=max(own), claims=[])
        live(one, str(tmp_path / str(number)), Doomed(tuple(LOOKS)))
        fixed |= science(tmp_path / str(number))
    assert waves == fixed


def test_a_claim_that_an_early_look_refutes_fails_the_check(tmp_path: Path) -> None:
    """`--check-claims`, for CI: the study stops there, and the exit code says so."""
    wrong = CLAIMS[0] | {"id": "wrong", "a": "bitfit", "b": "full"}
    live(until(claims=[wrong], tasks=["mini-cola"]), str(tmp_path / "r"), Doomed(tuple(LOOKS)))
    assert {row["seed"] for row, *_ in science(tmp_path / "r").values()} == set(range(1, LOOKS[0] + 1))
    assert report_command(str(tmp_path / "r"), None, None, check_claims=True) == EXIT_REFUTED
    (one,) = json.loads((tmp_path / "r" / "report" / "claims.json").read_text())
    assert (one["verdict"], one["looks"]["decided_at"], one["looks"]["seeds_saved"]) == ("refuted", 1, 8)
    assert one["estimate"] < one["looks"]["median_unbiased"] < 0  # the early estimate lies too far out


@pytest.mark.slow
def test_a_driver_with_ray_that_is_killed_at_its_looks_ends_as_in_one_go(tmp_path: Path) -> None:
    """Real trials and a real Ray: SIGKILL once each look has been written down."""
    keys = {"looks": [6, 8, 10], "until": "settled"}
    wide = [{"id": "wide", "says": "matches", "a": "bitfit", "b": "full", "margin": 5, "tasks": ["mini-cola"]}]
    never = [{"id": "never", "says": "better", "a": "bitfit", "b": "full", "margin": 0.001, "tasks": ["mini-mrpc"]}]
    methods = {name: METHODS[name] for name in ("full", "bitfit")}
    study = until(seeds=keys, claims=wide + never, methods=methods)
    file = tmp_path / "study.yaml"
    file.write_text(dump_study(study))
    whole, out = tmp_path / "whole", tmp_path / "out"
    finish(file, whole)
    plan = ResultsFolder(str(whole)).plan()
    assert plan is not None
    most = sum(cell["planned"] for cell in plan["cells"])
    planned = 4 * keys["looks"][0]
    while planned < most:
        life = Life(file, out)
        life.wait(lambda before=planned: wrote_more(out, before))
        assert life.process.poll() is None, "the study ended before it was killed"
        kill_driver(life)
        stored = ResultsFolder(str(out)).plan()
        assert stored is not None
        planned = sum(cell["planned"] for cell in stored["cells"])
    finish(file, out)
    assert damage(out, whole) == NOTHING


def wrote_more(folder: Path, before: int) -> bool:
    """Whether a look has brought more trials than there were planned."""
    plan = ResultsFolder(str(folder)).plan() if folder.exists() else None
    return plan is not None and bool(plan["looks"]) and sum(cell["planned"] for cell in plan["cells"]) > before
