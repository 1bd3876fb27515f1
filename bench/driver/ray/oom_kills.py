"""How often the kernel's out-of-memory killer has struck here: a parent sees no more of it than a SIGKILL."""

from pathlib import Path


class KernelKills:
    """Counts processes killed for memory: those in this process's cgroup where it has one, else on the machine."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._file = _counter(root)

    def count(self) -> int:
        """Kills so far; 0 where nothing is counted."""
        return _read(self._file) or 0 if self._file is not None else 0


def _counter(root: Path) -> Path | None:
    """The file with a line `oom_kill N`: cgroup v2, cgroup v1, or the whole machine's (Linux 4.13 and later)."""
    places = [root / "proc/vmstat"]
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = []
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and controllers == "":
            places.insert(0, root / "sys/fs/cgroup" / path.lstrip("/") / "memory.events")
        elif "memory" in controllers.split(","):
            places.insert(0, root / "sys/fs/cgroup/memory" / path.lstrip("/") / "memory.oom_control")
    return next((place for place in places if _read(place) is not None), None)


def _read(place: Path) -> int | None:
    """The count in a file; None where it holds none, or has gone with its cgroup."""
    try:
        pairs = [line.split() for line in place.read_text().splitlines()]
    except OSError:
        return None
    return next((int(pair[1]) for pair in pairs if len(pair) == 2 and pair[0] == "oom_kill"), None)
