"""A real Slurm on this machine alone: two nodes, each with a network, processes, a hostname and a /tmp of its own.

    with site(folder) as slurm:
        job = slurm.sbatch("run.sh")
        slurm.wait(job)

Needs root, namespaces, and Slurm's and munge's daemons (Debian: slurmctld, slurmd, slurm-client, munge); `lacks` says
what is missing. The nodes see `folder` and nothing else of /tmp: Ray on one of them finds no other Ray of this machine,
and `ray stop` ends none.
"""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

DAEMONS = ("slurmctld", "slurmd", "sbatch", "scontrol", "munged", "ip", "unshare", "nsenter")
NODES = ("node1", "node2")
CONF = """\
ClusterName=site
SlurmctldHost=node1(10.93.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
KillWait=30
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName=node1 NodeAddr=10.93.0.1 CPUs={cpus} State=UNKNOWN
NodeName=node2 NodeAddr=10.93.0.2 CPUs={cpus} State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
START = """\
set -e
hostname {node}
mount --make-rprivate /
mount --bind {folder} /mnt
mount -t tmpfs tmpfs /tmp
mount -t tmpfs tmpfs /dev/shm
mkdir -p {folder}
mount --bind /mnt {folder}
mount --bind {folder}/hosts /etc/hosts
export SLURM_CONF={folder}/slurm.conf
{controller}
slurmd -D -N {node} &
wait # the first process of its space has to reap what Ray leaves
"""


def lacks() -> str | None:
    """Why there can be no site here; None where there can."""
    missing = [name for name in DAEMONS if shutil.which(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed"
    if os.getuid() != 0:
        return "root is needed for namespaces"
    tried = subprocess.run(["unshare", "--net", "--pid", "--fork", "true"], capture_output=True, check=False)
    return None if tried.returncode == 0 else "this machine allows no namespaces"


@dataclass
class Slurm:
    """A site that is up; commands run on its first node, in the folder that the nodes share."""

    folder: Path
    inside: list[str]

    def run(self, *command: str) -> str:
        """A command's output; raises CalledProcessError where it fails."""
        env = os.environ | {"SLURM_CONF": f"{self.folder}/slurm.conf"}
        done = subprocess.run(
            [*self.inside, *command], cwd=self.folder, env=env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def sbatch(self, *arguments: str) -> str:
        """Submit a job; returns its number."""
        return self.run("sbatch", "--parsable", *arguments).strip()

    def state(self, job: str) -> dict[str, str]:
        """What Slurm says of a job."""
        said = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in said if "=" in word)

    def wait(self, job: str, *states: str, seconds: float) -> dict[str, str]:
        """Wait until a job is in one of some states (or no longer has work to do)."""
        end = time.monotonic() + seconds
        while (found := self.state(job))["JobState"] not in (states or ("COMPLETED", "FAILED", "TIMEOUT")):
            assert time.monotonic() < end, f"job {job} is still {found['JobState']}"
            time.sleep(1)
        return found


@contextmanager
def site(folder: Path, cpus: int = 2) -> Iterator[Slurm]:
    """Bring up munge, a controller and two nodes; all of it ends with the block."""
    names = [f"fb{secrets.token_hex(3)}{node[-1]}" for node in NODES]
    (folder / "slurm.conf").write_text(CONF.format(folder=folder, cpus=cpus))
    (folder / "hosts").write_text("127.0.0.1 localhost\n10.93.0.1 node1\n10.93.0.2 node2\n")
    (folder / "munge.key").write_bytes(secrets.token_bytes(1024))
    (folder / "munge.key").chmod(0o400)
    with ExitStack() as stack:
        for name in names:
            subprocess.run(["ip", "netns", "add", name], check=True)
            stack.callback(subprocess.run, ["ip", "netns", "del", name], check=False)
        pair = ["ip", "-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", names[1]]
        subprocess.run(pair, check=True)
        for number, name in enumerate(names, 1):
            for words in (f"addr add 10.93.0.{number}/24 dev eth0", "link set eth0 up", "link set lo up"):
                subprocess.run(["ip", "-n", name, *words.split()], check=True)
        _munge(folder, stack)
        roots = [_node(folder, node, name, stack) for node, name in zip(NODES, names, strict=True)]
        slurm = Slurm(
            folder, ["nsenter", f"--target={roots[0]}", "--mount", "--uts", "--pid", "--net", "--wd=" + str(folder)]
        )
        end = time.monotonic() + 60
        while slurm.run("sinfo", "--noheader", "--format=%T %D").split() != ["idle", "2"]:
            assert time.monotonic() < end, slurm.run("sinfo", "--long")
            time.sleep(0.5)
        yield slurm


def _munge(folder: Path, stack: ExitStack) -> None:
    options = {"socket": "sock", "key-file": "key", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    files = [f"--{option}={folder}/munge.{name}" for option, name in options.items()]
    munge = subprocess.Popen(["munged", "--foreground", "--force", *files], stderr=subprocess.DEVNULL)
    stack.callback(munge.wait)
    stack.callback(munge.terminate)


def _node(folder: Path, node: str, name: str, stack: ExitStack) -> int:
    """Start a node; returns the process that is the first in its namespace."""
    (folder / f"spool-{node}").mkdir()
    controller = f"mkdir -p {folder}/state\nslurmctld" if node == NODES[0] else "sleep 1"
    script = START.format(node=node, folder=shlex.quote(str(folder)), controller=controller)
    spaces = ["unshare", "--mount", "--uts", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
    with (folder / f"{node}.out").open("w") as out:
        held = subprocess.Popen(
            ["nsenter", f"--net=/run/netns/{name}", *spaces, "bash", "-c", script],
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    stack.callback(held.wait)
    stack.callback(held.send_signal, signal.SIGKILL)
    children = Path(f"/proc/{held.pid}/task/{held.pid}/children")
    end = time.monotonic() + 20
    while not (found := children.read_text().split()):
        assert time.monotonic() < end, (folder / f"{node}.out").read_text()
        time.sleep(0.05)
    return int(found[0])
