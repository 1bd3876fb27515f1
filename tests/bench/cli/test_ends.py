"""Nobody reads any more, or the terminal hangs up: a run goes on or ends in good order, other commands end quietly."""

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from finebench.bench.driver.run import dump_study
from finebench.bench.util.streams import outlive
from tests.bench.driver.test_kill import finish
from tests.bench.driver.test_kill import prepare as run_whole
from tests.bench.lives import PATIENCE, ROOT, Damage, Life, damage, left_over
from tests.bench.tiny import run_tiny, tiny_study

WORD = "the run goes on without a display"


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "finebench", *arguments]


def unread(*arguments: str) -> subprocess.CompletedProcess[str]:
    """A command whose output has no reader from the start."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return subprocess.run(command(*arguments), stdout=writer, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    finally:
        os.close(writer)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ends") / "results"
    run_tiny(folder)
    return folder


@pytest.mark.parametrize("name", ["status", "report", "verify"])
def test_a_command_that_nobody_reads_ends_quietly(results: Path, name: str) -> None:
    ended = unread(name, str(results))
    assert (ended.returncode, ended.stderr) == (0, "")


def test_a_refusal_that_nobody_reads_keeps_its_code(results: Path) -> None:
    assert unread("status", str(results / "none")).returncode == EXIT_BAD_INPUT


def test_output_that_a_full_disk_refuses_is_named(results: Path) -> None:
    """A document that is cut short must not look whole."""
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command("status", str(results), "--json"), stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT
        )
    assert ended.returncode == EXIT_BAD_INPUT
    assert ended.stderr == "finebench: standard output: cannot be written: No space left on device\n"


@pytest.mark.parametrize("where", ["pipe", pytest.param("full disk", marks=pytest.mark.slow)])
def test_a_run_goes_on_where_its_output_is_lost(tmp_path: Path, where: str) -> None:
    study = tmp_path / "tiny.yaml"
    study.write_text(dump_study(tiny_study()))
    arguments = ["run", str(study), "--results", str(tmp_path / "r"), "--debug"]
    if where == "pipe":
        ended = unread(*arguments)
    else:
        with open("/dev/full", "w") as full:
            ended = subprocess.run(command(*arguments), stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert ended.returncode == 0, ended.stderr
    assert len(list((tmp_path / "r" / "trials").glob("*.parquet"))) == 2
    assert (tmp_path / "r" / "report" / "index.html").exists()
    assert [line for line in ended.stderr.splitlines() if WORD in line] == [ended.stderr.strip()]


@pytest.mark.slow
def test_a_run_whose_reader_leaves_goes_on_through_ray(tmp_path: Path) -> None:
    """`finebench run … | head -1`"""
    study = tmp_path / "tiny.yaml"
    study.write_text(dump_study(tiny_study()))
    life = Life(study, tmp_path / "r")
    assert life.process.stdout is not None
    assert "results in" in life.process.stdout.readline()
    life.process.stdout.close()
    assert life.process.stderr is not None
    said = life.process.stderr.read()
    assert life.process.wait(PATIENCE) == 0, said
    assert WORD in said
    assert len(list((tmp_path / "r" / "trials").glob("*.parquet"))) == 2


def test_descriptors_that_are_closed_are_no_files_of_ours(results: Path) -> None:
    """`>&- 2>&-`: the next file that is opened would be standard output."""
    code = "import os; os.close(0); os.close(1); os.close(2)\n"
    code += "from finebench.bench.cli.app import app; from finebench.bench.cli.entry import guarded, hold; hold()\n"
    code += f"guarded(lambda: app(['report', {str(results)!r}], "
    code += "standalone_mode=False)); print('words')\n"
    code += "assert [os.path.realpath(f'/proc/self/fd/{n}') for n in range(3)] == ['/dev/null'] * 3"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_streams_that_were_never_put_in_place_need_none() -> None:
    outlive(WORD)  # commands are also called within other processes


class InTerminal(Life):
    """A driver in a terminal of its own, which it leads; nobody reads what it shows."""

    def __init__(self, study: Path, results: Path) -> None:
        self.results = results
        self.terminal, inner = pty.openpty()
        env = os.environ | {"PYTHONPATH": str(ROOT), "FINEBENCH_CHECKPOINT_SECONDS": "0", "TERM": "xterm"}
        arguments = command("run", str(study), "--results", str(results))
        code = (
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            stdin=inner, stdout=inner, stderr=inner, start_new_session=True, env=env, cwd=ROOT,
        )  # fmt: skip
        os.close(inner)

    def wait(self, ready: Callable[[], object]) -> None:
        """Read what it shows meanwhile: a terminal's buffer is small."""
        super().wait(lambda: select.select([self.terminal], [], [], 0)[0] and os.read(self.terminal, 65536) and ready())


@pytest.mark.slow
def test_a_terminal_that_hangs_up_ends_a_run_as_sigterm_does(tmp_path: Path) -> None:
    """A dropped connection: every process of the terminal hears of it, and the driver twice, from shell and kernel."""
    study = run_whole(tmp_path, tasks=["mini-stsb"], methods={"full": {"lr": [1e-3]}}, budget={"steps": 150}, seeds=2)
    out = tmp_path / "out"
    life = InTerminal(study, out)
    life.wait(lambda: life.workers() and list(out.glob("checkpoints/*.safetensors")))
    below = life.below()
    os.close(life.terminal)
    life.send(signal.SIGHUP)
    assert life.process.wait(PATIENCE) == EXIT_INTERRUPTED
    assert left_over(below) == []
    assert list(out.glob("checkpoints/*.safetensors"))
    assert not (out / "_driver.json").exists()
    finish(study, out)
    assert damage(out, tmp_path / "whole") == Damage(lost=0, duplicated=0, differing=0)


@pytest.mark.slow
def test_a_run_under_nohup_hears_no_hangup(tmp_path: Path) -> None:
    study = tmp_path / "study.yaml"
    study.write_text(dump_study(tiny_study(seeds=4)))
    code = "import os, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])"
    arguments = command("run", str(study), "--results", str(tmp_path / "r"), "--debug")
    process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.DEVNULL, cwd=ROOT)
    while process.poll() is None:
        if (tmp_path / "r" / "_driver.json").exists():
            process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    assert process.returncode == 0
    assert len(list((tmp_path / "r" / "trials").glob("*.parquet"))) == 8
