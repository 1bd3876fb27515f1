"""A folder at any URI that pyarrow.fs opens: list, read, and write whole files."""

import os
import uuid
from pathlib import Path

import pyarrow as pa
from pyarrow import fs

from bench.errors import ResultsError


class Folder:
    """A local path or a URI such as s3://bucket/run. Names are relative, with forward slashes."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            if "://" in uri:
                self.fs, self.root = fs.FileSystem.from_uri(uri)
            else:
                self.fs, self.root = fs.LocalFileSystem(), str(Path(uri).resolve())
        except (pa.ArrowException, OSError, ValueError) as error:
            raise ResultsError(f"folder {uri!r} cannot be opened: {error}") from error
        self.local = isinstance(self.fs, fs.LocalFileSystem)

    def path(self, name: str) -> str:
        """Full path of a file, as the file system knows it."""
        return f"{self.root}/{name}"

    def exists(self) -> bool:
        """Whether the folder is there."""
        return bool(self.fs.get_file_info(self.root).type == fs.FileType.Directory)

    def list(self, name: str, suffix: str) -> list[str]:
        """Names of the files in a sub-folder, relative to this one, sorted; `_…` are unfinished and left out."""
        selector = fs.FileSelector(self.path(name), allow_not_found=True)
        found = [info.base_name for info in self.fs.get_file_info(selector) if info.is_file]
        return sorted(f"{name}/{base}" for base in found if base.endswith(suffix) and not base.startswith("_"))

    def read(self, name: str) -> bytes | None:
        """A file's content, or None where there is none; raises ResultsError where it cannot be read."""
        try:
            with self.fs.open_input_stream(self.path(name)) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None
        except (pa.ArrowException, OSError) as error:
            raise ResultsError(f"{self.path(name)}: cannot be read: {error}") from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole: locally by a temporary name and a rename, elsewhere by one PUT."""
        final = self.path(name)
        try:
            if self.local:
                _write_local(Path(final), data)
            else:
                with self.fs.open_output_stream(final) as stream:
                    stream.write(data)
        except (pa.ArrowException, OSError) as error:
            raise ResultsError(f"{final}: cannot be written: {error}") from error


def _write_local(final: Path, data: bytes) -> None:
    final.parent.mkdir(parents=True, exist_ok=True)
    temporary = final.with_name(f"_{final.name}.{uuid.uuid4().hex[:8]}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, final)
    finally:
        temporary.unlink(missing_ok=True)
