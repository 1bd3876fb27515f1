"""Whether the kernel's out-of-memory killer has struck here: it tells a process's parent no more than SIGKILL does."""

from pathlib import Path


class KernelKills:
    """Counts kills from the moment it is made: those in this process's cgroup where it has one, else on the machine."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = _counter(root)
        self._seen = self._read()

    def struck(self) -> str | None:
        """Where a process was killed since the last call, in words; None where none was, or nothing is counted."""
        before, self._seen = self._seen, self._read()
        return f"counted in {self._file}" if self._seen > before else None

    def _read(self) -> int:
        if self._file is None:
            return 0
        try:
            pairs = [line.split() for line in self._file.read_text().splitlines()]
        except OSError:  # the cgroup was removed: nothing is known any more
            return 0
        return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == "oom_kill"), 0)


def _counter(root: Path) -> Path | None:
    """The file with a line `oom_kill N`: cgroup v2, cgroup v1, or the whole machine's (Linux 4.13 and later)."""
    places = [root / "proc/vmstat"]
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            places.insert(0, root / "sys/fs/cgroup" / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            places.insert(0, root / "sys/fs/cgroup/memory" / path.lstrip("/") / "memory.oom_control")
    return next((place for place in places if _counts(place)), None)


def _counts(place: Path) -> bool:
    try:
        return any(line.startswith("oom_kill ") for line in place.read_text().splitlines())
    except OSError:
        return False
