"""`finebench slurm`: the script that it writes, and a real Slurm that runs it to its report and back into the queue."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.driver.slurm import MARGIN, SlurmJob
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.verify import verify
from finebench.bench.util.errors import InputError
from tests.slurm_site import Slurm, lacks, site

JOB = ("--time=30", "--cpus-per-node=2", "--out=run.sh")
STUDY = """\
name: small
tasks: [mini-cola]
methods: {{bitfit: {{lr: [5e-3]}}, head: {{lr: [1e-2]}}}}
fractions: [0.1]
seeds: {seeds}
budget: {{steps: {steps}}}
training: {{evals: 2, batch_size: 8}}
"""


def said(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What the command prints."""
    assert guarded(lambda: app(["slurm", *words], standalone_mode=False)) == code
    shown = capsys.readouterr()
    return shown.out + shown.err


def directives(text: str) -> list[str]:
    """The options of sbatch in a script."""
    return [line.removeprefix("#SBATCH ") for line in text.splitlines() if line.startswith("#SBATCH ")]


def test_the_script_asks_for_what_it_was_told(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["--partition", "gpu", "--account", "mine", "--gpus-per-node", "4", "--sbatch=--qos=long", "--setup"]
    script = said(
        capsys, "quickstart", "--nodes", "3", "--time", "1-12", *asked, "module load cuda", "--", "--results", "a b"
    )
    assert directives(script) == [
        "--job-name=finebench-quickstart", "--output=%x-%j.log", "--open-mode=append", "--nodes=3",
        "--ntasks-per-node=1", "--time=1-12", f"--signal=B:USR1@{MARGIN}", "--partition=gpu", "--account=mine",
        "--gpus-per-node=4", "--requeue", "--exclusive", "--qos=long",
    ]  # fmt: skip
    assert "set -u\nmodule load cuda\n" in script
    assert "    finebench run quickstart --results 'a b' --address \"$address\" &\n" in script
    assert "--num-cpus" not in script  # of whole nodes, each may have its own number
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_a_part_of_a_node_offers_its_cpus_to_ray(capsys: pytest.CaptureFixture[str]) -> None:
    script = said(capsys, "quickstart", "--nodes", "1", "--time", "60", "--cpus-per-node", "8")
    assert "--cpus-per-task=8" in directives(script)
    assert "--exclusive" not in script
    assert "--num-cpus=8" in script


def test_it_is_written_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run it.sh"
    words = ("quickstart", "--nodes", "1", "--time", "60", "--out", str(out))
    assert said(capsys, *words) == f"wrote {out}; submit it with: sbatch {shlex.quote(str(out))}\n"
    assert os.access(out, os.X_OK)
    assert "exists; give another path" in said(capsys, *words, code=2)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nostudy", "--time", "60"], "nostudy"),
        (["quickstart", "--time", "60", "--", "--reslts", "x"], "--results"),
        (["quickstart", "--time", "60", "--", "--set", "seads=3"], "seeds"),
        (["quickstart", "--time", "60", "--", "--address", "auto"], "--address: the job runs on the Ray cluster"),
        (["quickstart", "--time", "60", "--", "--debug"], "--debug: the job runs on the Ray cluster"),
        (["quickstart", "--time", "60", "--", "--keep", "best"], "give --results a URI"),
        (["quickstart", "--time", "60", "--", "--shard", "9/4"], "--shard '9/4': give a shard's number"),
        (["quickstart", "--time", "60", "--", "--shard", "1/4", "--set", "budget={seconds: 9}"], "budget of seconds"),
        (["quickstart", "--time", "60", "--", "--logger", "nope"], "--logger: "),
        (["quickstart", "--time", "5"], "give at least 6 minutes"),
        (["quickstart", "--time", "soon"], "write it as Slurm does"),
        (["quickstart", "--time", "UNLIMITED"], "a limit is needed"),
        (["quickstart", "--time", "infinite"], "a limit is needed"),
        (["quickstart", "--time", "60", "--partition", "a b"], "--partition 'a b': a name is needed"),
        (["quickstart", "--time", "60", "--partition", ""], "--partition '': a name is needed"),
        (["quickstart", "--time", "60", "--account", "x #y"], "--account 'x #y': a name is needed"),
        (["quickstart", "--time", "60", "--sbatch", "qos=long"], "such as --qos=long"),
        (["quickstart", "--time", "60", "--partition", "a\nrm -rf x"], "stands on one line"),
    ],
)
def test_what_would_fail_in_the_queue_is_refused_now(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert says in said(capsys, "--nodes", "2", *words, code=2)


def test_a_line_break_in_a_path_does_not_end_the_scripts_comment(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder := tmp_path / "a\ntouch b").mkdir()
    (folder / "small.yaml").write_text(STUDY.format(seeds=1, steps=2))
    assert "a line break in its path" in said(
        capsys, "--nodes", "1", "--time", "60", str(folder / "small.yaml"), code=2
    )


@pytest.mark.parametrize(
    ("time_limit", "seconds"),
    [("90", 5400), ("90:30", 5430), ("8:00:00", 28800), ("1-12", 129600), ("1-12:30", 131400), ("1-2:3:4", 93784)],
)
def test_time_is_read_as_slurm_reads_it(time_limit: str, seconds: int) -> None:
    assert SlurmJob(1, time_limit).seconds == seconds


def test_a_time_of_four_parts_is_none() -> None:
    with pytest.raises(InputError, match="write it as Slurm does"):
        SlurmJob(1, "1:2:3:4")


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Slurm]:
    """A real Slurm of two nodes, on whose path this checkout's commands are."""
    why = lacks()
    if why is not None:
        pytest.skip(f"no Slurm here: {why}")
    folder = tmp_path / "site"
    tools = folder / "tools"
    tools.mkdir(parents=True)
    for name, module in (("ray", "ray.scripts.scripts"), ("finebench", "finebench")):
        (tools / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m {module} "$@"\n')
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    with site(folder) as made:
        yield made


@pytest.mark.slow
def test_two_nodes_run_a_study_to_its_report(slurm: Slurm) -> None:
    (slurm.folder / "small.yaml").write_text(STUDY.format(seeds=3, steps=20))
    slurm.run("finebench", "slurm", "small.yaml", *JOB, "--nodes=2")
    job = slurm.sbatch("run.sh")
    ended = slurm.wait(job, seconds=1100)
    log = (slurm.folder / f"finebench-small-{job}.log").read_text()
    assert (ended["JobState"], ended["ExitCode"], ended["Restarts"]) == ("COMPLETED", "0:0", "0"), log
    assert "this run: 6 ok" in log
    assert (slurm.folder / "results/small/report/index.html").exists()
    rows = list(ResultsFolder(f"{slurm.folder}/results/small").rows())
    assert {row["hostname"] for row in rows} <= {"node1", "node2"}
    assert len(rows) == 6


@pytest.mark.slow
def test_a_job_that_runs_out_of_time_is_queued_again_and_goes_on(slurm: Slurm) -> None:
    """The signal is the one that Slurm sends before the limit."""
    (slurm.folder / "small.yaml").write_text(STUDY.format(seeds=20, steps=200))
    slurm.run("finebench", "slurm", "small.yaml", *JOB, "--nodes=1")
    job = slurm.sbatch("run.sh")
    results = ResultsFolder(f"{slurm.folder}/results/small")
    end = time.monotonic() + 600
    while not (results.exists() and results.names("trials", ".parquet")):
        assert time.monotonic() < end
        time.sleep(0.5)
    slurm.run("scancel", "--batch", "--signal=USR1", job)
    slurm.wait(job, "PENDING", seconds=300)
    before = len(list(results.rows()))
    assert 0 < before < 40
    slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm lets a job rest for two minutes
    ended = slurm.wait(job, seconds=1100)
    log = (slurm.folder / f"finebench-small-{job}.log").read_text()
    assert (ended["JobState"], ended["Restarts"]) == ("COMPLETED", "1"), log
    assert "out of time: back into the queue" in log
    assert f"{before} there before" in log
    assert len(list(results.rows())) == 40
    assert verify(results).problems == []


STUBS = {
    "srun": 'while [ "$1" != ray ]; do shift; done; exec "$@"',
    "ray": """[ -z "${NO_RAY:-}" ] || exit 0
[ -z "${SLOW_RAY:-}" ] || { touch starting; while [ ! -e started ]; do sleep 0.05; done; }
while [ "$1" != -- ]; do shift; done; shift; "$@"; exit $?""",
    "finebench": """trap "exit 130" TERM
echo "$*" > ran
[ -z "${ENDS:-}" ] || exit $ENDS
while :; do sleep 0.05; done""",
    "scontrol": 'echo "$*" > requeued',
}
"""What the script calls, as it behaves; `ray symmetric-run` ends with 0 where its Ray does not start."""


def stubbed(folder: Path, script: str, **more: str) -> "subprocess.Popen[bytes]":
    """The script under way, without Slurm and Ray."""
    for name, text in STUBS.items():
        (folder / name).write_text(f"#!/bin/bash\n{text}\n")
        (folder / name).chmod(0o755)
    (folder / "run.sh").write_text(script)
    env = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "SLURM_JOB_ID": "7", "SLURM_JOB_NUM_NODES": "1"}
    return subprocess.Popen(["bash", "run.sh"], cwd=folder, env=env | more)


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str]) -> str:
    """A script."""
    return said(capsys, "quickstart", "--nodes", "1", "--time", "60")


@pytest.mark.parametrize(("more", "code"), [({"ENDS": "0"}, 0), ({"ENDS": "3"}, 3), ({"NO_RAY": "1"}, 1)])
def test_a_job_ends_as_its_run_does(tmp_path: Path, script: str, more: dict[str, str], code: int) -> None:
    """And not well where Ray did not start."""
    assert stubbed(tmp_path, script, **more).wait(timeout=60) == code
    assert (tmp_path / "ran").exists() == ("ENDS" in more)
    assert not (tmp_path / "requeued").exists()


@pytest.mark.parametrize(("number", "code", "again"), [(signal.SIGUSR1, 0, True), (signal.SIGTERM, 130, False)])
def test_a_job_that_is_told_to_stop(tmp_path: Path, script: str, number: int, code: int, again: bool) -> None:
    """Out of time it goes back into the queue; ended by its user it does not."""
    job = stubbed(tmp_path, script)
    end = time.monotonic() + 60
    while not (tmp_path / "ran").exists():
        assert time.monotonic() < end
        time.sleep(0.05)
    job.send_signal(number)
    assert job.wait(timeout=60) == code
    assert (tmp_path / "ran").read_text().startswith("run quickstart --address ")
    assert (tmp_path / "requeued").exists() == again
    if again:
        assert (tmp_path / "requeued").read_text() == "requeue 7\n"


def until(holds: Callable[[], object]) -> None:
    """Wait for it, a minute at most."""
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("numbers", "code", "again"),
    [
        ([signal.SIGUSR1], 0, True),
        ([signal.SIGTERM], 130, False),
        ([signal.SIGTERM, signal.SIGUSR1], 130, False),
        ([signal.SIGUSR1, signal.SIGTERM], 130, False),
    ],
)
def test_a_job_that_is_told_to_stop_while_ray_starts_runs_nothing(
    tmp_path: Path, script: str, numbers: list[int], code: int, again: bool
) -> None:
    """And goes back into the queue only where its user has not ended it, whatever came first."""
    job = stubbed(tmp_path, script, SLOW_RAY="1", TMPDIR=str(tmp_path))
    until((tmp_path / "starting").exists)
    for number in numbers:
        job.send_signal(number)
        until(lambda: list(tmp_path.glob("*.stop")))
        (heard,) = tmp_path.glob("*.stop")
        if number != numbers[-1]:
            heard.unlink()
    (tmp_path / "started").touch()
    assert job.wait(timeout=60) == code
    assert not (tmp_path / "ran").exists()
    assert (tmp_path / "requeued").exists() == again
    assert not list(tmp_path.glob("tmp.*"))
