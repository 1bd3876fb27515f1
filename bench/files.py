"""Read the columns of a user's CSV, JSONL or Parquet file, or refuse it naming file, row and column."""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.errors import DataError, choose
from bench.rows import RawSplit

FIELD_LIMIT = 2**30
"""Longest CSV field in characters; the csv module's own limit of 131,072 refuses long documents."""

MOST_ROWS = 20_000_000
"""Rows of a Parquet file: repeated values cost it next to nothing, so that a small one may stand for a huge table."""


def read_file(path: Path, columns: Sequence[str]) -> RawSplit:
    """Read `columns` of a file, whose extension says how; raises DataError where it cannot be read as declared."""
    readers: dict[str, Callable[[Path, Sequence[str]], RawSplit]] = {
        ".csv": _read_csv,
        ".jsonl": _read_jsonl,
        ".parquet": _read_parquet,
    }
    if path.suffix.lower() not in readers:
        raise DataError(f"{path}: {choose('file type', path.suffix, readers)}")
    if not path.is_file():
        raise DataError(f"{path}: there is no such file")
    try:
        raw = readers[path.suffix.lower()](path, columns)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if len(raw) == 0:
        raise DataError(f"{path}: there are no rows")
    return raw


def _text(path: Path) -> str:
    """The file as text: UTF-8, with or without a byte order mark."""
    data = path.read_bytes()
    if not data.strip():
        raise DataError(f"{path}: the file is empty")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        start = error.start + (3 if data.startswith(b"\xef\xbb\xbf") else 0)  # the codec counts after the mark
        line = data.count(b"\n", 0, start) + 1
        hint = "it begins like UTF-16; " if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        raise DataError(
            f"{path}, line {line}: byte 0x{data[start]:02x} at offset {start} is not UTF-8; "
            f"{hint}save the file as UTF-8"
        ) from error


def _check_columns(path: Path, found: Sequence[str], wanted: Iterable[str], hint: str = "") -> None:
    repeated = [name for name, count in Counter(found).items() if count > 1]
    if repeated:
        raise DataError(f"{path}: column {repeated[0]!r} stands more than once among the columns: {', '.join(found)}")
    for name in wanted:
        if name not in found:
            raise DataError(f"{path}: {choose('column', name, found)}{hint}")


def _read_csv(path: Path, columns: Sequence[str]) -> RawSplit:
    """RFC 4180: commas, quotation marks and line breaks within quoted fields; blank lines are passed over."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    limit = csv.field_size_limit(FIELD_LIMIT)
    try:
        rows = _csv_rows(path, reader)
    finally:
        csv.field_size_limit(limit)
    _, header = rows[0]
    alone = next((mark for mark in ";\t|" if len(header) == 1 and mark in header[0]), None)
    hint = f"; the columns seem to be separated by {alone!r}, and a .csv file has commas" if alone else ""
    _check_columns(path, header, columns, hint)
    for number, (line, row) in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            raise DataError(
                f"{path}, row {number} (line {line}): {len(row)} fields where the header has {len(header)}; "
                "a field with a comma or a quotation mark stands in quotation marks"
            )
    places = {name: header.index(name) for name in columns}
    values: dict[str, list[Any]] = {name: [row[place] for _, row in rows[1:]] for name, place in places.items()}
    return RawSplit(str(path), values, [line for line, _ in rows[1:]])


def _csv_rows(path: Path, reader: Any) -> list[tuple[int, list[str]]]:
    """All rows that are not blank, each with the number of the line it begins on; the header first."""
    rows: list[tuple[int, list[str]]] = []
    start = 1
    try:
        for row in reader:
            if row:
                rows.append((start, row))
            start = reader.line_num + 1
    except csv.Error as error:
        what = f"header (line {start})" if not rows else f"row {len(rows)} (line {start})"
        unclosed = "; a quotation mark that opens here is never closed" if "unexpected end" in str(error) else ""
        raise DataError(f"{path}, {what}: not valid CSV: {error}{unclosed}") from error
    return rows


def _read_jsonl(path: Path, columns: Sequence[str]) -> RawSplit:
    """One JSON object a line; every object must have every column that is asked for."""
    values: dict[str, list[Any]] = {name: [] for name in columns}
    lines: list[int] = []
    for line, text in enumerate(_text(path).split("\n"), start=1):
        if not text.strip():
            continue
        where = f"{path}, row {len(lines) + 1} (line {line})"
        row = _json_object(text, where)
        for name in columns:
            if name not in row:
                raise DataError(f"{where}: {choose('column', name, row)}")
            values[name].append(row[name])
        lines.append(line)
    return RawSplit(str(path), values, lines)


def _json_object(text: str, where: str) -> dict[str, Any]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            repeated = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise ValueError(f"key {repeated!r} stands twice")
        return found

    try:
        row = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON: {error}") from error
    if not isinstance(row, dict):
        raise DataError(f'{where}: a row is a JSON object such as {{"text": …, "label": …}}, not {text.strip()[:40]}')
    return row


def _read_parquet(path: Path, columns: Sequence[str]) -> RawSplit:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _check_columns(path, file.schema_arrow.names, columns)
            if file.metadata.num_rows > MOST_ROWS:
                raise DataError(f"{path}: {file.metadata.num_rows:,} rows; at most {MOST_ROWS:,} are read")
            table = file.read(columns=list(columns))
        return RawSplit(str(path), {name: table.column(name).to_pylist() for name in columns})
    except (pa.ArrowException, ValueError, OverflowError) as error:  # also text that is not UTF-8, dates out of range
        raise DataError(f"{path}: not a readable Parquet file: {' '.join(str(error).split())}") from error
