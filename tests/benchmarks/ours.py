"""Way (c): what `finebench run` does, up to its report, in a process of its own.

    python -m tests.benchmarks.ours SETTING.json OUT.json

The report is left out, as the other ways write none. `worker` names a class that takes the product's worker's place
(see `tests.benchmarks.parts`).
"""

import json
import sys
import tempfile
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

from tests.benchmarks.bare import slim
from tests.benchmarks.setting import Setting


@dataclass
class Clock:
    """Seconds at which the first pack had its worker, and at which each row was stored."""

    begin: float
    first: float | None = None
    stored: list[float] = field(default_factory=list)


def run(setting: Setting, worker: type | None = None) -> dict[str, Any]:
    """Run the study with Ray into a temporary folder; times are seconds since this call."""
    clock = Clock(time.perf_counter())
    from finebench.bench.driver.options import RunOptions
    from finebench.bench.driver.run import run_study
    from finebench.bench.scheduling.recorder import Observer

    class Watch(Observer):
        def on_start(self, pack: Any) -> None:
            clock.first = clock.first or time.perf_counter() - clock.begin

        def on_row(self, row: dict[str, Any]) -> None:
            clock.stored.append(time.perf_counter() - clock.begin)
            rows.append(slim(row) | {key: row[key] for key in ("status", "reason", "peak_memory_bytes")})

    rows: list[dict[str, Any]] = []
    data = None if setting.data is None else Path(setting.data)
    with tempfile.TemporaryDirectory(prefix="finebench-yardstick-") as scratch:
        options = RunOptions(f"{scratch}/results", data)
        with _in_place_of_worker(worker):
            run_study(setting.built(), options, lambda scheduler: Watch(), lambda trial, reason, runs: None)
    failed = [row for row in rows if row["status"] != "ok"]
    if failed:
        raise RuntimeError(f"finebench: {len(failed)} trials failed: {failed[0]['status']}: {failed[0]['reason']}")
    return {
        "trials": len(rows),
        "train_seconds": sum(row["train_seconds"] for row in rows),
        "first_start": clock.first,
        "stored": clock.stored,
        "rows": rows,
    }


def _in_place_of_worker(worker: type | None) -> AbstractContextManager[Any]:
    if worker is None:
        return nullcontext()
    from finebench.bench.driver.ray import sweep

    return patch.object(sweep, "Worker", worker)


if __name__ == "__main__":
    source, target, *named = sys.argv[1:]
    kind: type | None = None
    if named:
        from tests.benchmarks import parts

        kind = getattr(parts, named[0])
    found = run(Setting(**json.loads(Path(source).read_text())), kind)
    Path(target).write_text(json.dumps(found))
