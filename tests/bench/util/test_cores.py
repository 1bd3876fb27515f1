"""The cores that this process may use: affinity and quotas, fractions too, by files made up and by real cgroups."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from finebench.bench.driver.ray import session
from finebench.bench.driver.ray.oom_kills import KernelKills
from finebench.bench.util import cores as machine
from finebench.bench.util.cores import allowed, cores, quota, slots

SAYS = "from finebench.bench.util.cores import *; print(allowed(), cores(), slots())"


def proc(folder: Path, cgroup: str, mountinfo: str) -> Path:
    """A folder like /proc/self."""
    (folder / "proc").mkdir()
    (folder / "proc" / "cgroup").write_text(cgroup)
    (folder / "proc" / "mountinfo").write_text(mountinfo)
    return folder / "proc"


def limits(folder: Path, **files: str) -> None:
    """A cgroup's files; `_` for a dot, as in cpu_max."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("cpu_", "cpu.", 1)).write_text(text + "\n")


def mount(where: Path, kind: str, root: str = "/", options: str = "rw") -> str:
    """A line of mountinfo."""
    return f"35 24 0:30 {root} {where} rw,nosuid - {kind} cgroup {options}\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50000 100000", 0.5),
        ("150000 100000", 1.5),
        ("max 100000", float("inf")),
        ("", float("inf")),
        ("x y", float("inf")),
    ],
)
def test_version_2_says_time_and_period(tmp_path: Path, text: str, expected: float) -> None:
    """`max` and what is no number are no limit."""
    limits(tmp_path / "fs" / "mine", cpu_max=text)
    assert quota(proc(tmp_path, "0::/mine\n", mount(tmp_path / "fs", "cgroup2"))) == expected


def test_the_smallest_of_all_cgroups_above_counts(tmp_path: Path) -> None:
    """A pod's limit holds for its containers."""
    limits(tmp_path / "fs", cpu_max="800000 100000")
    limits(tmp_path / "fs" / "pod", cpu_max="200000 100000")
    limits(tmp_path / "fs" / "pod" / "box", cpu_max="max 100000")
    assert quota(proc(tmp_path, "0::/pod/box\n", mount(tmp_path / "fs", "cgroup2"))) == 2.0


@pytest.mark.parametrize(("most", "expected"), [("25000", 0.25), ("-1", float("inf"))])
def test_version_1_has_two_files(tmp_path: Path, most: str, expected: float) -> None:
    """And -1 for no limit; other controllers' hierarchies say nothing of time."""
    limits(tmp_path / "cpu" / "job", cpu_cfs_quota_us=most, cpu_cfs_period_us="100000")
    limits(tmp_path / "set" / "job", cpu_cfs_quota_us="1000", cpu_cfs_period_us="100000")
    mounts = mount(tmp_path / "cpu", "cgroup", options="rw,cpu,cpuacct")
    mounts += mount(tmp_path / "set", "cgroup", options="rw,cpuset")
    own = "4:cpuset:/job\n3:cpuacct,cpu:/job\n0::/\n"
    assert quota(proc(tmp_path, own, mounts)) == expected


def test_a_containers_own_cgroup_is_the_root_of_what_it_sees(tmp_path: Path) -> None:
    """Its path is the host's, and so is the root of the mount."""
    limits(tmp_path / "fs", cpu_max="300000 100000")
    whole = mount(tmp_path / "fs", "cgroup2", root="/docker/abc")
    assert quota(proc(tmp_path, "0::/docker/abc\n", whole)) == 3.0


def test_a_cgroup_out_of_sight_is_taken_for_the_mount(tmp_path: Path) -> None:
    """A path that leads out of the mount is none of it."""
    limits(tmp_path / "fs", cpu_max="300000 100000")
    assert quota(proc(tmp_path, "0::/../other\n", mount(tmp_path / "fs", "cgroup2"))) == 3.0


def test_a_mount_with_a_space_in_its_path_is_found(tmp_path: Path) -> None:
    limits(tmp_path / "f s", cpu_max="300000 100000")
    assert quota(proc(tmp_path, "0::/\n", mount(tmp_path / "f s", "cgroup2").replace("f s", "f\\040s"))) == 3.0


def test_a_line_that_is_none_of_a_cgroup_is_passed_over(tmp_path: Path) -> None:
    limits(tmp_path / "fs" / "pod", cpu_max="300000 100000")
    assert quota(proc(tmp_path, "nothing\n1\n0::/pod\n", mount(tmp_path / "fs", "cgroup2"))) == 3.0
    assert KernelKills(tmp_path).count() == 0
    (tmp_path / "proc" / "self").mkdir()
    (tmp_path / "proc" / "self" / "cgroup").write_text("nothing\n1\n0::/pod\n")
    events = tmp_path / "sys/fs/cgroup/pod/memory.events"
    events.parent.mkdir(parents=True)
    events.write_text("oom 3\noom_kill 2\n")
    assert KernelKills(tmp_path).count() == 2


def test_without_cgroups_there_is_no_limit(tmp_path: Path) -> None:
    """As on macOS, and where /proc is closed."""
    assert quota(tmp_path / "none") == float("inf")


@pytest.mark.parametrize(("limit", "expected"), [(0.5, 1), (1.9, 1), (2.0, 2), (float("inf"), 8)])
def test_half_a_core_is_a_slot(monkeypatch: pytest.MonkeyPatch, limit: float, expected: int) -> None:
    """Never none."""
    monkeypatch.setattr(machine, "allowed", lambda: 8)
    monkeypatch.setattr(machine, "quota", lambda: limit)
    assert (cores(), slots()) == (min(8.0, limit), expected)


def test_an_affinity_is_seen() -> None:
    """What taskset, SLURM and cpusets leave."""
    one = min(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, "-c", f"import os; os.sched_setaffinity(0, [{one}]); {SAYS}"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split()[0] == "1"
    assert done.stdout.split()[2] == "1"


@pytest.fixture
def half() -> Iterator[Path]:
    """A real cgroup with a quota of half a core."""
    name = f"finebench-test-{os.getpid()}"
    found = next(((kind, where) for kind, root, where in machine._mounts(machine.SELF) if root == "/"), None)
    if found is None:
        pytest.skip("no cgroup hierarchy is mounted here")
    kind, where = found
    group = where / name
    try:
        group.mkdir()
        if kind:
            (group / "cpu.cfs_quota_us").write_text("50000")
        else:
            (group / "cpu.max").write_text("50000 100000")
        yield group
    except OSError as error:
        pytest.skip(f"cgroups cannot be made here: {error}")
    finally:
        with suppress(OSError):
            group.rmdir()


def test_a_real_quota_of_half_a_core_is_seen(half: Path) -> None:
    """By a process that the kernel holds to it."""
    begin = f"open('{half}/cgroup.procs', 'w').write('0'); {SAYS}"
    done = subprocess.run([sys.executable, "-c", begin], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(allowed()), "0.5", "1"]


def test_our_ray_gets_the_cores_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those that Ray counts; one that is joined keeps its own number."""
    started: list[dict[str, Any]] = []
    monkeypatch.setattr(session.ray, "is_initialized", lambda: False)
    monkeypatch.setattr(session.ray, "init", lambda **options: started.append(options))
    monkeypatch.setattr(session.ray, "shutdown", lambda: None)
    monkeypatch.setattr(session.joining, "check", lambda address: None)
    monkeypatch.setattr(session.local_ray, "start", lambda meanwhile, **options: started.append(options))
    monkeypatch.setattr(machine, "allowed", lambda: 8)
    monkeypatch.setattr(machine, "quota", lambda: 0.5)
    with session.ray_session(session.RayOptions()):
        pass
    with session.ray_session(session.RayOptions("host:6379")):
        pass
    assert [options.get("num_cpus") for options in started] == [1, None]
