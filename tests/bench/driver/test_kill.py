"""Drivers, workers and Ray itself are killed over one study: nothing is lost, doubled, or different in any bit."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from finebench.bench.cli.exit_codes import EXIT_INTERRUPTED
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import dump_study, run_study
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study.schema import Study
from tests.bench.lives import PATIENCE, ROOT, Damage, Life, damage, left_over, title
from tests.bench.tiny import tiny_study

NOTHING = Damage(lost=0, duplicated=0, differing=0)
METHODS: dict[str, Any] = {"full": {"lr": [1e-3]}, "lora": {"lr": [1e-2]}, "adapter": {"lr": [1e-2]}}


def prepare(tmp_path: Path, debug: bool = True, **changes: Any) -> Path:
    """Run a study in one go into tmp_path/whole; returns its file."""
    study: Study = tiny_study(fractions=[0.05], **changes)
    options = RunOptions(str(tmp_path / "whole"), debug=debug)
    outcome = run_study(study, options, lambda scheduler: Observer(), lambda trial, reason, runs: None)
    assert set(outcome.statuses) <= {"ok", "pruned"}
    file = tmp_path / "study.yaml"
    file.write_text(dump_study(study))
    return file


def finish(study: Path, out: Path, *arguments: str) -> str:
    """Let a last driver run to the end; returns what it said."""
    code, said = Life(study, out, *arguments).end()
    assert code == 0, said
    assert not (out / "checkpoints").exists()
    assert not (out / "_driver.json").exists()
    return said


def kill_driver(life: Life) -> list[psutil.Process]:
    """SIGKILL; its Ray has to go with it. Returns Ray's agents, which may take longer to notice."""
    below = life.below()
    life.send(signal.SIGKILL)
    life.end()
    agents = [one for one in below if is_agent(title(one))]
    left = left_over([one for one in below if one not in agents])
    assert [name for name in left if not is_agent(name)] == []  # one that had just been started has its name by now
    return [one for one in below if one.is_running()]


def is_agent(name: str) -> bool:
    """Ray's agents name themselves (`ray::RuntimeEnvAgent`) only some time after their start from a script."""
    return name.rstrip().endswith("Agent") or "/agent/main.py" in name or "/dashboard/agent.py" in name


def interrupt(life: Life, number: signal.Signals) -> None:
    """Ctrl-C or SIGTERM: trials write checkpoints, the driver says how to go on."""
    life.wait(life.workers)
    below = life.below()
    life.send(number)
    code, said = life.end()
    assert code == EXIT_INTERRUPTED, said
    assert "run the same command again" in said
    assert "Traceback" not in said
    assert left_over(below) == []


def kill_worker(life: Life) -> None:
    """SIGKILL to a process that trains: the driver goes on."""
    life.wait(life.workers)
    for worker in life.workers()[:1]:
        worker.kill()


def kill_ray(life: Life) -> None:
    """What `ray stop --force` does, to this driver's Ray alone: the driver ends by itself, and says so."""
    life.wait(life.workers)
    below = life.below()
    for one in below:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue
    code, said = life.end()
    assert code == EXIT_INTERRUPTED, said
    assert "Ray has stopped or crashed" in said
    assert "run the same command again" in said
    assert left_over(below) == []


def test_a_study_that_was_killed_and_interrupted_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    """The short version: a driver killed, one interrupted, and a worker killed under the last one."""
    study = prepare(tmp_path, tasks=["mini-stsb"], methods=METHODS, budget={"steps": 30}, seeds=2)
    out = tmp_path / "out"
    chance = random.Random(1)
    life = Life(study, out)
    life.wait(lambda: list(out.glob("checkpoints/*.safetensors")))
    agents = kill_driver(life)
    life = Life(study, out)
    life.wait(lambda: life.workers() and list(out.glob("checkpoints/*.safetensors")))
    life.wait_for_work(chance)
    interrupt(life, signal.SIGTERM)
    life = Life(study, out)
    kill_worker(life)
    code, said = life.end()
    assert code == 0, said
    assert damage(out, tmp_path / "whole") == NOTHING
    assert left_over(agents, 120) == []


@pytest.mark.slow
def test_twenty_kills_of_the_driver(tmp_path: Path) -> None:
    """SIGKILL at random moments, over one study that is in flight all the while."""
    kills, chance, resumed = 20, random.Random(20), 0
    study = prepare(tmp_path, tasks=["mini-cola", "mini-stsb"], methods=METHODS, budget={"steps": 60}, seeds=4)
    out = tmp_path / "out"
    for _ in range(kills):
        life = Life(study, out)
        life.wait_for_work(chance)
        assert life.process.poll() is None, "the study ended before it was killed often enough"
        kill_driver(life)
        resumed += len(list(out.glob("checkpoints/*.safetensors")))
    said = finish(study, out)
    print(f"{kills} kills, {resumed} checkpoints found by later drivers, {damage(out, tmp_path / 'whole')}")
    assert "goes on at step" in said or resumed
    assert damage(out, tmp_path / "whole") == NOTHING


@pytest.mark.slow
def test_interrupts_lost_workers_and_a_stopped_ray(tmp_path: Path) -> None:
    """SIGINT, SIGTERM, a worker's SIGKILL and Ray's end, three times each over one study."""
    chance = random.Random(4)
    study = prepare(tmp_path, tasks=["mini-cola", "mini-stsb"], methods=METHODS, budget={"steps": 60}, seeds=4)
    out = tmp_path / "out"
    ways = [
        lambda life: interrupt(life, signal.SIGINT),
        lambda life: interrupt(life, signal.SIGTERM),
        lambda life: (kill_worker(life), life.wait_for_work(chance), kill_worker(life), kill_driver(life)),
        kill_ray,
    ] * 3
    for way in ways:
        life = Life(study, out)
        life.wait_for_work(chance)
        assert life.process.poll() is None, "the study ended before it was interrupted often enough"
        way(life)  # type: ignore[operator]
    finish(study, out)
    assert damage(out, tmp_path / "whole") == NOTHING


def suggestions(folder: Path) -> dict[str, Any]:
    """What each cell's search has suggested, by number."""
    results = ResultsFolder(str(folder))
    return {
        f"{cell.name}/{file.name}": results.read_json(f"search/{cell.name}/{file.name}")["params"]
        for cell in sorted((folder / "search").iterdir())
        for file in sorted(cell.glob("[0-9]*.json"))
    }


@pytest.fixture
def two_cores() -> Iterator[None]:
    """Two cores at most, for this process and the drivers that it starts: then each of two searches has one
    configuration in flight, and what it suggests depends on nothing but what came before."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[:2])
    yield
    os.sched_setaffinity(0, before)


@pytest.mark.slow
@pytest.mark.usefixtures("two_cores")
def test_a_search_that_is_killed_suggests_nothing_twice_and_forgets_nothing(tmp_path: Path) -> None:
    """Two cells, each of which learns in order; TPE after three random configurations."""
    chance = random.Random(8)
    search = {"optuna": {"trials": 8, "seeds": 2, "confirm_seeds": 2}}
    methods = {"full": {"lr": {"loguniform": [1e-5, 1e-2]}}, "bitfit": {"lr": {"loguniform": [1e-4, 1e-1]}}}
    study = prepare(tmp_path, tasks=["mini-stsb"], methods=methods, search=search, budget={"steps": 30})
    out = tmp_path / "out"
    for _ in range(5):
        life = Life(study, out)
        life.wait_for_work(chance)
        kill_driver(life)
    finish(study, out)
    assert suggestions(out) == suggestions(tmp_path / "whole")
    assert len(suggestions(out)) == 16
    assert damage(out, tmp_path / "whole") == NOTHING


@pytest.mark.slow
@pytest.mark.skipif(
    shutil.which("unshare") is None
    or subprocess.run(["unshare", "-p", "-f", "--mount-proc", "true"], check=False, capture_output=True).returncode
    != 0,
    reason="`ray stop --force` ends every Ray it sees; a process space of its own (unshare -p) is not to be had here",
)
def test_ray_stop_force(tmp_path: Path) -> None:
    """The command itself, in a process space and with files of its own: a clear end, and a second run goes on."""
    study = prepare(tmp_path, tasks=["mini-stsb"], methods=METHODS, budget={"steps": 200}, seeds=2)
    out = tmp_path / "out"
    script = f"""
    {sys.executable} -m finebench run {study} --results {out} & driver=$!
    while [ -z "$(ls {out}/checkpoints 2>/dev/null)" ] && kill -0 $driver; do sleep 0.1; done
    {sys.executable} -m ray.scripts.scripts stop --force
    wait $driver; echo "exit code $?"
    """
    with tempfile.TemporaryDirectory(prefix="ray-") as own:  # `ray stop` also deletes the address that is noted there
        env = os.environ | {"PYTHONPATH": str(ROOT), "FINEBENCH_CHECKPOINT_SECONDS": "0", "RAY_TMPDIR": own}
        done = subprocess.run(
            ["unshare", "-p", "-f", "--mount-proc", "bash", "-c", script],
            env=env, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False,
        )  # fmt: skip
    said = done.stdout + done.stderr
    assert "exit code 130" in said, said
    assert re.search(r"Ray has stopped or crashed", said), said
    finish(study, out)
    assert damage(out, tmp_path / "whole") == NOTHING


def test_a_second_driver_is_refused_with_exit_2(tmp_path: Path) -> None:
    """And the first one is not disturbed. It is held up meanwhile: it could be through before the second has begun."""
    study = prepare(tmp_path, tasks=["mini-stsb"], methods={"full": {"lr": [1e-3]}}, budget={"steps": 60})
    out = tmp_path / "out"
    first = Life(study, out, "--debug")
    first.wait(lambda: list(out.glob("checkpoints/*.safetensors")))
    first.send(signal.SIGSTOP)
    code, said = Life(study, out, "--debug").end()
    first.send(signal.SIGCONT)
    assert code == 2, said
    assert f"pid {first.process.pid}" in said
    assert first.end()[0] == 0
    assert damage(out, tmp_path / "whole") == NOTHING


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    """Also while the first one is still waiting."""
    study = prepare(tmp_path, tasks=["mini-stsb"], methods={"full": {"lr": [1e-3]}}, budget={"steps": 60})
    out = tmp_path / "out"
    life = Life(study, out, "--debug")
    life.wait(lambda: list(out.glob("checkpoints/*.safetensors")))
    life.send(signal.SIGINT)
    life.send(signal.SIGINT)
    code, said = life.end()
    assert code == EXIT_INTERRUPTED, said
    assert "Traceback" not in said
    finish(study, out, "--debug")
    assert damage(out, tmp_path / "whole") == NOTHING
