"""What killed processes leave behind, removed by the next run where its writer is surely gone.

In RESULTS a half-written file has a name of its own. Tables, suggestions, deltas and checkpoints are written by the
driver that holds the folder and by its workers alone: what stands there half-written when a run begins is nobody's. A
report may be in the making at any time; its half-written files, as those in the user's cache, go once they are old. A
run's scratch folder says whose it is, and the folder of a Ray of its own; they go when that process has ended, Ray's
with the next run, so that its logs can be read until then.
"""

import json
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import FILE, RUNNING, Owner, process_start, this_process
from finebench.bench.util.errors import ResultsError
from finebench.bench.util.machine import hostname
from finebench.bench.util.places import ray_folder
from finebench.bench.util.user_cache import OLD as OLD_CACHE
from finebench.bench.util.user_cache import age, trim

HALF_WRITTEN = re.compile(r"(.*/)?_[^/]+\.[0-9a-f]{8}")
"""The name of a file of RESULTS that is being written (`bench.util.storage`)."""

DRIVERS = (".", "trials", "evals", "predictions", "search", "deltas", "checkpoints")
"""Folders of RESULTS, itself among them, that only the driver that holds RESULTS, and its workers, write into."""

OLD = 3600.0
"""Seconds after which a file of a report, which takes seconds to write, is abandoned where nobody is known to write
it."""

SCRATCH, OWNER = "finebench-ray-", "owner.json"
_SESSION = re.compile(r"session_[0-9_-]+")


def clear_results(folder: ResultsFolder) -> None:
    """Remove half-written files; the caller holds the folder's lock. An object store has none: it shows whole objects
    only. One that cannot be removed is noted, and does no harm."""
    if not folder.local:
        return
    for place, _, names in os.walk(folder.root):
        inside = os.path.relpath(place, folder.root)
        for name in names:
            beat = name.startswith((f"_{FILE}.", f"_{RUNNING}."))  # our own heartbeat may be writing that
            own = inside.split(os.sep)[0] in DRIVERS and not beat
            if HALF_WRITTEN.fullmatch(name) and (own or age(Path(place, name)) > OLD):
                try:
                    folder.delete(name if inside == "." else f"{inside.replace(os.sep, '/')}/{name}")
                except ResultsError as error:
                    folder.notify(str(error))


@contextmanager
def scratch(session: Path | None = None) -> Iterator[str]:
    """A folder for the length of the block, with its owner's name in it; `session` is the folder of the owner's own
    Ray, which outlives an owner that is killed."""
    path = tempfile.mkdtemp(prefix=SCRATCH)
    try:
        sign(Path(path), session)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def sign(folder: Path, session: Path | None = None) -> None:
    """Write into a folder that it is this process's, and goes once that has ended."""
    content = asdict(this_process()) | {"session": None if session is None else str(session)}
    Path(folder, OWNER).write_text(json.dumps(content))


def signed(folder: Path) -> bool:
    """Whether a process of ours has written into a folder that it is its own."""
    return (folder / OWNER).exists()


def clear_scratch() -> int:
    """Remove scratch folders of this user's processes that have ended, the folders of their own Ray, and what is too
    much or half-made in the cache; returns the number of folders of processes."""
    removed = 0
    for path in (ray_folder(os.environ)[0] / "ray").glob("session_*"):
        owner, _ = _owner(path)
        if owner and _own_folder(path) and gone(owner):
            _remove(path)
            removed += 1
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}*"):
        if not _own_folder(path):
            continue
        owner, session = _owner(path)
        if gone(owner) if owner else age(path) > OLD_CACHE:
            if owner and session and _SESSION.fullmatch(session.name) and session.name.endswith(f"_{owner.pid}"):
                _remove(session)
            _remove(path)
            removed += 1
    trim()
    return removed


def _own_folder(path: Path) -> bool:
    """Whether it is a folder of this user's, and no link: anyone may write into a folder for temporary files."""
    with suppress(OSError):
        found = path.lstat()
        return stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid()
    return False


def _remove(path: Path) -> None:
    """Remove a file or folder of this user's; another run may be doing the same."""
    if _own_folder(path):
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def gone(owner: Owner) -> bool:
    """Whether a process has surely ended: it ran on this machine, and does not, or the machine was started anew since.
    Of one elsewhere, or in a container beside this one, nothing is known."""
    here = process_start(os.getpid())
    if owner.host != hostname() or owner.started is None or here is None:
        return False
    if owner.here:
        return owner.started != process_start(owner.pid)
    return owner.started.split(":")[0] != here.split(":")[0]


def _owner(path: Path) -> tuple[Owner | None, Path | None]:
    """Whose a scratch folder is, and the folder of its owner's Ray."""
    try:
        raw = json.loads((path / OWNER).read_text())
    except (OSError, ValueError):  # a process was killed before it had written it, or is about to write it
        return None, None
    owner = Owner.parse(raw)
    session = raw.get("session") if owner else None
    return owner, Path(session) if isinstance(session, str) else None
