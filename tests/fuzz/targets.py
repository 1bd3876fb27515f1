"""The fuzz targets. Each takes bytes, and may raise nothing; `InputError` is the documented answer to bad input."""

import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from finebench.analysis.load.read import load_results
from finebench.bench.cli.show import status
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import compact
from finebench.bench.results.parquet_tables import COVERS, decode, encode
from finebench.bench.results.schema import TABLES
from finebench.bench.results.verify import verify
from finebench.bench.study.load import build_study
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.claim import Claim
from finebench.bench.study.parts.own_task import OwnTask
from finebench.bench.study.parts.search import OptunaSearch
from finebench.bench.study.parts.training import Resources, Training
from finebench.bench.study.plan import Plan
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import InputError
from finebench.bench.util.safe_yaml import parse_yaml
from tests.bench.stored import make_record, take_stock

LONGEST_MESSAGE = 50_000
RECORD = make_record(7)
TABLE_NAMES = tuple(TABLES)


def study(data: bytes) -> None:
    """A study file: parsed, checked and counted, or refused in one message of readable length."""
    message = "."
    try:
        if data[:1] == b"\0":
            raw = drawn_study(Dice(data[1:]))
        else:
            raw = parse_yaml(data.decode("utf-8", errors="replace"), "x.yaml")
        Plan(build_study(raw, "x.yaml", Path("."))).to_json()
    except InputError as error:
        message = str(error)
    assert 0 < len(message) < LONGEST_MESSAGE, f"a message of {len(message):,} characters"


class Dice:
    """Choices taken from bytes, so that a fuzzer which changes a byte changes one choice; 0 once they are used up."""

    def __init__(self, data: bytes) -> None:
        self.data = iter(data)

    def below(self, n: int) -> int:
        """A number from 0 to n - 1 (n up to 256)."""
        return next(self.data, 0) % n

    def choice(self, values: Sequence[Any]) -> Any:
        """One of some values."""
        return values[self.below(len(values))]


def drawn_study(dice: Dice) -> Any:
    """A parsed study in which some values are not what they should be."""
    raw: dict[Any, Any] = {
        "name": "x",
        "tasks": ["mini-cola"],
        "methods": {"full": {"lr": 1e-3}},
        "budget": {"steps": 5},
    }
    for _ in range(dice.below(6)):
        node, path = raw, [dice.choice(KEYS) for _ in range(1 + dice.below(4))]
        for key in path[:-1]:
            child = node.get(key)
            node[key] = child if isinstance(child, dict) else {}
            node = node[key]
        node[path[-1]] = drawn_value(dice, 3)
    return raw


def drawn_value(dice: Dice, depth: int) -> Any:
    """A scalar, or a list or mapping of some."""
    kind = dice.below(4)
    if kind == 0 and depth:
        return [drawn_value(dice, depth - 1) for _ in range(dice.below(4))]
    if kind == 1 and depth:
        return {dice.choice(KEYS): drawn_value(dice, depth - 1) for _ in range(dice.below(4))}
    return dice.choice(SCALARS)


KEYS: tuple[Any, ...] = (
    *Study.model_fields, *Budget.model_fields, *Training.model_fields, *Resources.model_fields,
    *OptunaSearch.model_fields, *Claim.model_fields, *OwnTask.model_fields, "train", "validation", "init", "order",
    "subset", "grid", "optuna", "full", "bitfit", "lora", "adapter", "peft:LOHA", "peft:", "peft:X", "resources",
    "per_task", "lr", "r", "variant", "terms", "choice", "uniform", "loguniform", "int", "mini-cola", "nope", "", 3,
    None, 1.5, True,
)  # fmt: skip
SCALARS: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 5, 999, 10**9, 10**400, 16**390, 0.0, 0.1, 0.5, 1.0, -0.5, 1e-300, 1e308,
    float("nan"), float("inf"), "", "x", "auto", "all", "embedded", "mini-cola", "mini-stsb", "full", "lora", "1e-4",
    "1h", "-1h", "9" * 5000 + "h", "asha", "tpe", "../../x", "/etc/passwd", "a\0b", "\ud800", "<script>", "=1+1",
    "a" * 3000, b"bytes", date(2020, 1, 1), frozenset({1}), "accuracy", "matches", "steps", "pooled", "query+value",
    "houlsby",
)  # fmt: skip


def results(data: bytes) -> None:
    """A results folder: one file of it as given, or a file made from values that the bytes choose."""
    if not data:
        return
    kind, rest = data[0] % 8, data[1:]
    table = TABLE_NAMES[kind % 3]
    if kind < 3:
        _table(table, rest)
    elif kind < 6:
        _table(table, made(table, rest))
    else:
        _folder("plan.json" if kind == 6 else "study.yaml", rest)


def _table(table: str, data: bytes) -> None:
    try:
        part = decode(data, table, "x.parquet", "x.parquet")
    except InputError:
        return
    assert part.rows.schema.equals(TABLES[table])
    if part.rows.num_rows < 1000:
        _folder(f"{table}/x.parquet", data)


def _folder(name: str, data: bytes) -> None:
    """Every reader over a folder in which one file is as given; none of them changes what it should only read."""
    path = Path(tempfile.mkdtemp(prefix="fuzz", dir=_scratch()))
    try:
        folder = ResultsFolder(str(path))
        folder.write(RECORD)
        folder.write_json("plan.json", {"study": "x", "cells": [], "data": None})
        folder.write_bytes(name, data)
        for read in READERS:
            with suppress(InputError):
                read(folder)
        outside = [one for one in path.parent.iterdir() if one.name.startswith("escaped")]
        assert outside == []
    finally:
        shutil.rmtree(path)


def _load(folder: ResultsFolder) -> None:
    found = load_results(folder.root)
    assert len(found.evals) >= 0
    assert sum(map(len, found.predictions())) >= 0


READERS: tuple[Callable[[ResultsFolder], Any], ...] = (
    lambda folder: list(folder.rows({})),
    lambda folder: status(folder.root),
    _load,
    lambda folder: json.dumps(verify(folder).to_json()),
    lambda folder: take_stock(folder).notes,
    compact,
)


def _scratch() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def made(table: str, data: bytes) -> bytes:
    """A sound Parquet file whose columns, types, values and metadata are drawn by the bytes."""
    dice = Dice(data)
    schema = TABLES[table]
    rows = 1 + dice.below(3)
    columns: dict[str, Any] = {}
    for field in schema:
        odd = dice.below(64)
        if odd == 1:
            continue
        kind = dice.choice(ODD_TYPES) if 1 < odd < 5 else field.type
        values = [_value(dice, field.name, kind) for _ in range(rows)]
        try:
            columns[field.name] = pa.array(values, kind)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            columns[field.name] = pa.nulls(rows, kind)
    drawn = pa.table(columns)
    if dice.below(3) == 1:
        named = dice.choice([b"[]", b"{}", b"[1]", b'["a"]', b'["../x"]', b"[", b"\xff", b"[" * 5000])
        drawn = drawn.replace_schema_metadata({COVERS: named, b"pandas": b'{"index_columns": ["a"]}'})
    return encode(drawn)


ODD_TYPES = (
    pa.null(), pa.bool_(), pa.int8(), pa.uint64(), pa.float16(), pa.float32(), pa.large_string(), pa.binary(),
    pa.date32(), pa.timestamp("ns"), pa.duration("s"), pa.list_(pa.string()), pa.struct([("a", pa.int64())]),
    pa.dictionary(pa.int8(), pa.string()), pa.decimal128(5, 2),
)  # fmt: skip
TEXTS = (
    "", "a", "ok", "oom", "pruned", "grid", "search", "../../escaped", "/escaped", "a/b", "\x00", "\ud7ff", "=1+1",
    '{"lr": 1}', "{}", "[]", "[" * 2000, "null", '{"steps": 10}', "<script>", "1" * 5000, "a" * 20, "." , "..",
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**31, 2**63 - 1, -(2**63), 1.5, float("nan"), float("inf"), 1e308, None)


def _value(dice: Dice, name: str, kind: pa.DataType) -> Any:
    if dice.below(4) < 3 and name in RECORD.trial:
        return RECORD.trial[name]
    return dice.choice(TEXTS if pa.types.is_string(kind) else NUMBERS)


TARGETS: dict[str, Callable[[bytes], None]] = {"study": study, "results": results}
