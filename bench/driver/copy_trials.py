"""Trials as they stand in one results folder, copied into another one: a merge's last step (bench.driver.join).

The caller holds the target's lock, and has found no trial that contradicts another.
"""

from collections.abc import Collection, Iterator

from finebench.bench.results.deltas import FOLDER as DELTAS
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import distinct, write_segment
from finebench.bench.results.parquet_tables import Part, read_parts
from finebench.bench.results.record import Record
from finebench.bench.results.segments import is_pruned, list_files, number_of
from finebench.bench.results.writer import FRESH_BYTES, ORDER
from finebench.bench.util.errors import ResultsError


def copy_deltas(source: ResultsFolder, target: ResultsFolder, trials: Collection[str]) -> None:
    """Copy the kept deltas of some trials that the target lacks."""
    held = set(target.names(DELTAS, ".safetensors"))
    for name in source.names(DELTAS, ".safetensors"):
        if name.removesuffix(".safetensors") in trials and name not in held:
            data = source.read_bytes(f"{DELTAS}/{name}")
            if data is not None:  # else its run has just found a better one
                target.write_bytes(f"{DELTAS}/{name}", data)


def copy_trials(source: ResultsFolder, target: ResultsFolder, wanted: Collection[str]) -> None:
    """Copy records so that they count before what the target has of them; the rows of `trials` come last."""
    # A failure, or what an interrupted run has left of a trial, in a file of its own counts before any segment.
    single = {name.removesuffix(".parquet") for table in ORDER for name in list_files(target, table)} & set(wanted)
    for record in sorted(single):
        target.write(_record(source, record))
    for table in ORDER:
        _append(source, target, table, set(wanted) - single)


def _record(folder: ResultsFolder, record: str) -> Record:
    [row] = [row for part in _wanted(folder, "trials", {record}) for row in part.rows.to_pylist()]
    return Record(row, folder.record_rows("evals", record), folder.record_rows("predictions", record))


def _append(source: ResultsFolder, target: ResultsFolder, table: str, wanted: set[str]) -> None:
    """Write a table's rows of the wanted records as new segments."""
    number = max(map(number_of, list_files(target, table)), default=0)
    waiting: dict[bool, list[Part]] = {False: [], True: []}
    found = set[str]()

    def flush(pruned: bool) -> None:
        nonlocal number
        if waiting[pruned]:
            number += 1
            write_segment(target, table, number, waiting[pruned], pruned)
            waiting[pruned] = []

    for part in _wanted(source, table, wanted):
        pruned = is_pruned(part.name)
        found |= part.records
        waiting[pruned].append(part)
        if sum(one.rows.nbytes for one in waiting[pruned]) >= FRESH_BYTES:
            flush(pruned)
    for pruned in waiting:
        flush(pruned)
    if found != wanted:
        raise ResultsError(f"{source.shown(table)}: changed while it was being copied; run the same command again")


def _wanted(folder: ResultsFolder, table: str, wanted: set[str]) -> Iterator[Part]:
    """The files of a table, of each the wanted records that no file before it has had."""
    taken = set[str]()
    for part in read_parts(folder, table):
        if not isinstance(part, Part):
            raise part
        if part.records & wanted - taken:
            [fresh] = distinct([part], taken | part.records - wanted)
            taken |= fresh.records
            yield fresh
