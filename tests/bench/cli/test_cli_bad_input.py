"""A user's mistake is one clear message and exit code 2, before any trial starts."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT
from finebench.bench.models.hub import resolve_model

STUDY: dict[str, Any] = {
    "name": "x",
    "tasks": ["mini-cola"],
    "methods": {"full": {"lr": 1e-3}},
    "fractions": [0.1],
    "seeds": 1,
    "budget": {"steps": 2},
    "training": {"evals": 1, "max_length": 64},
}
CHEAPER = {"id": "c", "says": "cheaper", "a": "bitfit", "b": "full", "factor": 2.0}
REVIEWS = "text,label\n" + "".join(f"text number {i},{'yes' if i % 2 else 'no'}\n" for i in range(200))


def own(metric: str = "accuracy", **changes: Any) -> dict[str, Any]:
    task = {"name": "mine", "data": {"train": "train.csv", "validation": "validation.csv"}}
    return {"tasks": [{**task, "text": "text", "label": "label", "metric": metric, **changes}]}


def write(folder: Path, **changes: Any) -> Path:
    """A study as JSON, which is YAML, beside a small data set."""
    (folder / "train.csv").write_text(REVIEWS, encoding="utf-8")
    (folder / "validation.csv").write_text(REVIEWS.replace("text number", "another"), encoding="utf-8")
    (folder / "copy.csv").write_text(REVIEWS, encoding="utf-8")
    (folder / "semicolons.csv").write_text(REVIEWS.replace(",", ";"), encoding="utf-8")
    (folder / "alone.csv").write_text(REVIEWS + "one of its kind,perhaps\n", encoding="utf-8")
    file = folder / "x.yaml"
    file.write_text(json.dumps(STUDY | changes), encoding="utf-8")
    return file


CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "unknown key": ({"fraction": [0.1]}, ["unknown key 'fraction'", "did you mean 'fractions'?"]),
    "unknown method": ({"methods": {"bitfitt": {"lr": 1e-3}}}, ["unknown method 'bitfitt'", "did you mean 'bitfit'?"]),
    "unknown task": ({"tasks": ["mini-colla"]}, ["tasks[0]", "unknown task 'mini-colla'", "did you mean 'mini-cola'?"]),
    "unknown metric": (own("acuracy"), ["tasks[0].metric", "'acuracy'", "did you mean 'accuracy'?"]),
    "unknown budget": ({"budget": {"step": 2}}, ["budget", "unknown key 'step'", "did you mean 'steps'?"]),
    "misspelt hyperparameter": ({"methods": {"lora": {"lr": 1e-3, "rank": 8}}}, ["methods.lora", "unknown key 'rank'"]),
    "learning rate in quotation marks": (
        {"methods": {"full": {"lr": "1e-4"}}},
        ["methods.full.lr", "without quotation"],
    ),
    "fraction 0": ({"fractions": [0]}, ["fractions[0]", "greater than 0"]),
    "fraction 1.5": ({"fractions": [1.5]}, ["fractions[0]", "less than or equal to 1"]),
    "empty grid": ({"methods": {"full": {"lr": []}}}, ["methods.full.lr", "the grid is empty"]),
    "fraction too small": ({"fractions": [0.0005]}, ["x.yaml: fractions: fraction 0.0005", "mini-cola"]),
    "a tuner that peft has not": (
        {"methods": {"peft:LOHAA": {"lr": 1e-3}}},
        ["x.yaml: methods.peft:LOHAA: unknown peft tuner 'LOHAA'", "did you mean 'LOHA'?"],
    ),
    "a choice of a search that the model has no place for": (
        {
            "methods": {"adapter": {"lr": {"loguniform": [1e-4, 1e-2]}, "reduction_factor": {"choice": [8, 4096]}}},
            "search": {"optuna": {"trials": 2}},
        },
        ["x.yaml: methods.adapter: adapter reduction_factor 4096 leaves nothing of a hidden size of 96"],
    ),
    "missing model folder": ({"model": "./nowhere/model"}, ["nowhere/model", "does not exist"]),
    "missing data file": (own(data={"train": "none.csv", "validation": "validation.csv"}), ["none.csv"]),
    "a copy of train as validation": (
        own(data={"train": "train.csv", "validation": "copy.csv"}),
        ["copy.csv is a copy of", "train.csv"],
    ),
    "semicolons": (
        own(data={"train": "semicolons.csv", "validation": "validation.csv"}),
        ["semicolons.csv", "separated by ';'"],
    ),
    "a class with one row": (
        own(data={"train": "alone.csv", "validation": "validation.csv"}),
        ["alone.csv, row 201, column 'label'", "'perhaps' has this one row"],
    ),
    "unknown cost": (
        {"methods": {"full": {"lr": 1e-3}, "bitfit": {"lr": 1e-3}}, "claims": [CHEAPER | {"cost": "train_second"}]},
        ["claims[0].cost", "unknown cost 'train_second'", "did you mean 'train_seconds'?"],
    ),
    "missing column": (own(label="labell"), ["train.csv", "labell", "label"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_message_and_nothing_starts(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes, says = CASES[case]
    file = write(tmp_path, **changes)
    code = guarded(lambda: app(["run", str(file), "--debug", "--results", str(tmp_path / "r")], standalone_mode=False))
    error = capsys.readouterr().err
    assert code == EXIT_BAD_INPUT, error
    assert error.startswith("finebench: ")
    assert any(name in error for name in (str(file), ".csv", "nowhere/model")), "the file at fault is not named"
    assert [part for part in says if part not in error] == []
    assert "Traceback" not in error
    assert list((tmp_path / "r").rglob("*.parquet")) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "quikstart"], "did you mean 'quickstart'?"),
        (["run", "nowhere.yaml"], "'nowhere.yaml' does not exist"),
        (["run", "quickstart", "--set", "seeds"], "write key.path=value"),
        (
            ["run", "quickstart", "--set", "seeds=true"],
            "seeds: a number from 1 to 999, a list of different ones (e.g. [3, 7, 11]), {init: n",
        ),
        (["run", "quickstart", "--data", "nowhere"], "nowhere"),
        (["run", "quickstart", "--reslts", "x"], "--reslts"),
        (["run", "quickstart", "--trials", "0"], "--trials"),
        (["run", "quickstart", "--keep", "some"], "some"),
        (["run"], "argument"),  # in capitals or not, with Typer's version
        (["runn"], "runn"),
        (["status", "nowhere"], "nowhere"),
        (["report", "nowhere"], "nowhere"),
        (["rerun", "nowhere", "abc"], "nowhere"),
    ],
    ids=" ".join,
)
def test_bad_arguments(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code = guarded(lambda: app(arguments, standalone_mode=False))
    error = capsys.readouterr().err
    assert code == EXIT_BAD_INPUT, error
    assert says in error
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_another_study(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(**changes: Any) -> int:
        file = write(tmp_path, **changes)
        command = ["run", str(file), "--debug", "--results", str(tmp_path / "r")]
        return guarded(lambda: app(command, standalone_mode=False))

    assert run() == 0
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "r").rglob("*.parquet")}
    assert before
    capsys.readouterr()
    assert run(training={"evals": 2, "max_length": 64}) == EXIT_BAD_INPUT
    error = capsys.readouterr().err
    assert "holds another study" in error
    assert "training" in error
    assert "--results" in error
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "r").rglob("*.parquet")} == before


@pytest.mark.parametrize(
    ("changes", "says"),
    [({"model": "someone/some-model"}, "someone/some-model"), ({"tasks": ["mrpc"]}, "mrpc")],
    ids=["model", "data"],
)
def test_a_hub_that_cannot_be_reached(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    file = write(tmp_path, **changes)
    env = {k: v for k, v in os.environ.items() if k not in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE")}
    env |= {
        "HF_ENDPOINT": "http://127.0.0.1:9",
        "HF_HOME": str(tmp_path / "hf"),
        "FINEBENCH_CACHE": str(tmp_path / "c"),
    }
    command = [
        sys.executable,
        "-m",
        "finebench",
        "run",
        str(file),
        "--debug",
        "--results",
        str(tmp_path / "r"),
    ]
    begin = time.monotonic()
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == EXIT_BAD_INPUT, done.stdout + done.stderr
    assert says in done.stderr
    assert ("--model" if "model" in changes else "--data") in done.stderr
    assert "Traceback" not in done.stderr
    assert time.monotonic() - begin < 60
    assert list((tmp_path / "r").rglob("*.parquet")) == []


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def with_code(folder: Path) -> None:
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"auto_map": {"AutoModel": "evil.Model"}}))


def half_an_index(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    index = {"weight_map": {"x": "model-00001-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def without_vocabulary(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without("config.json"), "has no config.json"),
        (without("model.safetensors"), "has no weights: none of model.safetensors, "),
        (cut_short, "model.safetensors: the model cannot be loaded"),
        (half_an_index, "names weights that are not there: model-00001-of-00002.safetensors"),
        (without_vocabulary, "has no vocabulary: none of tokenizer.json, "),
        (with_code, "key 'auto_map' asks for code that comes with the model"),
    ],
    ids=["no config", "no weights", "cut short", "a missing shard", "no vocabulary", "code of its own"],
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_model_folder_that_no_trial_could_load(
    verb: str, spoil: Callable[[Path], None], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found before anything starts, not by every trial for itself; by a plan too."""
    model = Path(shutil.copytree(resolve_model("embedded").folder, tmp_path / "model"))
    spoil(model)
    file = write(tmp_path, model=str(model))
    options = ["--debug", "--results", str(tmp_path / "r")] if verb == "run" else []
    code = guarded(lambda: app([verb, str(file), *options], standalone_mode=False))
    error = capsys.readouterr().err
    assert code == EXIT_BAD_INPUT, error
    assert str(model) in error
    assert says in error
    assert not (tmp_path / "r").exists()


def test_a_file_in_place_of_the_results_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path)
    code = guarded(lambda: app(["run", str(file), "--debug", "--results", str(file)], standalone_mode=False))
    error = capsys.readouterr().err
    assert code == EXIT_BAD_INPUT
    assert f"'{file}' is a file, and not a folder" in error


def test_debug_runs_without_what_is_rays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write(tmp_path)
    arguments = ["run", str(file), "--debug", "--address", "auto", "--results", str(tmp_path / "r")]
    assert guarded(lambda: app(arguments, standalone_mode=False)) == EXIT_BAD_INPUT
    assert "--debug runs in this process, without Ray, and --address" in capsys.readouterr().err


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_deltas_cannot_be_kept_on_a_path_that_workers_of_a_cluster_do_not_reach(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scheme: str
) -> None:
    """However it is written."""
    file, results = write(tmp_path), tmp_path / "r"
    arguments = ["run", str(file), "--keep", "best", "--address", "auto", "--results", f"{scheme}{results}"]
    assert guarded(lambda: app(arguments, standalone_mode=False)) == EXIT_BAD_INPUT
    error = " ".join(capsys.readouterr().err.split())
    assert "--keep best with --address" in error
    assert "a disk that all nodes share needs a server that speaks S3 before it" in error
    assert not results.exists()


def test_other_data_or_metrics_under_one_name_are_never_pooled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Their rows would stand in one cell, as if they were more seeds."""
    results = tmp_path / "r"

    def run(file: Path) -> tuple[int, str]:
        command = ["run", str(file), "--debug", "--results", str(results)]
        return guarded(lambda: app(command, standalone_mode=False)), capsys.readouterr().err

    def ids() -> set[str]:
        return {path.name for path in (results / "trials").glob("*.parquet")}

    assert run(write(tmp_path, **own()))[0] == 0
    before = ids()
    code, error = run(write(tmp_path, **own("mcc")))
    assert code == EXIT_BAD_INPUT
    assert "another version of task 'mine'" in error
    file = write(tmp_path, **own())
    (tmp_path / "train.csv").write_text(REVIEWS + "one more,yes\n", encoding="utf-8")
    code, error = run(file)
    assert code == EXIT_BAD_INPUT
    assert "another version of task 'mine'" in error
    assert ids() == before
    assert run(write(tmp_path, **own(), seeds=2))[0] == 0  # the data as they were: the study is extended
    assert ids() > before


def test_keep_best_says_what_it_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A finished study has no deltas to choose from, and that is said."""
    command = ["run", str(write(tmp_path)), "--debug", "--results", str(tmp_path / "r")]
    assert guarded(lambda: app(command, standalone_mode=False)) == 0
    capsys.readouterr()
    assert guarded(lambda: app([*command, "--keep", "best"], standalone_mode=False)) == 0
    assert "deltas kept: 0" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("plan quickstart --slots abc", "--slots: a whole number is needed (given: 'abc')"),
        ("plan quickstart --slots 1.5", "--slots: a whole number is needed (given: '1.5')"),
        ("run quickstart --trials 0", "--trials: a number greater than or equal to 1 is needed (given: '0')"),
        ("plan quickstart --price-per-hour x", "--price-per-hour: a number is needed (given: 'x')"),
        ("run quickstart --keep som", "--keep: 'som' is not one of 'none', 'best', 'all'."),
        ("schema foo", "WHAT: 'foo' is not one of 'study', 'results'."),
    ],
)
def test_an_option_is_refused_in_the_words_that_a_study_is(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(lambda: app(words.split(), standalone_mode=False)) == EXIT_BAD_INPUT
    assert capsys.readouterr().err == f"finebench: {said}\n"


LONG = "A" * 300


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["plan", LONG], "unknown study"),
        (["plan", f"{LONG}.yaml"], "does not exist"),
        (["run", "quickstart", "--data", LONG], "this folder does not exist"),
        (["plan", "quickstart", "--data", LONG], ""),  # its tasks need no data
        (["plan", "quickstart", "--model", LONG], ""),
        (["plan", "quickstart", "--model", f"./{LONG}"], "does not exist"),
        (["new", f"{LONG}/x"], "does not exist"),
        (["status", LONG], "AAA"),
    ],
)
def test_a_name_that_is_too_long_for_the_system_is_the_name_of_nothing(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert guarded(lambda: app(words, standalone_mode=False)) == (EXIT_BAD_INPUT if says else 0)
    shown = capsys.readouterr()
    assert (says or "quickstart: 120 trials") in " ".join((shown.err + shown.out).split())
