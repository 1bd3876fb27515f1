"""`--logger`: what a trial was, its curves by step and what it came to reach the tracker; a tracker ends no sweep."""

import importlib.util
import json
import re
import struct
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finebench.bench.driver import loggers
from finebench.bench.driver.loggers import check_tracker
from finebench.bench.driver.options import RunOptions, RunOutcome
from finebench.bench.driver.run import run_study
from finebench.bench.driver.trackers import LONGEST_GROUP, group
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.record import Record
from finebench.bench.results.schema import EVALS, PREDICTIONS
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.util import doors
from finebench.bench.util.doors import Plugin, load_plugin
from finebench.bench.util.errors import InputError
from tests.bench.stored import make_record, trial_id
from tests.bench.tiny import tiny_study

GROUP = "mini-cola_lora_0.1_steps=6_alpha=16.0_dropout=0.0_lr=0.001_r=8_target=query+value"

Curves = dict[int, dict[str, float]]


class Notes(Observer):
    """Keeps what the user would have been told."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def on_note(self, text: str) -> None:
        """Keep it."""
        self.notes.append(text)


def run(folder: Path, logger: str) -> tuple[RunOutcome, list[str]]:
    watch = Notes()
    study = tiny_study(methods={"lora": {"lr": [1e-3]}})
    options = RunOptions(str(folder), debug=True, logger=logger)
    outcome = run_study(study, options, lambda scheduler: watch, lambda trial, reason, runs: None)
    return outcome, watch.notes


def stored(folder: Path) -> tuple[dict[str, Any], Curves]:
    """The one trial's row, and its evaluations as the tables have them."""
    (row,) = ResultsFolder(str(folder)).rows()
    curves: Curves = defaultdict(dict)
    for one in ResultsFolder(str(folder)).record_rows("evals", row["trial_id"]).to_pylist():
        curves[one["step"]][f"{one['split']}/mcc"] = one["value"]
        curves[one["step"]][f"{one['split']}/loss"] = one["loss"]
        curves[one["step"]]["lr"] = one["lr"]
    return row, curves


def test_tensorboard_gets_the_curves_beside_the_results(tmp_path: Path) -> None:
    outcome, notes = run(tmp_path, "tensorboard")
    row, curves = stored(tmp_path)
    assert (outcome.statuses, notes) == ({"ok": 1}, [])
    (file,) = (tmp_path / "tensorboard" / GROUP / row["trial_id"]).glob("events*")
    found: Curves = defaultdict(dict)
    for step, tag, value in scalars(file):
        found[step][tag] = value
    assert list(found) == [2, 4, 6] == list(curves)
    assert found == {step: pytest.approx(values, rel=1e-6) for step, values in curves.items()}
    (summary,) = (tmp_path / "tensorboard" / GROUP / row["trial_id"] / "trial").glob("events*")
    assert {tag: value for _, tag, value in scalars(summary)}["final/score"] == pytest.approx(row["score"], rel=1e-6)


def scalars(file: Path) -> list[tuple[int, str, float]]:
    """The scalars of an event file: records of a length, its checksum, an event, its checksum."""
    from tensorboardX.proto import event_pb2

    data, found = file.read_bytes(), []
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        event = event_pb2.Event()
        event.ParseFromString(data[12 : 12 + length])
        found += [
            (event.step, one.tag, one.simple_value) for one in event.summary.value if one.HasField("simple_value")
        ]
        data = data[16 + length :]
    return found


FAKE = """
import json, os, sys, time
print("words of the tracker")
print("words of the tracker", file=sys.stderr)

class Calls:
    def __getattr__(self, name):
        if name in ("summary", "settings"):
            return self
        if name == "mode":
            return os.environ.get("WANDB_MODE", "online")

        def call(*args, **kwargs):
            print("words of the tracker")
            if os.environ.get("FAKE_FAILS") == name:
                raise ConnectionError("no such host")
            if os.environ.get("FAKE_ASKS") == name:
                input("key: ")
            if os.environ.get("FAKE_DIES") == name:
                os._exit(9)
            if os.environ.get("FAKE_HANGS") == name:
                time.sleep(600)
            with open(os.environ["FAKE_LOG"], "a") as file:
                file.write(json.dumps([name, args, kwargs]) + "\\n")
            return bool(os.environ.get("WANDB_API_KEY")) if name == "login" else self

        return call

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

calls = Calls()

def __getattr__(name):
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(calls, name)
"""
"""A stand-in for a tracker's package: it keeps every call, and is its own client, run and summary."""

Calls = list[tuple[str, list[Any], dict[str, Any]]]


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Calls]:
    """MLflow and Weights & Biases as the tracker's process finds them; returns what reads their calls."""
    for name in ("mlflow", "wandb"):
        (tmp_path / "fake" / name).mkdir(parents=True)
        (tmp_path / "fake" / name / "__init__.py").write_text(FAKE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "fake"))
    monkeypatch.syspath_prepend(str(tmp_path / "fake"))
    monkeypatch.setenv("FAKE_LOG", str(tmp_path / "calls"))
    monkeypatch.setenv("WANDB_API_KEY", "key")
    monkeypatch.delenv("WANDB_MODE", raising=False)

    def calls() -> Calls:
        lines = (tmp_path / "calls").read_text().splitlines()
        checks = ("MlflowClient", "search_experiments", "setup", "login")
        return [tuple(call) for call in map(json.loads, lines) if call[0] not in checks]  # type: ignore[misc]

    return calls


def test_mlflow_gets_parameters_curves_and_results(tmp_path: Path, fake: Callable[[], Calls]) -> None:
    _, notes = run(tmp_path / "r", "mlflow")
    row, curves = stored(tmp_path / "r")
    calls = fake()
    assert notes == []
    assert calls[0] == ("set_experiment", ["tiny"], {})
    assert calls[1] == ("start_run", [], {"run_name": row["trial_id"], "tags": {"group": GROUP}})
    name, (params,), _ = calls[2]
    assert name == "log_params"
    wanted = {"method": "lora", "task": "mini-cola", "fraction": 0.1, "seed": 1, "lr": 1e-3, "r": 8}
    assert wanted.items() <= params.items()
    assert [(c[1][0], c[2]) for c in calls[3:6]] == [(values, {"step": step}) for step, values in curves.items()]
    assert calls[6][1][0]["final/score"] == row["score"]
    names = [name for call in calls[3:7] for name in call[1][0]]
    assert not {name.rpartition("/")[0] for name in names} & set(names)  # MLflow makes files and folders of them
    assert calls[7:] == [("end", [], {})]


def test_wandb_gets_the_same(tmp_path: Path, fake: Callable[[], Calls]) -> None:
    _, notes = run(tmp_path / "r", "wandb")
    row, curves = stored(tmp_path / "r")
    calls = fake()
    assert notes == []
    name, _, about = calls[0]
    assert (name, about["project"], about["name"], about["config"]["r"]) == ("init", "tiny", row["trial_id"], 8)
    assert (about["group"], about["job_type"]) == (GROUP, "grid")
    assert [(c[0], c[1][0], c[2]) for c in calls[1:4]] == [("log", v, {"step": step}) for step, v in curves.items()]
    assert (calls[4][0], calls[4][1][0]["final/score"]) == ("update", row["score"])
    assert calls[5:] == [("end", [], {})]


def test_a_tracker_of_a_plugin_reaches_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "_plugins", dict(doors._plugins))
    page = (Path(__file__).parents[3] / "docs/extending/tracker.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    long = "# " + "x" * 200_000  # more than a pipe holds
    load_plugin(Plugin("my_tracker.py", f"{code}\n{long}\n"))
    _, notes = run(tmp_path / "r", "lines")
    row, _ = stored(tmp_path / "r")
    assert notes == []
    (line,) = (tmp_path / "r/lines/trials.jsonl").read_text().splitlines()
    assert json.loads(line)["trial"] == row["trial_id"]


def test_what_a_tracker_prints_reaches_nobody(
    tmp_path: Path, fake: Callable[[], Calls], capfd: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "r", "wandb")
    assert fake()
    said = capfd.readouterr()
    assert "words of the tracker" not in said.out + said.err


REFUSED = [
    ("wandb", "", "", "RuntimeError: no login: run `wandb login`"),
    ("wandb", "FAKE_ASKS", "login", "EOFError: .*; log in with `wandb login` or WANDB_API_KEY, or set WANDB_MODE"),
    ("wandb", "FAKE_HANGS", "login", "no answer within 1 s; log in"),
    ("wandb", "FAKE_DIES", "login", "its process ended with code 9: words of the tracker; log in"),
    ("mlflow", "FAKE_FAILS", "search_experiments", "ConnectionError: no such host; MLFLOW_TRACKING_URI names"),
]


@pytest.mark.parametrize(("name", "how", "where", "says"), REFUSED, ids=[f"{r[0]}-{r[1]}" for r in REFUSED])
def test_a_tracker_that_could_not_log_is_refused_before_anything_is_written(
    tmp_path: Path, fake: object, monkeypatch: pytest.MonkeyPatch, name: str, how: str, where: str, says: str
) -> None:
    """No login on a terminal, under whose live map nobody sees the question; no server."""
    if how:
        monkeypatch.setenv(how, where)
    else:
        monkeypatch.delenv("WANDB_API_KEY")
    if how == "FAKE_HANGS":
        monkeypatch.setattr(loggers, "READY_SECONDS", 1.0)
    with pytest.raises(InputError, match=f"^--logger {name}: it cannot log: {says}"):
        run(tmp_path / "r", name)
    assert not (tmp_path / "r").exists()


def test_wandb_offline_needs_no_login(tmp_path: Path, fake: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    monkeypatch.setenv("WANDB_MODE", "offline")
    check_tracker("wandb", "tiny", ResultsFolder(str(tmp_path)))


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("FAKE_FAILS", "TRIAL: --logger wandb: not logged: ConnectionError: no such host"),
        ("FAKE_DIES", "TRIAL: --logger wandb: not logged: its process ended with code 9: words of the tracker"),
        ("FAKE_HANGS", "--logger wandb: 1 trials were not logged within 0.5 s of the run's end"),
    ],
)
def test_a_tracker_that_fails_is_a_note(
    tmp_path: Path, fake: object, monkeypatch: pytest.MonkeyPatch, how: str, says: str
) -> None:
    """The results folder has the trial all the same, and the run ends."""
    monkeypatch.setenv(how, "init")
    monkeypatch.setattr(loggers, "ANSWER_SECONDS", 0.5 if how == "FAKE_HANGS" else 120.0)
    monkeypatch.setattr(loggers, "END_SECONDS", 0.1)
    outcome, notes = run(tmp_path / "r", "wandb")
    for thread in threading.enumerate():
        if thread.name.startswith("finebench-tracker"):
            thread.join()  # it must not say the same trial a second time once its process is ended
    (note,) = notes
    row, _ = stored(tmp_path / "r")
    assert outcome.statuses == {"ok": 1}
    assert note == says.replace("TRIAL", row["trial_id"])


class Slow:
    """In place of a tracker's process: each trial takes it `seconds`, or until it is let `go`."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds, self.go, self.logged = seconds, threading.Event(), list[str]()

    def ready(self, seconds: float) -> None:
        """At once."""

    def log(self, record: Record) -> None:
        self.go.wait(self.seconds)
        self.logged.append(record.trial["trial_id"])

    def close(self) -> None:
        """Nothing is held."""


def test_a_slow_tracker_holds_the_end_up_once_and_not_for_each_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, notes = Slow(seconds=0.3), list[str]()
    monkeypatch.setattr(loggers, "_Child", lambda *rest: child)
    monkeypatch.setattr(loggers, "ANSWER_SECONDS", 1.0)
    with loggers.tracking("wandb", "tiny", ResultsFolder(str(tmp_path)), notes.append) as log:
        for number in range(20):
            log(make_record(number))
        begin = time.monotonic()
    assert time.monotonic() - begin < 3.0  # and not 20 times 0.3 s
    (note,) = notes
    found = re.fullmatch(r"--logger wandb: (\d+) trials were not logged within 1 s of the run's end", note)
    assert found is not None
    assert 20 - len(child.logged) <= int(found[1]) < 20  # the one that was under way may have been logged


def test_what_waits_for_a_slow_tracker_is_bounded_and_the_rest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, notes = Slow(), list[str]()
    monkeypatch.setattr(loggers, "_Child", lambda *rest: child)
    monkeypatch.setattr(loggers, "MOST_BYTES", 3.5 * (make_record(0).nbytes + loggers.ROW_BYTES))
    with loggers.tracking("wandb", "tiny", ResultsFolder(str(tmp_path)), notes.append) as log:
        for number in range(7):
            log(make_record(number))
        assert notes == [
            "--logger wandb: it takes longer than trials do; 3 wait for it, and what ends before it has caught up is "
            "not logged"
        ]
        child.go.set()
        while len(child.logged) < 3:
            time.sleep(0.01)
        log(make_record(7))
    assert child.logged == [trial_id(number) for number in (0, 1, 2, 7)]
    assert notes[1:] == ["--logger wandb: 4 trials were not logged, because it took longer than they did"]


def test_a_group_is_a_configuration() -> None:
    def of(**changes: Any) -> str:
        budget, values = '{"epochs": 3.0, "min_steps": 200}', '{"lr": 0.001, "terms": "a/b c"}'
        row = {"task": "mini-cola", "method": "peft:LOHA", "fraction": 0.1, "budget": budget, "hyperparameters": values}
        return group(Record(row | changes, EVALS.empty_table(), PREDICTIONS.empty_table()))

    assert (
        of() == of(seed=2, stage="confirm") == "mini-cola_peft_LOHA_0.1_epochs=3.0_min_steps=200_lr=0.001_terms=a_b_c"
    )
    assert len({of(), of(task="x"), of(fraction=1.0), of(budget='{"steps": 1}'), of(hyperparameters="{}")}) == 5
    long = [of(hyperparameters=json.dumps({"layers": "x" * 200 + end})) for end in "ab"]
    assert long[0] != long[1]
    assert {len(name) for name in long} == {LONGEST_GROUP}


@pytest.mark.parametrize("name", ["tensorboard", "mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"--logger {name}: .* is not installed; pip install 'finebench\[{name}\]'"):
        run(tmp_path / "r", name)
    assert not (tmp_path / "r").exists()


def test_event_files_need_a_path(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no local path"):
        check_tracker(
            "tensorboard", "tiny", ResultsFolder("s3://bucket/folder?endpoint_override=localhost:1&scheme=http")
        )
    check_tracker("tensorboard", "tiny", ResultsFolder(str(tmp_path)))
    check_tracker(None, "tiny", ResultsFolder(str(tmp_path)))


class Dead(Slow):
    """A tracker whose process has ended."""

    def log(self, record: Record) -> None:
        raise loggers.TrackerError("its process ended with code 9")


def test_a_tracker_that_has_died_is_told_of_a_few_times_and_then_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = list[str]()
    monkeypatch.setattr(loggers, "_Child", lambda *rest: Dead())
    with loggers.tracking("wandb", "tiny", ResultsFolder(str(tmp_path)), notes.append) as log:
        for number in range(20):
            log(make_record(number))
    assert [note.split(": ")[0] for note in notes[:-1]] == [trial_id(number) for number in range(3)]
    assert notes[-1] == "--logger wandb: 20 trials were not logged, the first 3 for the reasons above"
