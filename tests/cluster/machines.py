"""Several machines in this one, for tests: Linux namespaces on a switch that leads nowhere.

    with Net(tmp_path) as net:
        head, other = net.machine("head"), net.machine("other")   # own network, hostname, processes, /tmp and HOME
        head.ray(cpus=1)
        other.ray(head, cpus=1)
        head.finebench(f"run tiny.yaml --address {head.ip}:6379")
        other.cut(); other.mend(); other.kill()                   # the cable, the cable again, the power

A machine is the first process of a pid namespace: when it is killed, all of the machine ends. It sees this checkout and
its Python, and may have files of its own in their place (`put`). Needs root and `unshare -n`; see `obstacle`.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self

ROOT = Path(__file__).parents[2]
NETWORK = "10.78.0"

_INIT = """
set -e
hostname "$2"
mount --bind "$1/hosts" /etc/hosts
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount -t tmpfs tmpfs /dev/shm
mount --bind "$1/tmp" /tmp
cd /tmp
echo ready
exec 0</dev/null 1>/tmp/init.log 2>&1
sleep infinity &
wait
"""
"""A machine's first process; a shell, since that also reaps what others leave behind."""


def obstacle() -> str | None:
    """Why no machines can be made here; None where they can."""
    missing = [tool for tool in ("ip", "nsenter", "unshare") if shutil.which(tool) is None]
    if sys.platform != "linux" or missing:
        return f"machines are made of Linux namespaces, with ip, nsenter and unshare; missing: {', '.join(missing)}"
    if os.geteuid() != 0:
        return "machines are made of namespaces, which needs root"
    if ROOT.is_relative_to("/tmp"):
        return "a machine has a /tmp of its own, and this checkout is in /tmp"
    tried = subprocess.run(["unshare", "-n", "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"unshare -n: {tried.stderr.strip()}"


def _sh(*words: object, check: bool = True) -> str:
    """A command of the host; returns what it prints."""
    done = subprocess.run([str(word) for word in words], check=False, text=True, capture_output=True)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))}: {done.stderr.strip()}")
    return done.stdout


@dataclass
class Machine:
    """One machine. `disk` holds its /tmp (`disk / "tmp"`), seen from outside."""

    net: "Net"
    name: str
    number: int
    disk: Path
    pid: int = 0
    process: "subprocess.Popen[str] | None" = None

    @property
    def ip(self) -> str:
        """Its address on the switch."""
        return f"{NETWORK}.{self.number}"

    @property
    def tmp(self) -> Path:
        """Its /tmp, seen from outside."""
        return self.disk / "tmp"

    @property
    def netns(self) -> str:
        """The host's name of its network."""
        return f"{self.net.prefix}-{self.name}"

    def boot(self) -> None:
        """Switch it on (again)."""
        words = ["nsenter", f"--net=/run/netns/{self.netns}", "unshare", "--mount", "--uts", "--ipc", "--pid", "--fork"]
        words += ["--kill-child", "--mount-proc", "bash", "-c", _INIT, "init", str(self.disk), self.name]
        pipe, env = subprocess.PIPE, {"PATH": os.environ["PATH"]}
        self.process = subprocess.Popen(
            words, text=True, stdin=subprocess.DEVNULL, stdout=pipe, stderr=subprocess.STDOUT, env=env
        )
        assert self.process.stdout is not None
        said = self.process.stdout.readline().strip()
        if said != "ready":
            raise RuntimeError(f"machine {self.name}: {said} {self.process.stdout.read()}")
        outer = self.process.pid
        self.pid = int(Path(f"/proc/{outer}/task/{outer}/children").read_text().split()[0])

    def put(self, path: Path, content: str | None) -> None:
        """Let the machine, and no other, see a file or (None) an empty folder in place of what stands at a path."""
        name = f"put/{len(list((self.tmp / 'put').iterdir()))}"
        place = self.tmp / name
        place.mkdir() if content is None else place.write_text(content)
        _sh("nsenter", "-t", self.pid, "-m", "--", "mount", "--bind", f"/tmp/{name}", path)

    def words(self, command: str, env: dict[str, str] | None = None) -> list[str]:
        """What runs a shell command on the machine, in its /tmp."""
        keep = {name: os.environ[name] for name in ("LANG", "VIRTUAL_ENV") if name in os.environ}
        own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": "/tmp", "COLUMNS": "200"}
        own |= {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_raylet_start_wait_time_s": "120",
            "RAY_worker_niceness": "0",  # beside other work, workers would starve
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
            "NO_COLOR": "1",
        }
        setting = [f"{name}={value}" for name, value in (keep | own | (env or {})).items()]
        inside = ["env", "-i", *setting, "bash", "-c", f"cd /tmp && exec {command}"]
        return ["nsenter", "-t", str(self.pid), "-a", "--", *inside]

    def run(self, command: str, timeout: float = 300, env: dict[str, str] | None = None) -> tuple[int, str]:
        """Run a shell command on the machine; returns its exit code, and what it printed."""
        words, pipe = self.words(command, env), subprocess.PIPE
        done = subprocess.run(words, text=True, stdout=pipe, stderr=subprocess.STDOUT, timeout=timeout, check=False)
        return done.returncode, done.stdout

    def finebench(self, command: str, timeout: float = 300, env: dict[str, str] | None = None) -> tuple[int, str]:
        """The same for a command of finebench."""
        return self.run(f"{self._python} -m finebench {command}", timeout, env)

    def begin(self, command: str, env: dict[str, str] | None = None) -> "Going":
        """Start a command of finebench on the machine."""
        return self.begin_python(f"-m finebench {command}", env)

    def begin_python(self, command: str, env: dict[str, str] | None = None) -> "Going":
        """Start Python on the machine."""
        log = (self.disk / f"log{len(self.net.going)}").open("w+")
        words = self.words(f"{self._python} {command}", env)
        started = subprocess.Popen(words, text=True, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        self.net.going.append(made := Going(started, log))
        return made

    @property
    def _python(self) -> str:
        return shlex.quote(sys.executable)

    def ray(self, head: "Machine | None" = None, cpus: float = 1, more: str = "") -> None:
        """Start a Ray node on the machine: the head's, or one that joins a head."""
        place = f"--address={head.ip}:6379" if head else "--head --port=6379 --include-dashboard=false"
        start = f"{self._python} -c 'from ray.scripts.scripts import main; main()' start --node-ip-address={self.ip}"
        options = f"--num-cpus={cpus:g} --object-store-memory=100000000 --disable-usage-stats {more}"
        code, said = self.run(f"{start} {place} {options}")
        if code:
            raise RuntimeError(f"machine {self.name}: ray start: {said}")

    def cut(self) -> None:
        """Pull the cable: packets get lost, and nobody is told."""
        _sh("ip", "-n", self.net.switch, "link", "set", f"to-{self.name}", "down")

    def mend(self) -> None:
        """Put the cable back."""
        _sh("ip", "-n", self.net.switch, "link", "set", f"to-{self.name}", "up")

    def kill(self) -> None:
        """Pull the plug: every process of the machine ends at once."""
        if self.process is not None:
            self.process.kill()  # and with it, by --kill-child, the machine's first process
            self.process.wait(30)
            assert self.process.stdout is not None
            self.process.stdout.close()
            until(lambda: not Path(f"/proc/{self.pid}").exists(), 30, "the machine's end")
        self.process, self.pid = None, 0


@dataclass
class Going:
    """A command that runs on a machine."""

    process: "subprocess.Popen[str]"
    log: IO[str]

    def said(self) -> str:
        """What it has printed until now."""
        self.log.flush()
        return Path(self.log.name).read_text()

    def ended(self, within: float) -> tuple[int, str]:
        """Its exit code and what it printed, once it has ended."""
        try:
            code = self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it has not ended within {within:g} s; it said: {self.said()}") from None
        return code, self.said()

    def heard(self, text: str, within: float) -> None:
        """Wait until it has said something."""
        until(
            lambda: text in self.said() or self.process.poll() is not None, within, lambda: f"{text!r}: {self.said()}"
        )
        assert text in self.said(), self.said()


@dataclass
class Net:
    """The switch and its machines; a context manager at whose end nothing is left of them."""

    home: Path
    machines: list[Machine] = field(default_factory=list)
    going: list[Going] = field(default_factory=list)
    prefix: str = field(default_factory=lambda: f"fb{os.getpid()}")

    @property
    def switch(self) -> str:
        """The host's name of the network in which the switch is."""
        return f"{self.prefix}-switch"

    def __enter__(self) -> Self:
        _sh("ip", "netns", "add", self.switch)
        for words in ("link add br0 type bridge", f"addr add {NETWORK}.254/24 dev br0", "link set br0 up"):
            _sh("ip", "-n", self.switch, *words.split())
        return self

    def machine(self, name: str) -> Machine:
        """Make a machine and switch it on."""
        made = Machine(self, name, len(self.machines) + 1, self.home / name)
        (made.tmp / "put").mkdir(parents=True)
        (made.disk / "hosts").write_text(f"127.0.0.1 localhost\n{made.ip} {name}\n")
        (made.disk / "resolv.conf").write_text("")
        _sh("ip", "netns", "add", made.netns)
        self.machines.append(made)
        link = f"link add to-{name} type veth peer name eth0 netns {made.netns}"
        for words in (link, f"link set to-{name} master br0 up"):
            _sh("ip", "-n", self.switch, *words.split())
        way_out = f"route add default via {NETWORK}.254"  # which leads nowhere
        for words in (f"addr add {made.ip}/24 dev eth0", "link set eth0 up", "link set lo up", way_out):
            _sh("ip", "-n", made.netns, *words.split())
        made.boot()
        return made

    def __exit__(self, *unused: object) -> None:
        for one in self.going:
            one.process.kill()
            one.process.wait(30)
            one.log.close()
        for machine in self.machines:
            machine.kill()
            _sh("ip", "netns", "del", machine.netns, check=False)
        _sh("ip", "netns", "del", self.switch, check=False)


def until(there: Callable[[], bool], within: float, what: "str | Callable[[], str]") -> None:
    """Wait for something; fails where it does not come."""
    end = time.monotonic() + within
    while not there():
        said = what if isinstance(what, str) else what()
        assert time.monotonic() < end, f"waited {within:g} s in vain for {said}"
        time.sleep(0.1)


def study(machine: Machine, name: str = "tiny", **changes: Any) -> str:
    """Write a small study on a machine's disk; returns its name there."""
    raw: dict[str, Any] = {
        "name": name,
        "tasks": ["mini-cola"],
        "methods": {"bitfit": {"lr": 5e-3}},
        "fractions": [0.1],
        "seeds": 4,
        "budget": {"steps": 6},
        "training": {"evals": 3, "batch_size": 8},
    }
    (machine.tmp / f"{name}.yaml").write_text(json.dumps(raw | changes))
    return f"{name}.yaml"
