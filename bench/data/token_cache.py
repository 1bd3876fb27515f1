"""Tokenised splits on disk: written once per node, whole or not at all, checked on every read, mapped into memory.

An entry is a folder of .npy files (never pickles) and a checksum, made under a temporary name and renamed into place by
the one process that holds the entry's lock. What does not match its checksum is made again.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finebench.bench.data.rows import TaskData
from finebench.bench.util.errors import DataError
from finebench.bench.util.file_lock import locked
from finebench.bench.util.machine import TOKEN_PACKAGES
from finebench.bench.util.user_cache import cache_folder, trim, used

TOKENIZER_FILES = (".json", ".txt", ".model", ".tiktoken")
"""How the names of files end that a tokenizer may read."""

_FORMAT = "1"
_INSTEAD = "each worker tokenises for itself. FINEBENCH_CACHE=DIR chooses another folder"
_NOT_TOKENIZER = ("generation_config.json", "model.safetensors.index.json", "modules.json", "train_script.json")


@dataclass(frozen=True)
class Tokenised:
    """What an entry holds: flat token ids, row offsets [n + 1], and flat type ids or None."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    type_ids: NDArray[np.uint8] | None

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by file name, in a fixed order."""
        found: dict[str, NDArray[Any]] = {"ids": self.ids, "offsets": self.offsets}
        return found if self.type_ids is None else {**found, "type_ids": self.type_ids}


def tokenizer_key(folder: Path, parts: Sequence[str]) -> str:
    """A hash of `parts`, of every file of a model folder that a tokenizer may read, and of the libraries' versions."""
    digest = hashlib.blake2b("\0".join((_FORMAT, *map(version, TOKEN_PACKAGES), *parts)).encode(), digest_size=16)
    for path in sorted(folder.iterdir()):
        if path.suffix in TOKENIZER_FILES and path.name not in _NOT_TOKENIZER and path.is_file():
            data = path.read_bytes()
            digest.update(f"\0{path.name}\0{len(data)}\0".encode())
            digest.update(data)
    return digest.hexdigest()


def split_key(task: TaskData, split_name: str, folder: Path, max_length: int) -> str:
    """What the tokens of one split of a task ("train" or "score") rest on, under a model folder's tokenizer."""
    return tokenizer_key(folder, [task.fingerprint, split_name, str(max_length)])


def kept(key: str, rows: int) -> Tokenised | None:
    """The entry `key` of `rows` rows; None where it is not there, or damaged."""
    return _read(cache_folder() / "tokens" / key, rows)


def cached(
    key: str, rows: int, build: Callable[[], Tokenised], note: Callable[[str], None] = lambda text: None
) -> Tokenised:
    """The entry `key` of `rows` rows; `build` makes it where it is absent or damaged.

    Where the cache cannot be written (a full disk, a read-only home), `note` is told so, and what was built is used
    from this process's memory. Raises DataError where an entry does not read back as it was written.
    """
    try:
        folder = cache_folder() / "tokens"
    except OSError as error:
        note(f"cache folder: {error.strerror}; {_INSTEAD}")
        return build()
    entry = folder / key
    found, made = _read(entry, rows), None
    if found is not None:
        return found
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / f"{key}.lock"):
            found = _read(entry, rows)  # another process may have made it while this one waited
            if found is None:
                made = build()
                _write(entry, made)
                found = _read(entry, rows)
    except OSError as error:
        why = error.strerror or error
        note(f"cache folder {folder}: cannot be written: {why}; {_INSTEAD}")
        return build() if made is None else made
    if found is None:
        raise DataError(f"cache folder {folder}: entry {key} does not read back as it was written; is the disk sound?")
    return found


def _checksum(arrays: Tokenised) -> str:
    digest = hashlib.blake2b(digest_size=16)
    for name, array in arrays.arrays().items():
        digest.update(f"{name}{array.dtype.str}{len(array)};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(entry: Path, rows: int) -> Tokenised | None:
    """The entry, mapped; None where it is absent, damaged, or not of `rows` rows."""
    try:
        checksum = json.loads((entry / "checksum.json").read_text())
        ids, offsets = _map(entry / "ids.npy"), _map(entry / "offsets.npy")
        type_ids = _map(entry / "type_ids.npy") if (entry / "type_ids.npy").exists() else None
    except (OSError, ValueError, EOFError):
        return None
    used(entry)
    found = Tokenised(ids, offsets, type_ids)
    whole = len(offsets) == rows + 1 and _checksum(found) == checksum
    return found if whole else None


def _map(path: Path) -> NDArray[Any]:
    """The array as a plain view: indexing np.memmap itself costs several times as much."""
    mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    return mapped


def _write(entry: Path, arrays: Tokenised) -> None:
    temporary = Path(tempfile.mkdtemp(prefix="_", dir=entry.parent))
    try:
        for name, array in arrays.arrays().items():
            np.save(temporary / f"{name}.npy", array, allow_pickle=False)
        (temporary / "checksum.json").write_text(json.dumps(_checksum(arrays)))
        shutil.rmtree(entry, ignore_errors=True)  # a damaged one; the lock keeps others away
        os.replace(temporary, entry)
        trim()
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
