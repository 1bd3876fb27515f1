"""Folders that the environment names: the user's home, and where Ray and temporary files go. Also containers have to
have both, where a user id may have no entry in the password database and a home may be read-only.
"""

import errno
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from finebench.bench.util.errors import InputError

_IN_A_SESSION = len(b"/session_2026-01-31_23-59-59_999999_1234567/sockets/plasma_store")
"""What Ray puts behind its temporary folder to name a socket, a process id of seven digits in it."""

LONGEST_SOCKET = 103 if sys.platform == "darwin" else 107
"""Bytes that the path of a Unix socket may have."""


def home() -> Path:
    """The user's home folder; raises FileNotFoundError where the environment and the password database name none."""
    try:
        return Path.home()
    except RuntimeError:
        raise FileNotFoundError(
            errno.ENOENT, f"no home folder: HOME is not set, and user id {os.getuid()} is not in the password database"
        ) from None


def check_system() -> None:
    """Raise InputError on Windows, whose processes, signals and file locks are other ones."""
    if sys.platform == "win32":
        raise InputError("finebench does not run on Windows itself; install and run it in WSL (wsl --install)")


def check_home() -> None:
    """Raise InputError where there is no home folder: several libraries cannot even be imported without."""
    try:
        home()
    except FileNotFoundError as error:
        raise InputError(f"{error.strerror}; name a folder that can be written: HOME=/path finebench …") from error


def expanded(path: str) -> Path:
    """A path with `~` replaced; raises InputError where there is no home folder to put in its place."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(f"{path!r}: no home folder is known to put in the place of ~; give the whole path") from None


def truly(ask: Callable[[], bool]) -> bool:
    """What a path says of itself (`path.is_dir`); False where the system does not look for such a path: one with too
    long a name, or in a folder that may not be looked into."""
    try:
        return ask()
    except OSError:
        return False


def nearest(folder: Path) -> Path:
    """The folder, or the nearest one above it that exists."""
    return next(one for one in (folder, *folder.absolute().parents) if truly(one.exists))


def writable(folder: Path) -> bool:
    """Whether files can be made in a folder, or in one that is made for it."""
    there = nearest(folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)


def ray_folder(environ: Mapping[str, str]) -> tuple[Path, str]:
    """The folder in which Ray makes its own, and what names it: as Ray chooses it."""
    names = ("RAY_TMPDIR", "TMPDIR") if sys.platform == "linux" else ("RAY_TMPDIR",)
    named = next((name for name in names if name in environ), None)
    return (Path("/tmp"), "Ray's default") if named is None else (Path(environ[named]), named)


def check_temporary(ray: bool) -> None:
    """Raise InputError where a run cannot have its temporary files; with `ray`, its Ray's files and sockets neither."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        raise InputError(
            "no temporary folder can be written (TMPDIR, /tmp and others were tried); set TMPDIR to one that can"
        ) from None
    if not ray:
        return
    folder, name = ray_folder(os.environ)
    instead = "set RAY_TMPDIR to a short path that can be written, or run without Ray with --debug"
    length = len(os.fsencode(folder / "ray")) + _IN_A_SESSION
    if length > LONGEST_SOCKET:
        raise InputError(
            f"temporary folder {folder} ({name}): too long a path: Ray's sockets in it would have paths of up to "
            f"{length} bytes, and the system allows {LONGEST_SOCKET}; {instead}"
        )
    if not writable(folder / "ray"):
        raise InputError(f"temporary folder {folder} ({name}): Ray cannot write there; {instead}")
