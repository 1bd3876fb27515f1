"""Read the columns of Parquet files, and of folders that `save_to_disk` of `datasets` wrote, without `datasets`."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finebench.bench.data.rows import Columns, RawSplit, check_columns, named_once
from finebench.bench.util.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 20_000_000
"""Rows of a Parquet file: repeated values cost it next to nothing, so that a small one may stand for a huge table."""


def read_parquet(path: Path, source: Any, columns: Columns) -> RawSplit:
    """Read `source`, a path or an open file, which messages call `path`; raises DataError where it is no Parquet."""
    from pyarrow import parquet

    def read() -> RawSplit:
        with parquet.ParquetFile(source) as file:
            schema = file.schema_arrow
            wanted = list(named_once(schema.names) if columns is None else columns)
            check_columns(path, schema.names, wanted)
            _check_size(path, file.metadata.num_rows)
            return _split(path, [file.read(columns=wanted)], wanted, schema.metadata)

    return _guarded(path, "Parquet file", read)


def read_folder(folder: Path, columns: Columns) -> RawSplit:
    """Read a split that `save_to_disk` wrote: state.json names its Arrow files.

    Raises DataError where the folder is none, or holds splits.
    """
    import pyarrow as pa

    state = _json(folder / "state.json")
    if state is None:
        raise DataError(f"{folder}: {_instead(folder)}")
    named: list[Any] = [one.get("filename") for one in state.get("_data_files") or [] if isinstance(one, dict)]
    plain = all(isinstance(name, str) and name == Path(name).name for name in named)
    if not named or not plain or state.get("_indices_data_files"):
        raise DataError(f"{folder / 'state.json'}: names no Arrow files that can be read; save the data set again")

    def read() -> RawSplit:
        tables: list[pa.Table] = []
        for name in named:
            with pa.memory_map(str(folder / name)) as file:
                tables.append(pa.ipc.open_stream(file).read_all())
        schema = tables[0].schema
        wanted = list(named_once(schema.names) if columns is None else columns)
        check_columns(folder, schema.names, wanted)
        _check_size(folder, sum(table.num_rows for table in tables))
        return _split(folder, [table.select(wanted) for table in tables], wanted, schema.metadata)

    return _guarded(folder, "folder of save_to_disk", read)


def _guarded(path: Path, what: str, read: Callable[[], RawSplit]) -> RawSplit:
    import pyarrow as pa

    try:
        return read()
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:  # also no UTF-8, dates out of range
        raise DataError(f"{path}: not a readable {what}: {' '.join(str(error).split())}") from error


def _check_size(path: Path, rows: int) -> None:
    if rows > MOST_ROWS:
        raise DataError(f"{path}: {rows:,} rows; at most {MOST_ROWS:,} are read")


def _split(path: Path, tables: "list[pa.Table]", wanted: list[str], metadata: Mapping[bytes, bytes] | None) -> RawSplit:
    values = {name: [value for table in tables for value in table.column(name).to_pylist()] for name in wanted}
    return RawSplit(str(path), values, classes=_declared(metadata or {}, wanted))


def _declared(metadata: Mapping[bytes, bytes], wanted: list[str]) -> dict[str, tuple[str, ...]]:
    """Class names by column, as `datasets` writes them into a schema; none where that part is not as it writes it."""
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}"))["info"]["features"]
        kinds = {name: feature for name in wanted if isinstance(feature := features.get(name), dict)}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    names = {name: kind.get("names") for name, kind in kinds.items() if kind.get("_type") == "ClassLabel"}
    return {name: tuple(map(str, found)) for name, found in names.items() if isinstance(found, list) and found}


def _json(path: Path) -> dict[str, Any] | None:
    """A small JSON object; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise DataError(f"{path}: not as save_to_disk writes it")
    return found


def _instead(folder: Path) -> str:
    """What a folder without state.json is, and what to name in its place."""
    splits = (_json(folder / "dataset_dict.json") or {}).get("splits")
    if not isinstance(splits, list) or not splits:  # it may not have come along
        splits = sorted(path.parent.name for path in folder.glob("*/state.json"))
    if splits:
        names = ", ".join(map(str, splits))
        return f"holds splits; name one of them, such as {folder / str(splits[0])}: {names}"
    files = sorted(path.name for path in folder.iterdir() if path.is_file())[:10]
    holds = f"it holds {', '.join(files)}" if files else "it holds no files"
    return f"a folder must be one split that save_to_disk wrote (with a state.json); {holds}"
