"""`--logger`: what a trial was, its curves by step and what it came to reach the tracker; a tracker ends no sweep."""

import importlib.util
import struct
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from bench import tracker
from bench.errors import InputError
from bench.recorder import Observer
from bench.results import ResultsFolder
from bench.run import RunOptions, RunOutcome, run_study
from bench.tracker import check_tracker
from tests.bench.tiny import tiny_study

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
    outcome = run_study(study, options, lambda conductor: watch, lambda trial, reason, runs: None)
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
    (file,) = (tmp_path / "tensorboard" / row["trial_id"]).glob("events*")
    found: Curves = defaultdict(dict)
    for step, tag, value in scalars(file):
        found[step][tag] = value
    assert list(found) == [2, 4, 6] == list(curves)
    assert found == {step: pytest.approx(values, rel=1e-6) for step, values in curves.items()}
    (summary,) = (tmp_path / "tensorboard" / row["trial_id"] / "trial").glob("events*")
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


class Calls:
    """A stand-in for a tracker's module, run or summary: keeps every call, and is its own context."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        if name == "summary":
            return self

        def call(*args: Any, **kwargs: Any) -> "Calls":
            self.calls.append((name, args, kwargs))
            return self

        return call

    def __enter__(self) -> "Calls":
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append(("end", (), {}))


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str) -> Calls:
    calls, module = Calls(), ModuleType(name)
    module.__getattr__ = lambda key: getattr(calls, key)  # type: ignore[method-assign]
    module.__spec__ = importlib.util.spec_from_loader(name, None)
    monkeypatch.setitem(sys.modules, name, module)
    return calls


def test_mlflow_gets_parameters_curves_and_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_in(monkeypatch, "mlflow").calls
    _, notes = run(tmp_path, "mlflow")
    row, curves = stored(tmp_path)
    assert notes == []
    assert calls[0] == ("set_experiment", ("tiny",), {})
    assert calls[1] == ("start_run", (), {"run_name": row["trial_id"]})
    name, (params,), _ = calls[2]
    assert name == "log_params"
    assert {
        "method": "lora",
        "task": "mini-cola",
        "fraction": 0.1,
        "seed": 1,
        "lr": 1e-3,
        "r": 8,
    }.items() <= params.items()
    assert [(c[1][0], c[2]) for c in calls[3:6]] == [(values, {"step": step}) for step, values in curves.items()]
    assert calls[6][1][0]["final/score"] == row["score"]
    names = [name for call in calls[3:7] for name in call[1][0]]
    assert not {name.rpartition("/")[0] for name in names} & set(names)  # MLflow makes files and folders of them
    assert calls[7:] == [("end", (), {})]


def test_wandb_gets_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = stand_in(monkeypatch, "wandb").calls
    _, notes = run(tmp_path, "wandb")
    row, curves = stored(tmp_path)
    assert notes == []
    name, _, about = calls[0]
    assert (name, about["project"], about["name"], about["config"]["r"]) == ("init", "tiny", row["trial_id"], 8)
    assert [(c[0], c[1][0], c[2]) for c in calls[1:4]] == [("log", v, {"step": step}) for step, v in curves.items()]
    assert (calls[4][0], calls[4][1][0]["final/score"]) == ("update", row["score"])
    assert calls[5:] == [("end", (), {})]


def test_a_tracker_that_fails_is_a_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The results folder has the trial all the same."""

    def refuse(*_: object) -> None:
        raise ConnectionError("no such host")

    monkeypatch.setattr(tracker, "_to_tensorboard", refuse)
    outcome, (note,) = run(tmp_path, "tensorboard")
    row, _ = stored(tmp_path)
    assert outcome.statuses == {"ok": 1}
    assert note == f"{row['trial_id']}: --logger tensorboard: not logged: ConnectionError: no such host"


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
        check_tracker("tensorboard", ResultsFolder("s3://bucket/folder?endpoint_override=localhost:1&scheme=http"))
    check_tracker("tensorboard", ResultsFolder(str(tmp_path)))
    check_tracker(None, ResultsFolder(str(tmp_path)))
