"""What a user looks up: one method, metrics, studies, schemas, one trial; browser, help, completion."""

import json
import os
import subprocess
import sys
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from finebench.bench.cli.app import app
from finebench.bench.cli.arguments import complete_method, complete_set, complete_study, complete_trial
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT
from finebench.bench.cli.json_schema import results_schema, study_schema, type_words
from finebench.bench.cli.method_facts import describe_method
from finebench.bench.cli.one_trial import find_row
from finebench.bench.cli.registered import question
from finebench.bench.cli.terminal.browser import open_page
from finebench.bench.methods import methods
from finebench.bench.metrics import METRICS
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.schema import TABLES
from finebench.bench.study.load import known_studies
from finebench.bench.util.errors import MethodError
from tests.bench.stored import fill, trial_id

Caught = pytest.CaptureFixture[str]


def call(*arguments: str) -> int:
    return guarded(lambda: app(list(arguments), standalone_mode=False))


def document(caught: Caught, *arguments: str) -> Any:
    """What a command prints with --json, which is nothing else."""
    assert call(*arguments, "--json") == 0
    return json.loads(caught.readouterr().out)


@pytest.mark.parametrize("name", [name for name in methods() if not name.endswith(":")])
def test_a_method_is_told_with_type_default_and_meaning_of_each_hyperparameter(name: str, capsys: Caught) -> None:
    found = document(capsys, "methods", name)
    cls = methods()[name]
    assert [one["name"] for one in found["hyperparameters"]] == list(cls.model_fields)
    assert all(one["type"] and one["meaning"] for one in found["hyperparameters"])
    assert {one["name"]: one["default"] for one in found["hyperparameters"]} == cls().model_dump()
    assert (found["default_space"], found["paper"]) == (cls.default_space, cls.paper)
    assert found["trainable_params"] > found["head_params"] or name == "head"
    assert call("methods", name) == 0
    said = capsys.readouterr().out
    assert cls.paper in said
    assert all(key in said for key in cls.model_fields)


def test_a_family_and_an_unknown_method(capsys: Caught) -> None:
    assert describe_method("peft:<TYPE>", "embedded")[0]["trainable_params"] is None
    with pytest.raises(MethodError, match="did you mean 'bitfit'"):
        describe_method("bitfitt", "embedded")
    assert call("methods", "bitfitt") == EXIT_BAD_INPUT
    assert "did you mean 'bitfit'" in capsys.readouterr().err


def test_options_of_a_library_are_told_with_their_defaults() -> None:
    found = describe_method("peft:LOHA", "embedded")[0]
    assert {one["name"]: one["default"] for one in found["hyperparameters"]}["r"] == 8


def test_every_metric_is_told(capsys: Caught) -> None:
    found = {one["name"]: one for one in document(capsys, "metrics")}
    assert found.keys() == METRICS.keys()
    assert (found["mcc"]["range"], found["mse"]["range"]) == ([-1.0, 1.0], [0.0, None])
    assert call("metrics") == 0
    assert "lower   mean squared error" in capsys.readouterr().out


def test_a_metric_without_a_least_value_is_told(capsys: Caught, monkeypatch: pytest.MonkeyPatch) -> None:
    """As R² of a plugin, which can be as bad as one likes."""
    one = replace(METRICS["mse"], name="r2", higher_is_better=True, range=(-float("inf"), 1.0))
    monkeypatch.setattr("finebench.bench.metrics.METRICS", {"r2": one})
    assert document(capsys, "metrics")[0]["range"] == [None, 1.0]
    assert call("metrics") == 0
    assert "1 or less" in capsys.readouterr().out


def test_every_study_is_told_with_its_question(capsys: Caught, tmp_path: Path) -> None:
    found = {one["name"]: one["question"] for one in document(capsys, "studies")}
    assert found.keys() == known_studies().keys() - {"template"}  # which is there to be copied
    assert all(found.values())
    assert found["hpo_per_method"].startswith("what does each method reach")
    assert found["hpo_per_method"].endswith("in a space of its own?")
    file = tmp_path / "a.yaml"
    file.write_text("# About cats. And dogs.\nname: a\n", encoding="utf-8")
    assert question(file) == "About cats"
    file.write_text("name: a\n", encoding="utf-8")
    assert question(file) == ""


@pytest.mark.parametrize("path", known_studies().values(), ids=lambda path: path.stem)
def test_shipped_studies_fit_the_schema_for_editors(path: Path) -> None:
    fits = Draft202012Validator(study_schema()).is_valid
    study = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    assert fits(study)
    for wrong in (
        {"learning_rate": 1},
        {"methods": {"full": {"learning_rate": 1e-3}}},
        {"methods": {"fuII": {"lr": 1e-3}}},
        {"tasks": ["no-such-task"]},
        {"claims": [{"id": "c", "says": "better", "a": "x", "ties": 1}]},
    ):
        assert not fits(study | wrong), wrong


def test_what_plugins_bring_passes_the_schema_for_editors() -> None:
    fits = Draft202012Validator(study_schema()).is_valid
    study = {"name": "a", "tasks": ["of-mine"], "methods": {"mine": {"layers": 2}}, "budget": {"steps": 3}}
    assert not fits(study)
    assert fits(study | {"plugins": ["./mine.py"]})
    assert fits(study | {"plugins": [{"file": "mine.py", "hash": "0" * 16}]})
    assert not fits(study | {"plugins": [3]})
    claim = {"id": "c", "says": "wins_more", "a": "mine", "ties": 0.1}
    assert fits(study | {"plugins": ["./mine.py"], "claims": [claim]})


def test_the_results_schema_has_every_column() -> None:
    tables = results_schema()["properties"]
    assert {name: list(table["properties"]) for name, table in tables.items()} == {
        name: table.names for name, table in TABLES.items()
    }
    assert tables["trials"]["properties"]["score"] == {"type": ["number", "null"], "arrow": "double"}
    assert tables["trials"]["properties"]["trial_id"] == {"type": "string", "arrow": "string"}


def test_types_in_words() -> None:
    assert type_words({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 10}) == "number above 0, below 10"
    assert type_words({"anyOf": [{"enum": ["a", "b"]}, {"type": "null"}]}) == "a | b"


def test_a_trial_is_told_whole_by_the_beginning_of_its_id(tmp_path: Path, capsys: Caught) -> None:
    folder = fill(tmp_path / "r", range(30))
    one = trial_id(7)
    found = document(capsys, "trial", folder.uri, one[:10])
    assert found["trial"]["trial_id"] == one
    assert (found["trial"]["hyperparameters"], found["trial"]["seed"]) == ({"lr": 0.1}, 8)
    assert [evaluation["value"] for evaluation in found["evals"]] == [7.05, 7.1]
    assert found["predictions"] == {"rows": 5, "file": str(tmp_path / f"r/predictions/{one}.parquet")}
    assert found["delta"] is None
    assert found["rerun"] == f"finebench rerun {folder.uri} {one}"
    (tmp_path / "r/deltas").mkdir()
    (tmp_path / f"r/deltas/{one}.safetensors").write_bytes(b"x")
    assert call("trial", folder.uri, one) == 0
    said = capsys.readouterr().out
    assert f"delta: {tmp_path}/r/deltas/{one}.safetensors" in said
    assert f"again with: finebench rerun {folder.uri} {one}" in said
    assert call("compact", folder.uri) == 0
    capsys.readouterr()
    assert Path(document(capsys, "trial", folder.uri, one)["predictions"]["file"]).is_file()


def test_no_trial_and_several_trials_are_said_clearly(tmp_path: Path, capsys: Caught) -> None:
    folder = fill(tmp_path / "r", range(30))
    ids = sorted(trial_id(number) for number in range(30))
    first = next(one[0] for one in ids if sum(other[0] == one[0] for other in ids) > 1)
    several = [one for one in ids if one.startswith(first)]
    assert call("trial", folder.uri, first) == EXIT_BAD_INPUT
    said = capsys.readouterr().err
    assert f"{len(several)} trials have ids that begin with '{first}': {several[0]}" in said
    assert call("trial", folder.uri, "zzz") == EXIT_BAD_INPUT
    assert "unknown trial 'zzz'" in (said := capsys.readouterr().err)
    assert "and 20 more" in said
    assert call("trial", str(tmp_path / "none"), "a") == EXIT_BAD_INPUT
    assert "holds no trials" in capsys.readouterr().err


def test_a_whole_run_stands_before_a_pruned_one(tmp_path: Path) -> None:
    folder = fill(tmp_path / "r", [1], "pruned")
    assert find_row(folder, trial_id(1))["status"] == "pruned"
    assert find_row(fill(tmp_path / "r", [1]), trial_id(1))["status"] == "ok"


def test_compact_as_json(tmp_path: Path, capsys: Caught) -> None:
    folder = fill(tmp_path / "r", range(4))
    assert document(capsys, "compact", folder.uri) == {"before": 12, "now": 3, "damaged": [], "notes": []}


def test_a_page_is_opened_or_it_is_said_why_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []

    def opens(url: str) -> bool:
        opened.append(url)
        return True

    monkeypatch.setattr(webbrowser, "open", opens)
    assert open_page(str(tmp_path / "a b/index.html")) is None
    assert opened == [f"file://{tmp_path}/a%20b/index.html"]
    assert "not on this machine" in str(open_page("s3://bucket/report/index.html"))
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    assert "no web browser" in str(open_page(str(tmp_path / "index.html")))


def test_help_by_h_groups_the_commands(capsys: Caught) -> None:
    assert call("-h") == 0
    said = capsys.readouterr().out
    places = [said.index(f"─ {group} ─") for group in ("Run", "Look", "Keep", "Extend", "Set up")]
    assert places == sorted(places)
    for command in app.registered_commands:
        assert command.callback is not None
        assert command.rich_help_panel
        assert call(command.callback.__name__, "-h") == 0


def test_names_are_completed() -> None:
    assert complete_study("quick") == ["quickstart"]
    assert complete_method("bit") == ["bitfit"]
    assert complete_study("no-such") == []
    assert complete_set("training.ev") == ["training.evals="]
    assert complete_set("se") == [
        *("seeds=", "search=", "search.grid=", "search.optuna="),
        *("select=", "select.fraction=", "select.at_least=", "select.scale="),
    ]
    assert complete_set("tasks=mini-m") == ["tasks=[mini-mrpc"]
    assert complete_set("tasks=[mini-mrpc,mini-") == ["tasks=[mini-mrpc,mini-cola", "tasks=[mini-mrpc,mini-stsb"]
    assert complete_set("seeds=") == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (["plan", "quick"], ["quickstart"]),
        (["plan", "quickstart", "--set", "retr"], ["retries="]),
        (["trial", "{results}", trial_id(1)[:-1]], [trial_id(1)]),
        (["rerun", "{results}", trial_id(2)], [trial_id(2)]),
        (["trial", "no-such-folder", ""], []),
    ],
)
def test_a_shell_completes_names_without_torch_or_ray(line: list[str], found: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from finebench.bench.cli.entry import main\n"
        "sys.argv = ['finebench']\n"
        "try:\n    main()\nfinally:\n"
        "    heavy = {'torch', 'ray', 'transformers'} & set(sys.modules)\n"
        "    print('heavy:', sorted(heavy), file=sys.stderr)\n"
    )
    results = fill(tmp_path / "r", [1, 2]).uri
    words = " ".join(["finebench", *line]).replace("{results}", results)
    asks = {"_FINEBENCH_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(line))}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | asks, timeout=120, check=False
    )
    assert done.stdout.split() == found, done.stderr
    assert "heavy: []" in done.stderr


def test_a_shell_is_told_no_ids_of_a_folder_that_cannot_be_read(tmp_path: Path) -> None:
    """The command says what is wrong with it; a shell that completes has no place for that."""
    (tmp_path / "trials").mkdir()
    (tmp_path / "trials" / "x.parquet").write_bytes(b"no table")
    context = typer.Context(typer.main.get_command(app))
    context.params["results"] = str(tmp_path)
    assert complete_trial(context, "") == []


def test_the_file_of_a_record_is_named(tmp_path: Path) -> None:
    folder = fill(tmp_path / "r", [1])
    found = ResultsFolder(folder.uri).record_file("evals", trial_id(1))
    assert found == str(tmp_path / f"r/evals/{trial_id(1)}.parquet")
