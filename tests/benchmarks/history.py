"""Ratios of earlier runs: tests/benchmarks/history holds one JSON Lines file per kind of machine.

Each line is one setting's run: date, commit, machine, versions, repetitions, ratios. It is written only after a whole
run, and the change against the last line of the same machine and setting is what `make bench` prints.
"""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "history"


def file_of(machine: str, folder: Path = FOLDER) -> Path:
    """A machine's file: its description in letters, digits and dashes."""
    return folder / f"{re.sub(r'[^a-z0-9]+', '-', machine.lower()).strip('-')}.jsonl"


def last(machine: str, setting: str, folder: Path = FOLDER) -> dict[str, Any] | None:
    """The latest entry of a machine and setting; None where there is none. Raises ValueError for a broken line."""
    path = file_of(machine, folder)
    if not path.is_file():
        return None
    entries = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    own = [entry for entry in entries if entry["setting"] == setting]
    return own[-1] if own else None


def append(
    about: Mapping[str, str], setting: str, repeats: int, ratios: Mapping[str, float], folder: Path = FOLDER
) -> Path:
    """Add an entry; `about` is `machine.describe()`. Returns the file."""
    path = file_of(about["machine"], folder)
    folder.mkdir(parents=True, exist_ok=True)
    rounded = {key: float(f"{value:.4g}") for key, value in ratios.items()}
    entry = {"date": datetime.now(UTC).date().isoformat(), **about, "setting": setting, "repeats": repeats}
    with path.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(entry | {"ratios": rounded}, ensure_ascii=False) + "\n")
    return path


def changes(before: Mapping[str, Any] | None, ratios: Mapping[str, float]) -> list[str]:
    """One line per ratio that both runs have: then, now, and the change in per cent."""
    if before is None:
        return ["no earlier run of this machine and setting"]
    lines = [f"against {before['date']}, commit {before['commit'][:10] or 'unknown'}:"]
    for key, now in ratios.items():
        then = before["ratios"].get(key)
        if then:
            lines.append(f"  {key}: {then:.4g} → {now:.4g} ({100 * (now - then) / abs(then):+.1f} %)")
    return lines
