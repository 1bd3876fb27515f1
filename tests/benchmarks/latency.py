"""Trials a second that a driver stores in an object store, against the time that a request takes.

    python -m tests.benchmarks.latency [--trials 1000] [--rate 100] [--latency 0 10 30 100]

A real S3 server (moto's) on loopback, and a proxy before it in which each request takes so many milliseconds more;
records of the shape of a real trial's (300 predictions, ten evaluations), handed over as the driver of a cluster does.
Once at `--rate` trials a second: how many are stored and told a second, and how long each one takes to be told. Once
all of them at once. Requests are all that there were, merging included, over the number of trials. With a latency of 0
it is the server that is measured.
"""

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import pyarrow as pa

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.record import Record
from finebench.bench.results.schema import EVALS, PREDICTIONS
from finebench.bench.results.writer import Writer
from finebench.bench.scheduling.recorder import Observer, Recorder
from tests.bench.s3 import CREDENTIALS, Faults, moto_server, proxy
from tests.bench.stored import make_record, trial_id

EXAMPLES, EVALUATIONS = 300, 10
CHECKPOINTS = 1
"""Trials in a hundred that have left a checkpoint."""


def record(number: int) -> Record:
    """One trial's rows."""
    one = trial_id(number)
    scored = [
        {"trial_id": one, "example": i, "label": float(i % 2), "prediction": float(i * number % 2),
         "probability": [i * number % 97 / 97, 1 - i * number % 97 / 97]}
        for i in range(EXAMPLES)
    ]  # fmt: skip
    evals = [
        {"trial_id": one, "step": step, "examples": 16 * step, "split": split, "metric": "accuracy",
         "value": number % 89 / 89, "loss": 0.5, "lr": 1e-3, "train_seconds": step / 10, "train_flops": 1e9 * step}
        for step in range(EVALUATIONS)
        for split in ("select", "score")
    ]  # fmt: skip
    tables = {"evals": pa.Table.from_pylist(evals, EVALS), "predictions": pa.Table.from_pylist(scored, PREDICTIONS)}
    return replace(make_record(number), **tables)


@dataclass(frozen=True)
class Stored:
    """Trials a second until all are told, seconds from a trial's handing over until it is told, requests a trial."""

    rate: float
    told_after: list[float]
    requests: float


def store(uri: str, faults: Faults, records: Sequence[Record], rate: float | None) -> Stored:
    """Hand the records over, `rate` a second or all at once, and wait until all are told."""
    folder = ResultsFolder(uri)
    for number in range(0, len(records), 100 // CHECKPOINTS):
        folder.write_bytes(f"checkpoints/{trial_id(number)}.safetensors", b"state")
    faults.seen.clear()
    handed: dict[str, float] = {}
    after: list[float] = []

    class Clock(Observer):
        def on_row(self, row: dict[str, Any]) -> None:
            after.append(time.monotonic() - handed[row["trial_id"]])

    scheduler: Any = SimpleNamespace(on_done=lambda pack, rows: None)
    pack: Any = None
    begin = time.monotonic()
    with Writer(folder) as writer:
        recorder = Recorder(writer, scheduler, Clock(), "latency")
        with recorder.behind():
            for number, one in enumerate(records):
                while rate and time.monotonic() < begin + number / rate:
                    recorder.tell(0.005)
                handed[one.trial["trial_id"]] = time.monotonic()
                recorder.store(pack, [one])
                recorder.tell()
        seconds = time.monotonic() - begin
    return Stored(len(records) / seconds, after, len(faults.seen) / len(records))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--latency", type=float, nargs="*", default=[0, 10, 30, 100], help="milliseconds")
    asked = parser.parse_args()
    os.environ.update(CREDENTIALS)
    records = [record(number) for number in range(asked.trials)]
    print(
        f"| latency of a request | at {asked.rate:g} trials/s: stored and told | told after, median · 95 % | requests",
        end="",
    )
    print(" a trial | all at once | requests a trial |")
    print("|---:|---:|---:|---:|---:|---:|")
    with moto_server() as server:
        for latency in asked.latency:
            faults = Faults(delay=latency / 1000)
            with proxy(server, faults) as through:
                steady = store(through.uri(f"steady{latency:g}"), faults, records, asked.rate)
                once = store(through.uri(f"once{latency:g}"), faults, records, None)
            *_, last = statistics.quantiles(steady.told_after, n=20)
            middle = statistics.median(steady.told_after)
            print(
                f"| {latency:g} ms | {steady.rate:.0f}/s | {1000 * middle:.0f} · {1000 * last:.0f} ms "
                f"| {steady.requests:.1f} | {once.rate:.0f}/s | {once.requests:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
