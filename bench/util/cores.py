"""How much of this machine's processor this process may use: its CPU affinity and its cgroups' quotas.

A cpuset, `taskset` or SLURM's binding shows in the affinity. A container's limit is a quota of CPU time, which the
affinity does not show: `cpu.max` in version 2 of cgroups, `cpu.cfs_quota_us` in version 1, the smallest of the cgroup's
own and those above it. It may be a fraction. Elsewhere than on Linux all of the machine is there.
"""

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

SELF = Path("/proc/self")


def cores() -> float:
    """CPUs that this process may use at once: half a one is 0.5."""
    return min(float(allowed()), quota())


def slots() -> int:
    """Trials of one CPU that this process may train at once: never none, since half a CPU trains them too, slowly."""
    return max(1, math.floor(cores()))


def allowed() -> int:
    """CPUs on which the kernel may put this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(proc: Path = SELF) -> float:
    """CPUs for which the cgroups give time; infinite where they set no limit or there are none."""
    limits = (limit for folder in _folders(proc) for limit in (_version_2(folder), _version_1(folder)))
    return min((limit for limit in limits if limit is not None), default=math.inf)


def _folders(proc: Path) -> Iterator[Path]:
    """The cgroup of this process in each hierarchy that may limit CPU time, and all above it that can be seen."""
    own = dict(_own(proc))
    for kind, root, mounted in _mounts(proc):
        place = PurePosixPath(own.get(kind, "/"))
        inside = place.relative_to(root) if place.is_relative_to(root) else PurePosixPath()
        folder = mounted / inside
        yield from (one for one in (folder, *folder.parents) if one.is_relative_to(mounted))


def _own(proc: Path) -> Iterator[tuple[str, str]]:
    """This process's cgroup by hierarchy: "" for version 2, "cpu" for version 1's."""
    for line in _lines(proc / "cgroup"):
        number, controllers, place = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            yield "", place
        elif "cpu" in controllers.split(","):
            yield "cpu", place


def _mounts(proc: Path) -> Iterator[tuple[str, str, Path]]:
    """(hierarchy, its cgroup that is mounted, where)."""
    for line in _lines(proc / "mountinfo"):
        mount, _, source = line.partition(" - ")
        fields, (kind, _, options, *_) = [*map(_plain, mount.split())], [*source.split(), "", "", ""]
        if kind == "cgroup2":
            yield "", fields[3], Path(fields[4])
        elif kind == "cgroup" and "cpu" in options.split(","):
            yield "cpu", fields[3], Path(fields[4])


def _plain(field: str) -> str:
    """A field of mountinfo, in which blanks and backslashes stand as octal numbers: a space as \\040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), field)


def _version_2(folder: Path) -> float | None:
    words = " ".join(_lines(folder / "cpu.max")).split()
    return _share(*words) if len(words) == 2 else None


def _version_1(folder: Path) -> float | None:
    most, period = (" ".join(_lines(folder / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return _share(most, period)


def _share(most: str, period: str) -> float | None:
    """Time over period; None for `max`, -1 and what is no number."""
    if not (most.isdecimal() and period.isdecimal() and int(most) and int(period)):
        return None
    return int(most) / int(period)


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text().splitlines()
    except OSError:
        return []
