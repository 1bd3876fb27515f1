"""What is worth keeping between runs, in the user's cache folder, each kind in a folder of its own: small answers as
JSON files, and entries that others make there (tokens, model files). Losing them costs time, nothing else.

The folder has a limit, on every machine that trains: whoever adds an entry removes those that were used longest ago.
"""

import contextlib
import hashlib
import json
import math
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finebench.bench.util.errors import InputError
from finebench.bench.util.places import expanded, home

LIMIT_GB = "FINEBENCH_CACHE_GB"
DEFAULT_GB = 20.0

OLD = 86400.0
"""Seconds after which a half-made entry is abandoned (with a large model or data set it takes minutes at most), and
before which no entry is removed: a run may be using it."""


def cache_folder() -> Path:
    """FINEBENCH_CACHE, else finebench's folder in XDG_CACHE_HOME (~/.cache); raises FileNotFoundError where there is
    no home folder to look in."""
    own = os.environ.get("FINEBENCH_CACHE")
    if own:
        return expanded(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or home() / ".cache") / "finebench"


def cached(kind: str, key: Any) -> Any:
    """What was kept under a JSON-serialisable key, or None."""
    try:
        return json.loads(_path(kind, key).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def keep(kind: str, key: Any, value: Any) -> None:
    """Keep a JSON value under a key; a cache folder that cannot be written is left alone."""
    with contextlib.suppress(OSError):
        path = _path(kind, key)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(prefix="_", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file)
        os.replace(temporary, path)


def _path(kind: str, key: Any) -> Path:
    text = json.dumps(key, sort_keys=True, separators=(",", ":"))
    return cache_folder() / kind / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"


def limit() -> float:
    """Bytes that the cache folder may hold: FINEBENCH_CACHE_GB, else 20 GB. Raises InputError for what is no number."""
    text = os.environ.get(LIMIT_GB, "")
    try:
        gigabytes = float(text) if text else DEFAULT_GB
    except ValueError:
        gigabytes = math.nan
    if not gigabytes >= 0:
        raise InputError(f"{LIMIT_GB}={text!r}: a number of gigabytes is needed, 0 or more")
    return gigabytes * 1e9


def used(entry: Path) -> None:
    """Note that an entry is in use now, so that it is not among the first to go."""
    with contextlib.suppress(OSError):
        os.utime(entry)


@dataclass(frozen=True)
class Removed:
    """What was taken out of the cache folder: entries and their bytes; and the bytes that are left."""

    entries: int
    bytes: int
    left: int


def trim(most: float | None = None) -> Removed:
    """Remove what others have left half-made and, where entries take more than `most` bytes (None: the limit) together,
    those that were used longest ago. What was used within a day stays.

    Raises FileNotFoundError where there is no home folder to look in.
    """
    most = limit() if most is None else most
    found = [(age(path), path) for path in cache_folder().glob("*/*") if path.suffix != ".lock"]
    old = sorted(((since, path) for since, path in found if since > OLD), reverse=True)
    sizes = {path: size(path) for _, path in found}
    total, removed = sum(sizes.values()), []
    for _, path in old:
        if path.name.startswith("_") or total > most:
            total -= sizes[path]
            removed.append(path)
            _remove(path)
    for lock in cache_folder().glob("*/*.lock"):
        if age(lock) > OLD and not lock.with_suffix("").exists():
            _remove(lock)
    return Removed(len(removed), sum(sizes[path] for path in removed), total)


def _remove(entry: Path) -> None:
    """Remove an entry, which others find whole until it is gone; another process may be doing the same."""
    gone = entry.with_name(f"_gone-{entry.name}-{os.getpid()}")
    with contextlib.suppress(OSError):
        os.replace(entry, gone)
    if gone.is_dir() and not gone.is_symlink():
        shutil.rmtree(gone, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            gone.unlink()


def age(path: Path) -> float:
    """Seconds since a file, or a folder or what stands in it, was last changed or used; 0 where it has gone."""
    try:
        times = [path.lstat().st_mtime, *(one.lstat().st_mtime for one in _inside(path))]
    except OSError:
        return 0.0
    return time.time() - max(times)


def size(path: Path) -> int:
    """Bytes of a file, or of what stands in a folder; 0 where it has gone."""
    try:
        return sum(one.lstat().st_size for one in (_inside(path) or [path]))
    except OSError:
        return 0


def _inside(path: Path) -> list[Path]:
    return list(path.rglob("*")) if path.is_dir() and not path.is_symlink() else []
