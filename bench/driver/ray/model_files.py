"""A model's files as they go to workers that do not share a disk with the driver."""

from dataclasses import replace
from pathlib import Path

from finebench.bench.training.worker.messages import Shipment


def pack_files(folder: Path) -> dict[str, bytes]:
    """A model folder's files as bytes, to be sent once per node to workers that do not share a disk with the driver."""
    wanted = (".json", ".safetensors", ".txt", ".model", ".bin")
    files = (path for path in sorted(folder.iterdir()) if path.suffix in wanted and path.is_file())
    return {path.name: path.read_bytes() for path in files}


def localise(shipment: Shipment, files: dict[str, bytes] | None) -> Shipment:
    """The shipment with its model folder on this node."""
    return shipment if files is None else replace(shipment, model_folder=str(_unpack(files)))


def _unpack(files: dict[str, bytes]) -> Path:
    """Write shipped model files into this node's cache, once; returns the folder."""
    import hashlib
    import tempfile

    from finebench.bench.util.user_cache import cache_folder, trim, used

    digest = hashlib.blake2b(digest_size=16)
    for name, data in files.items():
        digest.update(name.encode() + len(data).to_bytes(8, "big"))
        digest.update(data)
    final = cache_folder() / "models" / digest.hexdigest()
    if final.is_dir():
        used(final)
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix="_", dir=final.parent))
    for name, data in files.items():
        (temporary / Path(name).name).write_bytes(data)
    try:
        temporary.rename(final)
    except OSError:  # another worker of this node was first; its files are the same
        if not final.is_dir():
            raise
    trim()
    return final
