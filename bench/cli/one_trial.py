"""`finebench trial`: all that a results folder holds of one trial, and the command that runs it again."""

import json
import math
import shlex
from typing import Any

from rich.text import Text

from finebench.bench.cli.terminal.console import make_console, print_json, say
from finebench.bench.cli.terminal.text_table import print_table
from finebench.bench.results.deltas import FOLDER as DELTAS
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.record import record_name
from finebench.bench.results.schema import TRIALS
from finebench.bench.study.plugins import given_plugins
from finebench.bench.study.trial_id import meant
from finebench.bench.util.errors import ResultsError, StudyError, choose, shown
from finebench.bench.util.safe_yaml import MAX_BYTES, parse_yaml

MOST_NAMED = 10
"""Ids that a message names."""

GROUPS: dict[str, tuple[str, ...]] = {
    "what": ("study", "stage", "method", "hyperparameters", "model", "task", "fraction", "budget", "seed", "precision"),
    "data": ("n_fit", "n_select", "batch_size", "lr"),
    "result": ("status", "reason", "metric", "score", "score_last", "select_score", "majority_score", "metrics"),
    "size": ("trainable_params", "head_params", "total_params", "delta_bytes"),
    "work": ("steps", "examples", "tokens", "train_flops"),
    "cost": (
        "train_seconds", "eval_seconds", "startup_seconds", "peak_memory_bytes", "peak_allocated_bytes",
        "energy_joules", "pack_size", "ranks", "exclusive",
    ),
    "where": ("device", "hostname", "started_at", "finished_at", "versions", "git_commit", "schema_version"),
}  # fmt: skip
"""Columns of a trial's row as they are shown; what is null is left out."""

IN_JSON = ("hyperparameters", "budget", "metrics", "versions")
"""Columns that hold JSON."""


def find_row(folder: ResultsFolder, given: str) -> dict[str, Any]:
    """The row of the trial with this id, or whose id alone begins so; a whole run rather than a pruned one.

    Raises ResultsError where there is none, or where several begin so.
    """
    rows: dict[str, dict[str, Any]] = {}
    for row in folder.rows():
        if row["trial_id"] not in rows or row["status"] != "pruned":
            rows[row["trial_id"]] = row
    if not rows:
        raise ResultsError(f"results folder {folder.uri!r} holds no trials")
    found = meant(given, rows)
    if len(found) > 1:
        raise ResultsError(
            f"{folder.uri}: {len(found):,} trials have ids that begin with {shown(given)}: {_some(sorted(found))}"
        )
    if not found:
        known = list(rows)[:MOST_NAMED]
        raise ResultsError(f"{folder.uri}: {choose('trial', given, known)}" + _and_more(len(rows)))
    return rows[found[0]]


def _some(ids: list[str]) -> str:
    return ", ".join(ids[:MOST_NAMED]) + _and_more(len(ids))


def _and_more(count: int) -> str:
    return f" and {count - MOST_NAMED:,} more" if count > MOST_NAMED else ""


def describe(folder: ResultsFolder, given: str) -> dict[str, Any]:
    """All that is stored of a trial: row, evaluations, where predictions and delta are, and how to rerun it."""
    row = find_row(folder, given)
    record, name = record_name(row["trial_id"], row["status"]), f"{DELTAS}/{row['trial_id']}.safetensors"
    # a delta may be large: its name is looked for, it is not read
    delta = folder.shown(name) if f"{row['trial_id']}.safetensors" in folder.names(DELTAS, ".safetensors") else None
    return {
        "trial": {key: _plain(row[key], key) for key in TRIALS.names},
        "evals": [
            {key: _plain(value, key) for key, value in one.items()}
            for one in folder.record_rows("evals", record).to_pylist()
        ],
        "predictions": {
            "rows": folder.record_rows("predictions", record).num_rows,
            "file": folder.record_file("predictions", record),
        },
        "delta": delta,
        "rerun": shlex.join(["finebench", "rerun", folder.uri, row["trial_id"], *plugins_of(folder)]),
    }


def plugins_of(folder: ResultsFolder) -> list[str]:
    """What gives the plugins of the folder's study to a command, whose files the user has."""
    data = folder.read_bytes("study.yaml", MAX_BYTES)
    if data is None:
        return []
    try:
        raw = parse_yaml(data.decode("utf-8", errors="replace"), folder.shown("study.yaml"))
    except StudyError:  # `verify` says so, and `rerun`
        return []
    return given_plugins(raw)


def _plain(value: Any, key: str) -> Any:
    """A value as JSON has it: columns that hold JSON opened, times as text, what is no number null."""
    if key in IN_JSON and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:  # a stranger's; `verify` says so
            return value
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.isoformat() if hasattr(value, "isoformat") else value


def print_trial(results: str, given: str, as_json: bool) -> None:
    """Show a trial, or print it as one JSON document."""
    folder = ResultsFolder(results)
    found = describe(folder, given)
    if as_json:
        print_json(found)
        return
    console, row = make_console(), found["trial"]
    console.print(Text(f"trial {row['trial_id']}: {row['status']}"), soft_wrap=True)
    for group, keys in GROUPS.items():
        said = "; ".join(f"{key} {_words(row[key])}" for key in keys if row[key] is not None)
        if said:
            say(console, f"{group}: {said}")
    if found["evals"]:
        print_table(console, ["step", "split", "metric", "value", "loss", "lr"], _steps(found["evals"]), texts=(1, 2))
    held = found["predictions"]
    console.print(Text(f"predictions: {held['rows']:,} rows in {held['file']}"), soft_wrap=True)
    console.print(Text(f"delta: {found['delta'] or 'not kept (run with --keep best or --keep all)'}"), soft_wrap=True)
    console.print(Text(f"again with: {found['rerun']}"), soft_wrap=True)


def _words(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_words(one)}" for key, one in value.items())
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:.6g}" if isinstance(value, float) else str(value)


def _steps(evals: list[dict[str, Any]]) -> list[list[str]]:
    """A row of the terminal's table for each evaluation."""
    return [
        [f"{one['step']:,}", one["split"], one["metric"]]
        + ["" if one[key] is None else f"{one[key]:.4g}" for key in ("value", "loss", "lr")]
        for one in evals
    ]
