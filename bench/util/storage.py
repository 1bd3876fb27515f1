"""One folder at any URI that pyarrow.fs opens: list, read and write whole files, and nothing outside the folder.

A file is written under a temporary name beginning with `_` and renamed (an object store: one PUT), so that a reader
never sees half a file, and what `write_bytes` has returned from survives a power cut. An object store that does not
answer, or answers 500 or 503, is asked again with growing waits for `patience()` seconds; then, as for a full disk or
a lost permission, one StorageError says what happened. Object stores have no folders: none is made there, and one that
refuses the markers by which others stand for folders will do.
"""

import os
import random
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import pyarrow as pa
from pyarrow import fs

from finebench.bench.util.errors import ResultsError, StorageError
from finebench.bench.util.places import truly
from finebench.bench.util.s3 import open_s3, server

S = TypeVar("S")
T = TypeVar("T")

OBJECT_STORES = ("s3", "gcs", "abfs")
"""What pyarrow calls the file systems that have no folders."""

REQUESTS = 8
"""Requests to an object store that may be under way at once: pyarrow has eight threads for them."""

FIRST_WAIT, LONGEST_WAIT = 0.25, 15.0
"""Seconds before the first and the later repetitions of a call to an object store."""

FINAL = (
    "ACCESS_DENIED", "NO_SUCH_BUCKET", "INVALID_ACCESS_KEY_ID", "SIGNATURE_DOES_NOT_MATCH", "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN", "UNRECOGNIZED_CLIENT", "INVALID_CLIENT_TOKEN_ID", "EXPIRED_TOKEN",
    "AUTHENTICATION", "PermissionDenied", "HTTP status 301", "HTTP status 400", "HTTP status 401", "HTTP status 403",
    "HTTP status 404",
)  # fmt: skip
"""What an object store means: asking again changes nothing."""


def patience() -> float:
    """Seconds for which an object store in trouble is asked again: FINEBENCH_STORAGE_SECONDS, else two minutes."""
    text = os.environ.get("FINEBENCH_STORAGE_SECONDS", "120")
    try:
        return max(0.0, float(text))
    except ValueError:
        raise ResultsError(f"FINEBENCH_STORAGE_SECONDS={text!r}: a number of seconds is needed") from None


def is_path(uri: str) -> bool:
    """Whether a folder is a path of this machine, also where that is written as a URI; opens nothing."""
    return uri.partition("://")[0] in (uri, "file")


def local_path(uri: str) -> Path | None:
    """The path of this machine that a folder is; None where it is none."""
    if not is_path(uri):
        return None
    return Path(unquote(urlsplit(uri).path) if "://" in uri else uri)


class Store:
    """A local path or a URI such as s3://bucket/run. Names are relative to it, with forward slashes."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self.notify: Callable[[str], None] = lambda text: None
        self.patience = patience  # who cannot wait so long sets another
        self._down = False
        if not uri:
            raise ResultsError("'' is no folder; give a path or a URI")
        try:
            self.fs, root = _open(uri)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ResultsError(f"folder {uri!r} cannot be opened: {one_line(error)}") from error
        self.local = isinstance(self.fs, fs.LocalFileSystem)
        self._flat = self.fs.type_name in OBJECT_STORES
        self.root = str(Path(root).resolve()) if self.local else root.rstrip("/")
        if self.local and truly(Path(self.root).is_file):
            raise ResultsError(f"{uri!r} is a file, and not a folder")
        if not self.root:
            raise ResultsError(f"folder {uri!r} cannot be opened: it names no bucket")

    @property
    def place(self) -> tuple[str, str, str]:
        """What tells this folder from all others: the kind of storage, its server, and where it lies there."""
        return self.fs.type_name, server(self.uri) if self.uri.startswith("s3://") else "", self.root

    def path(self, name: str) -> str:
        """Full path of a file, as the file system knows it; raises ResultsError for a name that leads elsewhere."""
        parts = name.split("/")
        if "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in parts):
            raise ResultsError(f"{name!r} is no name of a file inside {self.uri!r}")
        return f"{self.root}/{name}"

    def shown(self, name: str) -> str:
        """The same for people: a path, or a URI without its options."""
        return self._shown(self.path(name))

    def _shown(self, path: str) -> str:
        return path if self.local else f"{self.uri.partition('://')[0]}://{path}"

    def exists(self) -> bool:
        """Whether the folder is there."""
        info = self._try("read", self.root, lambda: self.fs.get_file_info(self.root))
        return bool(info.type == fs.FileType.Directory)

    def make(self, folders: list[str]) -> None:
        """Make sub-folders, where there are such things; raises StorageError where that cannot be done."""
        for folder in [] if self._flat else folders:
            path = self._inside(f"{folder}/x").rpartition("/")[0]
            self._try("written", path, lambda path=path: self.fs.create_dir(path, recursive=True))  # type: ignore[misc]

    def versions(self, folder: str, recursive: bool = False) -> dict[str, tuple[int, int]]:
        """Names of all files in a sub-folder ("": the folder itself), sorted, unfinished ones too, with their bytes and
        the time of their last change in nanoseconds."""
        base = self.path(folder) if folder else self.root
        selector = fs.FileSelector(base, allow_not_found=True, recursive=recursive)
        found = [one for one in self._try("read", base, lambda: self.fs.get_file_info(selector)) if one.is_file]
        return dict(sorted((one.path.removeprefix(f"{base}/"), (one.size, one.mtime_ns or 0)) for one in found))

    def sizes(self, folder: str, recursive: bool = False) -> dict[str, int]:
        """The names with their bytes."""
        return {name: size for name, (size, _) in self.versions(folder, recursive).items()}

    def files(self, folder: str, recursive: bool = False) -> list[str]:
        """The names alone."""
        return list(self.sizes(folder, recursive))

    def names(self, folder: str, suffix: str) -> list[str]:
        """Names of the finished files in a sub-folder, sorted; temporary ones (`_…`) are left out."""
        return [name for name in self.files(folder) if name.endswith(suffix) and not name.startswith("_")]

    def read_bytes(self, name: str, limit: int | None = None) -> bytes | None:
        """A file's content (of at most `limit` bytes), or None where there is none."""
        path = self.path(name)

        def read() -> bytes:
            with self.fs.open_input_stream(path) as stream:
                return bytes(stream.read(None if limit is None else limit + 1))

        try:
            data = self._try("read", path, read)
        except FileNotFoundError:
            return None
        if limit is not None and len(data) > limit:
            raise ResultsError(f"{path}: more than the {limit:,} bytes that this file may have")
        return data

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write a file whole; raises StorageError where that fails, and then leaves what was there before."""
        final = self._inside(name)
        self._try("written", final, lambda: _write_local(final, data) if self.local else self._put(final, data))

    def delete(self, name: str) -> None:
        """Delete a file; one that is gone already will do."""
        path = self._inside(name)
        try:
            self._try("deleted", path, lambda: self._take_away(path, lambda: self.fs.delete_file(path)))
        except FileNotFoundError:
            return

    def delete_all(self, names: Sequence[str]) -> None:
        """Delete files, in an object store several at once."""
        self.at_once(self.delete, names)

    def at_once(self, call: Callable[[S], T], given: Sequence[S]) -> list[T]:
        """What a call makes of each: one after the other on a disk, in an object store several at once. Raises the
        first error once no call is under way any more."""
        if self.local or len(given) < 2:
            return [call(one) for one in given]
        with ThreadPoolExecutor(REQUESTS, thread_name_prefix="finebench-requests") as pool:
            return list(pool.map(call, given))

    def move(self, name: str, to: str) -> None:
        """Move a file within the folder (an object store: copy, then delete)."""
        source, target = self._inside(name), self._inside(to)
        self.make([to.rpartition("/")[0]])
        try:
            self._try("moved", source, lambda: self._take_away(source, lambda: self.fs.move(source, target)))
        except FileNotFoundError:
            return

    def _take_away(self, path: str, call: Callable[[], None]) -> None:
        """Call what takes a file from its place. pyarrow then writes a marker for the folder, as the file may have been
        its last: where an object store refuses that, the file is gone all the same."""
        try:
            call()
        except OSError:
            if not self._flat or self.fs.get_file_info(path).type != fs.FileType.NotFound:
                raise

    def _put(self, path: str, data: bytes) -> None:
        with self.fs.open_output_stream(path) as stream:
            stream.write(data)

    def _inside(self, name: str) -> str:
        """`path`, and on a disk a check that no symbolic link on the way leads out of the folder."""
        path = self.path(name)
        if self.local:
            parent = os.path.realpath(os.path.dirname(path))
            if parent != self.root and not parent.startswith(self.root.rstrip("/") + "/"):
                raise ResultsError(f"{path}: a symbolic link leads out of the folder, to {parent}; nothing is written")
        return path

    def _try(self, done: str, path: str, call: Callable[[], T]) -> T:
        """Call, again and again where an object store is in trouble; `done` says what could not be done."""
        # a store that has just been waited for in vain is asked once more, not waited for again
        begin, down, wait, told = time.monotonic(), self._down, FIRST_WAIT, False
        while True:
            try:
                made = call()
                self._down = False
                return made
            except FileNotFoundError:
                raise
            except (pa.ArrowException, OSError) as error:
                # asked for each time: whoever is interrupted has less of it than before
                left = begin + (0.0 if down else self.patience()) - time.monotonic()
                if self.local or any(word in str(error) for word in FINAL) or left <= 0:
                    self._down = not self.local
                    raise StorageError(f"{self._shown(path)}: cannot be {done}: {one_line(error)}") from error
                if not told:
                    self.notify(
                        f"{self._shown(path)}: {one_line(error)}; trying again for up to {self.patience():.0f} s"
                    )
                    told = True
            # spread out, so that many readers do not ask in step
            time.sleep(min(wait * random.uniform(0.5, 1.0), left))
            wait = min(2 * wait, LONGEST_WAIT)


def _open(uri: str) -> tuple[fs.FileSystem, str]:
    if "://" not in uri:
        return fs.LocalFileSystem(), uri
    if uri.startswith("s3://"):
        return open_s3(uri)
    if uri.startswith("file://") and "?" in uri:
        raise ValueError("a local folder has no options; a ? in its name is written %3F, or the folder without file://")
    found: tuple[fs.FileSystem, str] = fs.FileSystem.from_uri(uri)
    return found


def _write_local(final: str, data: bytes) -> None:
    folder, _, base = final.rpartition("/")
    os.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/_{base}.{uuid.uuid4().hex[:8]}"
    try:
        with open(temporary, "xb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, final)
        _sync(folder)
    except OSError:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise


def _sync(folder: str) -> None:
    """Make a rename durable, so that files survive a power cut in the order in which they were written."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def one_line(error: BaseException) -> str:
    """What went wrong, in one line of readable length."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(str(text).split())[:300]
