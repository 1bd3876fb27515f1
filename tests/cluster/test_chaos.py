"""One study through all that happens to a cluster, to its end: no trial lost, none twice, no score differs.

`python -m tests.cluster.test_chaos [SEED]` runs it under another order of events, and prints what each took.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bench.s3 import BUCKET, CREDENTIALS
from tests.cluster.machines import Going, Machine, Net, obstacle, study, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))]

TRIALS, PORT = 60, 9000
STUDY: dict[str, Any] = {
    "methods": {"full": {"lr": 1e-3}, "bitfit": {"lr": 5e-3}},
    "seeds": TRIALS // 2,
    "budget": {"steps": 1300},  # so long that all has happened before the last trial
    "fractions": [0.3],
    "retries": 2,
}
MOST_STARTS = 3
"""Times that the same command is given: a driver or a head that is lost ends a run, and nothing else may."""

READ = """
import json, sys
import pyarrow.dataset as d
from pyarrow.fs import FileSystem
fs, path = FileSystem.from_uri(sys.argv[1])
columns = ["trial_id", "status", "reason", "score", "score_last", "select_score", "steps", "tokens", "train_seconds"]
print("ROWS", json.dumps(d.dataset(path + "/trials", filesystem=fs, format="parquet").to_table(columns).to_pylist()))
"""
SAME = ("status", "score", "score_last", "select_score", "steps", "tokens")


class Chaos:
    """A cluster with a store of its own, and what can happen to it."""

    def __init__(self, net: Net, seed: int) -> None:
        self.net, self.dice = net, random.Random(seed)
        self.store, self.head, self.mine = net.machine("store"), net.machine("head"), net.machine("mine")
        self.workers = [net.machine(name) for name in ("w1", "w2", "w3")]
        (self.store.tmp / "rows.py").write_text(READ)
        self.uri = f"s3://{BUCKET}/out?endpoint_override={self.store.ip}:{PORT}&scheme=http"
        self.events: dict[str, Callable[[], None]] = {
            "a node loses its power": self.power_cut,
            "a cable is out for 5 s": lambda: self.cable(self.dice.choice(self.workers), 5),
            "a cable is out for 20 s": lambda: self.cable(self.dice.choice(self.workers), 20),
            "a cable is out for 90 s": lambda: self.cable(self.dice.choice(self.workers), 90),
            "a node comes late": self.late,
            "the driver is killed": self.driver,
            "the head is lost": self.head_loss,
            "a disk is full": self.disk,
            "the store is away for 20 s": lambda: self.cable(self.store, 20),
        }

    def start(self) -> None:
        """A store with a bucket, a head, workers, and a study."""
        self.store.begin_python(f"-m moto.server -H 0.0.0.0 -p {PORT}", CREDENTIALS)
        ask = f"import http.client as h; c = h.HTTPConnection('127.0.0.1', {PORT}); c.request('PUT', '/{BUCKET}')"
        ask += "; assert c.getresponse().status == 200"
        (self.store.tmp / "bucket.py").write_text(ask)
        until(lambda: self.store.run("python bucket.py")[0] == 0, 60, "the store")
        self.head.ray(cpus=0)
        for worker in self.workers:
            worker.ray(self.head)
        self.mine.ray(self.head, cpus=0)
        self.name = study(self.mine, "chaos", **STUDY)
        self.run = self.begin()

    def begin(self) -> Going:
        """Give the command."""
        return self.mine.begin(f"run {self.name} --address {self.head.ip}:6379 --results '{self.uri}'", CREDENTIALS)

    def rows(self) -> list[dict[str, Any]]:
        """What is stored."""
        code, said = self.store.run(f"python rows.py '{self.uri}'", env=CREDENTIALS)
        return list(json.loads(said.partition("ROWS ")[2])) if code == 0 else []

    def progress(self, more: int, within: float = 400) -> None:
        """Wait until so many more trials are stored, or the run has ended."""
        there = len(self.rows())

        def moved() -> bool:
            time.sleep(2)
            return self.run.process.poll() is not None or len(self.rows()) >= min(there + more, TRIALS)

        until(moved, within, self.run.said)

    # What happens

    def cable(self, machine: Machine, seconds: float) -> None:
        machine.cut()
        time.sleep(seconds)
        machine.mend()

    def power_cut(self) -> None:
        """And it is switched on again: a node that comes back has lost its Ray and its processes."""
        machine = self.dice.choice(self.workers)
        machine.kill()
        time.sleep(5)
        machine.boot()
        machine.ray(self.head)

    def late(self) -> None:
        self.workers.append(self.net.machine("late"))
        self.workers[-1].ray(self.head)

    def driver(self) -> None:
        self.mine.run("pkill -9 -f 'finebench run'")
        self.run.ended(30)

    def head_loss(self) -> None:
        """Its nodes notice that it is gone, and have to join the new one."""
        self.head.kill()
        time.sleep(5)
        self.head.boot()
        self.head.ray(cpus=0)
        for machine in (*self.workers, self.mine):
            machine.run("python -c 'from ray.scripts.scripts import main; main()' stop --force")
            machine.ray(self.head, cpus=0 if machine is self.mine else 1)
        self.run.ended(300)

    def disk(self) -> None:
        """Where a node keeps what it is sent: its next worker can unpack no model there."""
        machine = self.dice.choice(self.workers)
        machine.run("pkill -9 -f ray::")
        machine.run("mkdir -p /tmp/.cache; mount -t tmpfs -o size=16k tmpfs /tmp/.cache")


def survive(home: Path, seed: int, say: Callable[[str], None] = lambda text: None) -> None:
    """Run the study on one machine, then through everything; compare."""
    with Net(home) as net:
        chaos = Chaos(net, seed)
        alone = study(chaos.store, "chaos", **STUDY)
        code, said = chaos.store.finebench(f"run {alone} --results alone", timeout=1800)
        assert code == 0, said
        expected = {row["trial_id"]: row for row in _rows(chaos.store, "/tmp/alone")}
        assert len(expected) == TRIALS
        chaos.start()
        began, starts, order = time.monotonic(), 1, list(chaos.events)
        chaos.dice.shuffle(order)
        for what in order:
            chaos.progress(2)
            if chaos.run.process.poll() is not None:
                assert starts < MOST_STARTS, chaos.run.said()
                chaos.run, starts = chaos.begin(), starts + 1
                chaos.progress(1)
            there = len(chaos.rows())
            say(f"{time.monotonic() - began:6.0f} s, {there} trials there: {what}")
            assert there < TRIALS, "the study has ended before all has happened: give its trials more steps"
            chaos.events[what]()
        while (code := chaos.run.ended(900)[0]) != 0:
            assert starts < MOST_STARTS, chaos.run.said()
            chaos.run, starts = chaos.begin(), starts + 1
        took = time.monotonic() - began
        found = chaos.rows()
        assert len(found) == TRIALS, chaos.run.said()
        assert {row["trial_id"] for row in found} == set(expected)  # none lost, none twice
        for row in found:
            assert [row[key] for key in SAME] == [expected[row["trial_id"]][key] for key in SAME], row
        code, said = chaos.store.finebench(f"verify '{chaos.uri}'", env=CREDENTIALS)
        assert code == 0, said
        worked = sum(row["train_seconds"] for row in found)
        say(f"{took:6.0f} s, {starts} starts: {TRIALS} trials, 0 lost, 0 twice, 0 differ; {worked:.0f} s of training")


def _rows(machine: Machine, folder: str) -> list[dict[str, Any]]:
    code, said = machine.run(f"python rows.py file://{folder}")
    assert code == 0, said
    return list(json.loads(said.partition("ROWS ")[2]))


def test_a_study_survives_all_of_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    survive(tmp_path_factory.mktemp("net"), 7, lambda text: print(text, flush=True))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("seed", type=int, nargs="?", default=7, help="of the order of events")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        survive(Path(scratch), asked.seed, lambda text: print(text, flush=True))
