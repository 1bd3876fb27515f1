"""A model's files as they go to workers that do not share a disk with the driver: once to each node's memory, and from
there to its disk where they are not yet.

On disk they are an entry of the node's cache, written under a temporary name and renamed into place by the one process
that holds the entry's lock.
"""

import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finebench.bench.training.worker.messages import Shipment
from finebench.bench.util.file_lock import locked
from finebench.bench.util.user_cache import cache_folder, trim, used


@dataclass(frozen=True)
class ModelFiles:
    """A hash of their content, their bytes, and by name references to arrays in Ray's memory, which a process maps
    without copying them."""

    digest: str
    sizes: Mapping[str, int]
    contents: Mapping[str, Any]


def pack_files(folder: Path) -> ModelFiles:
    """Give a model folder's files to Ray, one at a time: together they may be more than this process has room for."""
    import ray

    from finebench.bench.models.hub import shipped

    digest, sizes, contents = hashlib.blake2b(digest_size=16), dict[str, int](), dict[str, Any]()
    for path in shipped(folder):
        data = np.fromfile(path, dtype=np.uint8)
        digest.update(f"{path.name}\0{len(data)}\0".encode())
        digest.update(data.data)
        sizes[path.name], contents[path.name] = len(data), ray.put(data)
    return ModelFiles(digest.hexdigest(), sizes, contents)


def localise(shipment: Shipment, files: ModelFiles | None) -> Shipment:
    """The shipment with its model folder on this node."""
    import ray

    return shipment if files is None else replace(shipment, model_folder=str(unpack(files, ray.get)))


def unpack(files: ModelFiles, fetch: Callable[[Any], NDArray[np.uint8]]) -> Path:
    """The files in this node's cache; `fetch` gives what a reference stands for, and is asked where they are not there.

    Raises OSError where they cannot be written, and then leaves nothing behind.
    """
    final = cache_folder() / "models" / files.digest
    if not _whole(final, files):
        final.parent.mkdir(parents=True, exist_ok=True)
        with locked(final.with_name(f"{final.name}.lock")) as alone:
            if not _whole(final, files):  # another process may have written them while this one waited
                _write(final, files, fetch, alone)
    used(final)
    return final


def _whole(folder: Path, files: ModelFiles) -> bool:
    """Whether a folder has all files and no other, at their sizes: a power cut may leave less."""
    try:
        return {path.name: path.stat().st_size for path in folder.iterdir()} == files.sizes
    except FileNotFoundError:
        return False


def _write(final: Path, files: ModelFiles, fetch: Callable[[Any], NDArray[np.uint8]], alone: bool) -> None:
    """`alone`: no other process writes them; else, on a disk without locks, each under a name of its own."""
    temporary = final.with_name(f"_{final.name}" if alone else f"_{final.name}.{uuid.uuid4().hex}")
    shutil.rmtree(temporary, ignore_errors=True)  # of one that was killed
    trim()
    try:
        temporary.mkdir()
        for name, content in files.contents.items():
            (temporary / name).write_bytes(fetch(content).data)
        shutil.rmtree(final, ignore_errors=True)  # one that is not whole
        try:
            os.replace(temporary, final)
        except OSError:
            if not _whole(final, files):  # else another was quicker
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    trim()
