"""The same trials through stock Ray Tune, a bare loop, and finebench: how long each takes, and whether scores agree.

    python -m tests.benchmarks.yardstick [--model DIR --data DIR] [--only embedded] [--repeats 3]     (make bench)

Without --model and --data the MiniLM setting is left out. The ways take turns, each in a process of its own; the table
has a row for each repetition, ratios are of medians. Exits with 1 where finebench's scores are not the bare loop's, to
the last bit. What (a), (b) and (c) are: `stock`, `bare`, `ours`; what each figure means: `figures`.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.table import Table

from finebench.bench.util.cores import slots
from tests.benchmarks import history
from tests.benchmarks.figures import Figures, Run, ScoresDiffer, as_rows, check_scores, figures, ratios, reached
from tests.benchmarks.machine import MIB, describe, gpu_bytes, private_bytes, sampled
from tests.benchmarks.setting import Setting, embedded, minilm

ROOT = Path(__file__).parent.parent.parent
RUNNERS = {"stock": "stock", "bare": "bare", "finebench": "ours"}
OUT = ROOT / "results" / "benchmarks"


def run_way(way: str, setting: Setting, extra: Sequence[str] = ()) -> Run:
    """Run one way in a process of its own; raises RuntimeError with the end of what it printed where it fails."""
    with tempfile.TemporaryDirectory(prefix="yardstick-") as scratch:
        source, target, log = (Path(scratch) / name for name in ("setting.json", "out.json", "log"))
        source.write_text(json.dumps(setting.to_json()))
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        environment["PYTHONPATH"] = str(ROOT)
        command = [sys.executable, "-m", f"tests.benchmarks.{RUNNERS[way]}", str(source), str(target), *extra]
        begin = time.perf_counter()
        with log.open("wb") as stream:
            process = subprocess.Popen(command, cwd=scratch, env=environment, stdout=stream, stderr=subprocess.STDOUT)
            read = gpu_bytes if setting.device == "cuda" else lambda: private_bytes(process.pid)
            with sampled(read) as memory:
                process.wait()
                makespan = time.perf_counter() - begin
        if process.returncode:
            raise RuntimeError(f"{way}: exit code {process.returncode}\n{log.read_text(errors='replace')[-3000:]}")
        found = json.loads(target.read_text())
    whole = 1 if setting.device == "cuda" or way == "bare" else slots()
    return Run(way, makespan, max(size for _, size in memory), whole, found)


def measure(setting: Setting, repeats: int, console: Console) -> tuple[list[Figures], dict[str, float]]:
    """Run the three ways in turn, `repeats` times; raises ScoresDiffer."""
    table: list[Figures] = []
    work = []
    for repeat in range(1, repeats + 1):
        runs = {}
        for way in RUNNERS:
            runs[way] = run_way(way, setting)
            console.print(f"{setting.name} {repeat}/{repeats}: {way} {runs[way].makespan:.1f} s", highlight=False)
        check_scores(runs["bare"], runs["finebench"])
        work.append(runs["bare"].found["work_seconds"])
        table += [figures(repeat, run, runs["bare"]) for run in runs.values()]
    return table, ratios(table, work)


def show(setting: Setting, table: Sequence[Figures], found: dict[str, float], console: Console) -> None:
    """The table, then the ratios with their marks."""
    shown = Table(title=setting.name, title_justify="left", box=None, header_style="bold")
    columns = ["way", "makespan s", "trials/h", "overhead s/trial", "warm", "examples/s", "MFU", "in training", "MiB"]
    for name in columns:
        shown.add_column(name, justify="left" if name == "way" else "right")
    for row in table:
        over = ["" if one is None else f"{one:.3f}" for one in (row.overhead_per_trial, row.warm_overhead_per_trial)]
        numbers = [f"{row.makespan_seconds:.1f}", f"{row.trials_per_hour:.0f}", *over, f"{row.examples_per_second:.0f}"]
        numbers += [f"{row.mfu:.3f}", f"{row.mfu_training:.3f}", f"{row.peak_memory_bytes / MIB:.0f}"]
        shown.add_row(row.way, *numbers)
    console.print(shown)
    for name, value in found.items():
        mark = (setting.marks or {}).get(name)
        verdict = "" if mark is None else f"  mark {mark:g}: {'reached' if reached(name, value, mark) else 'MISSED'}"
        console.print(f"  {name} {value:.3f}{verdict}", highlight=False)


def compare(
    settings: Sequence[Setting], repeats: int, out: Path, log: Path | None, console: Console, device: str = "cpu"
) -> int:
    """Measure every setting, print, write Parquet into `out` and history into `log` (None: none); the exit code."""
    about = describe(device)
    console.print(", ".join(f"{key} {value}" for key, value in about.items()), highlight=False)
    rows: list[dict[str, object]] = []
    for setting in settings:
        try:
            table, found = measure(setting, repeats, console)
        except ScoresDiffer as error:
            console.print(f"{setting.name}: scores differ between the bare loop and finebench: {error}")
            return 1
        show(setting, table, found, console)
        rows += [row | about for row in as_rows(setting.name, table)]
        if log is not None:
            for line in history.changes(history.last(about["machine"], setting.name, log), found):
                console.print(line, highlight=False)
            history.append(about, setting.name, repeats, found, log)
        out.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(rows), out / f"yardstick-{device}.parquet")
    console.print(f"table: {out / f'yardstick-{device}.parquet'}", highlight=False, soft_wrap=True)
    return 0


def options(description: str | None) -> argparse.ArgumentParser:
    """The options that the CPU's and the GPU's yardstick share."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", action="append", help="part of a setting's name; several are allowed")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tiny", action="store_true", help="a few steps, to see that everything works")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the Parquet table")
    parser.add_argument("--history", type=Path, default=history.FOLDER, help="folder of earlier ratios")
    parser.add_argument("--no-history", action="store_true", help="leave the history alone")
    return parser


def wanted(settings: Sequence[Setting], only: Sequence[str] | None) -> list[Setting]:
    """The settings asked for; raises SystemExit where a name is none of theirs."""
    found = [one for one in settings if not only or any(name in one.name for name in only)]
    if not found:
        raise SystemExit(f"--only: none of {', '.join(one.name for one in settings)} is meant by {only}")
    return found


def main() -> None:
    """`make bench`."""
    parser = options(__doc__)
    parser.add_argument("--model", type=Path, help="a MiniLM folder")
    parser.add_argument("--data", type=Path, help="a folder with cola/{train,validation}.parquet")
    asked = parser.parse_args()
    console = Console(width=140)
    settings = [embedded(asked.tiny)]
    if asked.model and asked.data:
        settings.append(minilm(asked.model, asked.data))
    else:
        console.print("minilm-cola is left out: it needs --model DIR and --data DIR")
    log = None if asked.no_history or asked.tiny else asked.history
    sys.exit(compare(wanted(settings, asked.only), asked.repeats, asked.out, log, console))


if __name__ == "__main__":
    main()
