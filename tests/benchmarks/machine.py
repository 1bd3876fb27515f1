"""What a benchmark says of the machine that it ran on, and what it reads from the operating system (Linux)."""

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from finebench.bench.util.cores import slots
from finebench.bench.util.machine import device_name, git_commit, versions

MIB = 2**20


def describe(device: str = "cpu") -> dict[str, str]:
    """Machine (what it is, not its name), commit, and versions of what may change a timing."""
    seen = versions()
    shown = {key: seen[key] for key in ("python", "torch", "transformers", "ray") if key in seen}
    machine = f"{device_name(device)} · {slots()} cores"
    return {"machine": machine, "commit": git_commit() or "", **shown}


def memory(pid: int | str = "self", key: str = "VmRSS") -> int:
    """A figure of /proc/PID/status in bytes; 0 where the process has gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in status.splitlines() if line.startswith(f"{key}:")), f"{key}: 0 kB")
    return int(line.split()[1]) * 1024


def descendants(root: int) -> set[int]:
    """A process and everything that it and its children started and that still runs under them."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # ended meanwhile
                continue
            parents[int(folder.name)] = int(fields[1])
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def private_bytes(root: int) -> int:
    """Anonymous memory of a process and all below it: what they share (files, Ray's object store) is left out."""
    return sum(memory(pid, "RssAnon") for pid in descendants(root))


def gpu_bytes() -> int:
    """Memory in use on the first GPU, all processes together; raises OSError where nvidia-smi is missing."""
    command = ["nvidia-smi", "--id=0", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout) * MIB


@contextmanager
def sampled(read: Callable[[], int], every: float = 1.0) -> Iterator[list[tuple[float, int]]]:
    """`read` over time, as (seconds since the start, its value), until the block ends."""
    seen: list[tuple[float, int]] = []
    begin, ended = time.monotonic(), threading.Event()

    def watch() -> None:
        while True:
            seen.append((time.monotonic() - begin, read()))
            if ended.wait(every):
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
        seen.append((time.monotonic() - begin, read()))
