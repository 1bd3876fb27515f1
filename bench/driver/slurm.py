"""`finebench slurm`: a batch script that runs a study on the nodes of one Slurm job, and again until it is done."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finebench.bench.study.load import find_study, load_study
from finebench.bench.util.errors import InputError

MARGIN = 180
"""Seconds before the time limit at which the job is told to stop: workers have one minute for their checkpoints, Ray
needs some seconds to stop, and Slurm may come up to a minute early."""

_TIME = re.compile(r"(?:(?P<d>\d+)-)?(?P<a>\d+)(?::(?P<b>\d+))?(?::(?P<c>\d+))?", re.ASCII)

# Quoted are what the shell must not take apart; "$0" and "$@" belong to the inner bash.
SCRIPT = """\
#!/bin/bash
{directives}

# finebench {what}
# Submit with sbatch, from a folder that every node sees: results stand there, unless they are a URI.
# finebench and ray are those of the shell that submits; every node needs the same ones.
# A minute or more before the time limit the running trials write checkpoints, and the job goes back into the queue.
# To end it in good order for now: scancel --batch --signal=TERM JOBID
set -u
{setup}export PYTHONUNBUFFERED=1 RAY_USAGE_STATS_ENABLED=0 RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=600

# This script runs on the job's first node, which is Ray's head. Its name may stand for a loopback address there.
head=$(getent ahostsv4 "$(hostname)" | awk '$1 !~ /^127\\./ {{print $1; exit}}')
head=${{head:-$(hostname -I | awk '{{print $1}}')}}
address=$head:$((20000 + SLURM_JOB_ID % 10000))

# A token of this job's own: Ray's ports are open to everyone on the cluster, and whoever reaches them can run code.
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN
RAY_AUTH_TOKEN=$(od -An -tx1 -N32 /dev/urandom | tr -d ' \n')

# Only finebench is told to stop, not Ray under it; where Ray is still starting, before it begins.
pid_file=$(mktemp)
stopping=
stop() {{
    [ "$stopping" = end ] || stopping=$1 # who ended the job does not want it back
    : > "$pid_file.stop"
    kill -TERM "$(cat "$pid_file")" 2>/dev/null
}}
trap 'stop requeue' USR1
trap 'stop end' TERM

srun --cpu-bind=none --wait=60 ray symmetric-run --address "$address" --min-nodes "$SLURM_JOB_NUM_NODES" \\
    {ray} -- \\
    bash -c 'echo $$ > "$0"; [ ! -e "$0.stop" ] || exit 130; exec "$@"' "$pid_file" \\
    {command} --address "$address" &
job=$!
wait $job
while kill -0 $job 2>/dev/null; do wait $job; done # a signal ends a wait early
wait $job
code=$?
if [ ! -s "$pid_file" ]; then # ray symmetric-run ends with 0 where its Ray does not start
    echo "Ray did not start: nothing was run" >&2
    code=1
fi
rm -f "$pid_file" "$pid_file.stop"

if [ "$stopping" = requeue ] && [ $code -eq 130 ]; then
    echo "out of time: back into the queue"
    exec scontrol requeue "$SLURM_JOB_ID"
fi
exit $code
"""


@dataclass(frozen=True)
class SlurmJob:
    """What is asked of Slurm; raises InputError for what it would refuse, or what leaves no time to work."""

    nodes: int
    time: str
    partition: str | None = None
    account: str | None = None
    gpus: int | None = None
    cpus: int | None = None
    lines: Sequence[str] = ()

    def __post_init__(self) -> None:
        if self.seconds < 2 * MARGIN:
            raise InputError(
                f"--time {self.time}: the job is told to stop {MARGIN} seconds before its limit; give at least "
                f"{2 * MARGIN // 60} minutes"
            )
        for line in (*self.lines, self.partition or "", self.account or ""):
            if "\n" in line:
                raise InputError(f"{line!r}: an option of sbatch stands on one line")
        for option, name in (("partition", self.partition), ("account", self.account)):
            if name is not None and not re.fullmatch(r"[^\s#]+", name):
                raise InputError(f"--{option} {name!r}: a name is needed, without white space and #")
        for line in self.lines:
            if not line.startswith("-"):
                raise InputError(f"--sbatch {line!r}: give an option of sbatch as it is written, such as --qos=long")

    @property
    def seconds(self) -> int:
        """The time limit; raises InputError where it is not written as Slurm has it."""
        if self.time.upper() in ("UNLIMITED", "INFINITE"):
            raise InputError(f"--time {self.time}: a limit is needed, before which the job is told to stop")
        match = _TIME.fullmatch(self.time)
        if match is None:
            raise InputError(
                f"--time {self.time!r}: write it as Slurm does: minutes, minutes:seconds, hours:minutes:seconds, "
                "days-hours, days-hours:minutes or days-hours:minutes:seconds"
            )
        given = [int(part) for part in (match["a"], match["b"], match["c"]) if part is not None]
        if match["d"] is not None:  # from the hours on
            hours, minutes, seconds = [*given, 0, 0][:3]
        else:  # one or two parts are minutes and seconds
            hours, minutes, seconds = given if len(given) == 3 else [0, *given, 0][:3]
        return ((int(match["d"] or 0) * 24 + hours) * 60 + minutes) * 60 + seconds

    def directives(self, name: str) -> list[str]:
        """The options of sbatch."""
        asked = {
            "job-name": f"finebench-{name}",
            "output": "%x-%j.log",
            "open-mode": "append",  # one log, however often the job is queued again
            "nodes": self.nodes,
            "ntasks-per-node": 1,
            "time": self.time,
            "signal": f"B:USR1@{MARGIN}",
            "partition": self.partition,
            "account": self.account,
            "gpus-per-node": self.gpus,
            "cpus-per-task": self.cpus,
        }
        options = [f"--{key}={value}" for key, value in asked.items() if value is not None]
        return [*options, "--requeue", *(["--exclusive"] if self.cpus is None else []), *self.lines]


def slurm_script(
    study: str, job: SlurmJob, options: Sequence[str], params: Mapping[str, Any], setup: Sequence[str]
) -> str:
    """The script for a study; `options` are those of `finebench run`, and `params` what they were parsed to.

    Raises InputError for a study or options that `run` would refuse: a job may wait for a day to be told so.
    """
    from finebench.bench.driver.options import RunOptions
    from finebench.bench.driver.trackers import tracker
    from finebench.bench.study.plan import Plan
    from finebench.bench.study.shards import Shard, ShardPlan

    for name in ("address", "debug"):
        if params[name]:
            raise InputError(f"--{name}: the job runs on the Ray cluster that it starts itself; leave it out")
    loaded = load_study(study, params["set_"] or [], params["model"], params["plugin"] or [])
    if params["shard"] is None:
        Plan(loaded)
    else:
        ShardPlan(loaded, Shard.parse(params["shard"]), lambda cell: 1.0)
    if params["logger"] is not None:
        tracker(params["logger"])
    results = params["results"] or f"results/{loaded.name}"
    RunOptions(results, params["data"], address="auto", keep=params["keep"])
    name = str(find_study(study)) if Path(study).is_file() else study
    if any(end in name for end in "\r\n"):
        raise InputError(f"study file {name!r}: a line break in its path would end a line of the script; rename it")
    command = ["finebench", "run", name, *options]
    cpus = [] if job.cpus is None else [f"--num-cpus={job.cpus}"]  # else Ray counts those of each node
    return SCRIPT.format(
        directives="\n".join(f"#SBATCH {line}" for line in job.directives(loaded.name)),
        what=f"run {name} on {job.nodes} node{'s' * (job.nodes > 1)}",
        setup="".join(f"{line}\n" for line in setup),
        ray=shlex.join([*cpus, "--disable-usage-stats"]),
        command=shlex.join(command),
    )
