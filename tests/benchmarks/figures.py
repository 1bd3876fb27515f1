"""From what the three ways took to the yardstick's figures. Arithmetic alone: nothing is measured here.

Notation: makespan, the wall seconds of a way's whole process, imports and shutdown included; slots, the cores (or
GPUs) that it could use; work, the seconds that the bare loop spent in its trials, one after the other.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

WAYS = ("stock", "bare", "finebench")


@dataclass(frozen=True)
class Run:
    """One run of one way. `found` is what its process wrote, `memory` its peak in bytes, `slots` what it could use."""

    way: str
    makespan: float
    memory: int
    slots: int
    found: Mapping[str, Any]


@dataclass(frozen=True)
class Figures:
    """A row of the table: one way of one repetition. None where a figure has no meaning for the way."""

    way: str
    repeat: int
    trials: int
    slots: int
    makespan_seconds: float
    trials_per_hour: float
    examples_per_second: float
    mfu: float
    mfu_training: float
    peak_memory_bytes: int
    train_seconds: float
    overhead_per_trial: float | None = None
    warm_overhead_per_trial: float | None = None
    first_start_seconds: float | None = None
    running_seconds: float | None = None
    load_seconds: float | None = None


class ScoresDiffer(Exception):
    """The bare loop and finebench trained the same trials to other scores."""


def figures(repeat: int, run: Run, bare: Run) -> Figures:
    """One way's figures; FLOPs, examples, work and the measured peak come from the bare loop, which ran the same
    trials."""
    floor = bare.found["rows"]
    flops, examples = (sum(row[key] for row in floor) for key in ("train_flops", "examples"))
    peak = bare.found["peak_flops"]
    n, ours = run.found["trials"], run.way == "finebench"
    return Figures(
        way=run.way,
        repeat=repeat,
        trials=n,
        slots=run.slots,
        makespan_seconds=run.makespan,
        trials_per_hour=3600 * n / run.makespan,
        examples_per_second=examples / run.makespan,
        mfu=flops / (run.makespan * run.slots * peak),
        mfu_training=flops / (run.found["train_seconds"] * peak),
        peak_memory_bytes=run.memory,
        train_seconds=run.found["train_seconds"],
        overhead_per_trial=(run.makespan * run.slots - bare.found["work_seconds"]) / n if ours else None,
        warm_overhead_per_trial=warm_overhead(run, floor) if ours else None,
        first_start_seconds=run.found["first_start"] if ours else None,
        running_seconds=run.found["stored"][-1] - run.found["first_start"] if ours else None,
        load_seconds=run.found["load_seconds"] if run.way == "bare" else None,
    )


def warm_overhead(run: Run, floor: Sequence[Mapping[str, Any]]) -> float | None:
    """Seconds of a slot per trial beyond the bare loop's, from the moment when as many rows as slots were stored.

    By then each worker has (nearly always) ended its first trial. Trials in flight at that moment are counted whole in
    the work, and slots that idle at the very end are counted as overhead; None where nothing is left after it.
    """
    stored, slots = run.found["stored"], run.slots
    seconds = {row["trial_id"]: row["seconds"] for row in floor}
    rest = [row["trial_id"] for row in run.found["rows"]][slots:]
    if not rest:
        return None
    span = stored[-1] - stored[slots - 1]
    return float((span * slots - sum(seconds[one] for one in rest)) / len(rest))


def check_scores(bare: Run, ours: Run) -> None:
    """Raise ScoresDiffer unless both trained the same trials to bit-equal scores."""
    keys = ("score", "score_last", "select_score")
    expected = {row["trial_id"]: [row[key] for key in keys] for row in bare.found["rows"]}
    found = {row["trial_id"]: [row[key] for key in keys] for row in ours.found["rows"]}
    if expected.keys() != found.keys():
        raise ScoresDiffer(f"other trials: {len(expected)} in the bare loop, {len(found)} in finebench")
    wrong = [one for one in expected if expected[one] != found[one]]
    if wrong:
        one = wrong[0]
        raise ScoresDiffer(f"{len(wrong)} of {len(expected)} trials, first {one}: {expected[one]} and {found[one]}")


def ratios(table: Sequence[Figures], work: Sequence[float]) -> dict[str, float]:
    """What the marks are set on, from medians over repetitions; `work` is the bare loop's, one per repetition.

    times_stock: stock's makespan over finebench's. times_floor: finebench's makespan over the bare work divided by
    slots; running_times_floor: the same from the first trial's start on a worker to the last row; loops_times_floor:
    the same of bare loops in as many processes as slots, reckoned as if each loaded as fast as one alone does.
    overhead, warm_overhead: seconds of a slot per trial. loop_times_trainer: Trainer's seconds inside training over the
    bare loop's.
    """
    ways: dict[str, list[Figures]] = {way: [row for row in table if row.way == way] for way in WAYS}

    def median(way: str, key: str) -> float:
        return statistics.median(getattr(row, key) for row in ways[way])

    floor = statistics.median(work) / ways["finebench"][0].slots
    found = {
        "times_floor": median("finebench", "makespan_seconds") / floor,
        "running_times_floor": median("finebench", "running_seconds") / floor,
        "loops_times_floor": (median("bare", "load_seconds") + floor) / floor,
        "overhead": median("finebench", "overhead_per_trial"),
    }
    if all(row.warm_overhead_per_trial is not None for row in ways["finebench"]):
        found["warm_overhead"] = median("finebench", "warm_overhead_per_trial")
    found["first_start"] = median("finebench", "first_start_seconds")
    if ways["stock"]:
        found["times_stock"] = median("stock", "makespan_seconds") / median("finebench", "makespan_seconds")
        found["loop_times_trainer"] = median("stock", "train_seconds") / median("bare", "train_seconds")
    return found


def reached(name: str, value: float, mark: float) -> bool:
    """Whether a ratio is at its mark: times_stock is better high, everything else low."""
    return value >= mark if name == "times_stock" else value <= mark


def as_rows(setting: str, table: Sequence[Figures]) -> list[dict[str, Any]]:
    """The table as plain rows, for Parquet."""
    return [{"setting": setting, **asdict(row)} for row in table]
