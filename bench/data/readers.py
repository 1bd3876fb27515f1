"""Read the columns of a user's file, by what its name says it is, or refuse it naming file, row and column.

    read_file(Path("reviews.csv.gz"), ["text", "stars"])

`.csv`, `.tsv` (tabs, as GLUE has it: nothing is quoted, unless a writer of CSV made it), `.jsonl`, `.json` (an array,
or lines) and `.parquet`, each also with `.gz`; and a folder that `save_to_disk` of `datasets` wrote.
"""

import csv
import gzip
import io
import json
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from finebench.bench.data import arrow_files
from finebench.bench.data.rows import Columns, RawSplit, check_columns, named_once
from finebench.bench.util.errors import DataError, choose, shown
from finebench.bench.util.places import truly

FIELD_LIMIT = 2**30
"""Longest CSV field in characters; the csv module's own limit of 131,072 refuses long documents."""

MOST_BYTES = 2**33
"""Bytes of a file once it is decompressed: a small one may stand for far more than the memory holds."""

_OTHERS = {
    b"\x1f\x8b": "compressed with gzip; give it a name that ends in .gz",
    b"PK\x03\x04": "a ZIP archive, as Excel workbooks are too; save it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook; save it as CSV",
    b"BZh": "compressed with bzip2; decompress it",
    b"\xfd7zXZ": "compressed with xz; decompress it",
    b"\x28\xb5\x2f\xfd": "compressed with zstd; decompress it",
    b"PAR1": "a Parquet file; give it a name that ends in .parquet",
    b"ARROW1": "an Arrow file; save it as Parquet",
    b"version https://git-lfs": "a pointer of Git LFS, not the file itself; fetch it with git lfs pull",
}
"""How files begin that are something else than their name says."""


def read_file(path: Path, columns: Columns) -> RawSplit:
    """Read `columns` of a file, whose name says how; raises DataError where it cannot be read as declared."""
    raw = arrow_files.read_folder(path, columns) if truly(path.is_dir) else _read(path, columns)
    if len(raw) == 0:
        raise DataError(f"{path}: there are no rows")
    return raw


def kind_of(path: Path) -> str:
    """A file's suffix, without .gz; "" where it is none that is read."""
    stem = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return suffix if (suffix := stem.suffix.lower()) in _READERS else ""


def _read(path: Path, columns: Columns) -> RawSplit:
    kind = kind_of(path)
    if not kind:
        if not path.suffix and not truly(path.exists):
            raise DataError(f"{path}: there is no such file or folder")
        given = "".join(path.suffixes[-2:]) if path.suffix.lower() == ".gz" else path.suffix
        known = choose("file type", given, _READERS)
        raise DataError(f"{path}: {known}, each also with .gz, and folders of save_to_disk")
    if not truly(path.is_file):
        raise DataError(f"{path}: there is no such file")
    try:
        if kind == ".parquet" and path.suffix.lower() != ".gz":
            _refuse_others(path, _head(path), (b"PAR1",))
            return arrow_files.read_parquet(path, path, columns)
        return _READERS[kind](path, _content(path, kind), columns)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error}") from error


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(32)


def _content(path: Path, kind: str) -> bytes:
    """The file's bytes, decompressed where its name says so."""
    packed = path.suffix.lower() == ".gz"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: not a whole gzip file: {error}") from error
    if len(data) > MOST_BYTES:
        raise DataError(f"{path}: more than {MOST_BYTES:,} bytes of data")
    _refuse_others(path, data, (b"PAR1",) if kind == ".parquet" else ())
    return data


def _refuse_others(path: Path, data: bytes, own: tuple[bytes, ...]) -> None:
    """Raise DataError where the file begins as another kind of file does."""
    for begin, what in _OTHERS.items():
        if data.startswith(begin) and begin not in own:
            raise DataError(f"{path}: this is {what}")


def _text(path: Path, data: bytes) -> str:
    """The file as text: UTF-8, with or without a byte order mark."""
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


Rows = list[tuple[int, list[str]]]
"""Rows that are not blank, each with the number of the line it begins on; the header first."""


def _read_csv(path: Path, data: bytes, columns: Columns) -> RawSplit:
    """RFC 4180: commas, quotation marks and line breaks within quoted fields; blank lines are passed over."""
    return _table(path, _quoted(path, _text(path, data), ","), columns, ",")


def _read_tsv(path: Path, data: bytes, columns: Columns) -> RawSplit:
    """Lines of fields between tabs. Quotation marks are text, unless all fields are as a writer of CSV quotes them."""
    text = _text(path, data)
    lines = enumerate(text.split("\n"), start=1)
    rows = [(number, row.split("\t")) for number, line in lines if (row := line.removesuffix("\r")).strip()]
    if _is_quoted(rows):
        rows = _quoted(path, text, "\t")
    return _table(path, rows, columns, "\t")


def _is_quoted(rows: Rows) -> bool:
    """Whether a writer of CSV, told to use tabs, wrote these lines.

    It encloses each field that holds a quotation mark, and doubles those within; then some field has doubled ones, or
    is cut short by a line break or a tab of its own. Or it encloses every field of text, of the header too.
    """
    marked = [field for _, row in rows for field in row if '"' in field]
    if not marked:
        return False
    ragged = any(len(row) != len(rows[0][1]) for _, row in rows)
    whole = [len(field) > 1 and field[0] == field[-1] == '"' for field in marked]
    inner = [field[1:-1] if one else field for field, one in zip(marked, whole, strict=True)]
    if ragged:  # pieces of a field have a mark at one end
        return all(field[0] == '"' or field[-1] == '"' for field in marked)
    doubled = ['""' in field for field in inner]
    sound = all(whole) and not any('"' in field.replace('""', "") for field in inner)
    return sound and (any(doubled) or all(field.startswith('"') for field in rows[0][1]))


def _quoted(path: Path, text: str, separator: str) -> Rows:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    limit = csv.field_size_limit(FIELD_LIMIT)
    try:
        return _csv_rows(path, reader)
    finally:
        csv.field_size_limit(limit)


def _table(path: Path, rows: Rows, columns: Columns, separator: str) -> RawSplit:
    """A header and rows of as many fields."""
    _, header = rows[0]
    marks = [mark for mark in ",;\t|" if mark != separator and len(header) == 1 and mark in header[0]]
    hint = "; the first line is the header"
    if marks:
        has = "commas" if separator == "," else "tabs"
        hint = f"; the columns seem to be separated by {marks[0]!r}, and a {kind_of(path)} file has {has}"
    columns = named_once(header) if columns is None else columns
    check_columns(path, header, columns, hint)
    for number, (line, row) in enumerate(rows[1:], start=1):
        if len(row) != len(header):
            mark = "comma" if separator == "," else "tab"
            raise DataError(
                f"{path}, row {number} (line {line}): {len(row)} fields where the header has {len(header)}; "
                f"a field with a {mark} or a quotation mark stands in quotation marks"
            )
    places = {name: header.index(name) for name in columns}
    values: dict[str, list[Any]] = {name: [row[place] for _, row in rows[1:]] for name, place in places.items()}
    return RawSplit(str(path), values, [line for line, _ in rows[1:]], typed=False)


def _csv_rows(path: Path, reader: Any) -> Rows:
    rows: Rows = []
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


def _read_json(path: Path, data: bytes, columns: Columns) -> RawSplit:
    """An array of objects, or one object a line."""
    text = _text(path, data)
    if not text.lstrip().startswith("["):
        _refuse_nested(path, text)
        return _json_lines(path, text, columns)
    rows = _parse(text, str(path))
    return _objects(str(path), [(f"{path}, row {i}", row) for i, row in enumerate(rows, start=1)], columns, None)


def _refuse_nested(path: Path, text: str) -> None:
    """Raise DataError where the file is one object that holds the rows, or a column under each name."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        return  # an object a line, or no JSON, as reading by lines will find
    nested = [key for key, value in whole.items() if isinstance(value, list | dict)] if isinstance(whole, dict) else []
    if nested:
        wanted = "an array of objects, or an object a line, is needed: in pandas, to_json(orient='records')"
        raise DataError(f"{path}: one JSON object with {', '.join(map(shown, nested[:5]))} inside; {wanted}")


def _read_jsonl(path: Path, data: bytes, columns: Columns) -> RawSplit:
    return _json_lines(path, _text(path, data), columns)


def _json_lines(path: Path, text: str, columns: Columns) -> RawSplit:
    """One JSON object a line; every object must have every column that is asked for."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    places = [f"{path}, row {row} (line {number})" for row, (number, _) in enumerate(lines, start=1)]
    found = [(where, _parse(line, where)) for where, (_, line) in zip(places, lines, strict=True)]
    return _objects(str(path), found, columns, [number for number, _ in lines])


class _Object(dict[str, Any]):
    """A JSON object that knows which of its keys stand there twice."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(name for name, _ in pairs) if len(self) < len(pairs) else Counter[str]()
        self.repeated = {name for name, count in counts.items() if count > 1}


def _parse(text: str, where: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: not valid JSON: {error}") from error


def _objects(place: str, rows: list[tuple[str, Any]], columns: Columns, lines: list[int] | None) -> RawSplit:
    """The columns of JSON objects, each with where it stands."""
    for where, row in rows:
        if not isinstance(row, _Object):
            example = '{"text": …, "label": …}'
            raise DataError(f"{where}: a row is a JSON object such as {example}, not {shown(row)[:40]}")
    wanted = columns if columns is not None else list(rows[0][1] if rows else ())
    for where, row in rows:
        for name in wanted:
            if name not in row:
                raise DataError(f"{where}: {choose('column', name, row)}")
            if name in row.repeated:
                raise DataError(f"{where}: not valid JSON: key {name!r} stands twice")
    return RawSplit(place, {name: [row[name] for _, row in rows] for name in wanted}, lines)


def _read_packed_parquet(path: Path, data: bytes, columns: Columns) -> RawSplit:
    return arrow_files.read_parquet(path, io.BytesIO(data), columns)


_READERS: dict[str, Callable[[Path, bytes, Columns], RawSplit]] = {
    ".csv": _read_csv,
    ".tsv": _read_tsv,
    ".jsonl": _read_jsonl,
    ".json": _read_json,
    ".parquet": _read_packed_parquet,
}
