"""A split in one or several Parquet files, named as the hub names them: train-00000-of-00002.parquet."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from finebench.bench.data.readers import read_file
from finebench.bench.data.rows import RawSplit
from finebench.bench.util.errors import DataError

_SHARD = re.compile(r"(\d{5})-of-(\d{5})")


def find_shards(path: Path) -> list[Path]:
    """The file itself, or all of its shards in order; an empty list where there is neither.

    Raises DataError where a shard is missing.
    """
    if path.is_file():
        return [path]
    found = sorted(path.parent.glob(f"{path.stem}-*-of-*{path.suffix}"))
    parts = [match for one in found if (match := _SHARD.fullmatch(one.stem.removeprefix(f"{path.stem}-")))]
    if not parts:
        return []
    total = int(parts[0][2])
    if [(int(part[1]), int(part[2])) for part in parts] != [(number, total) for number in range(total)]:
        wanted = f"{path.stem}-*-of-{total:05d}{path.suffix}"
        raise DataError(f"{path.parent}: there are {len(parts)} of the {total} files {wanted}; all are needed")
    return [path.parent / f"{path.stem}-{part[0]}{path.suffix}" for part in parts]


def read_shards(paths: Sequence[Path], columns: Sequence[str]) -> RawSplit:
    """Files read as one split."""
    parts = [read_file(path, columns) for path in paths]
    if len(parts) == 1:
        return parts[0]
    values = {name: [value for part in parts for value in part.columns[name]] for name in columns}
    return replace(parts[0], place=f"{paths[0]} to {paths[-1].name}", columns=values)
