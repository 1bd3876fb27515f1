"""What comes from outside the package: plugins of a study, and entry points of an installed package."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from finebench.bench import metrics
from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.study.load import load_study
from finebench.bench.study.parts import claim_kinds
from finebench.bench.study.plan import Plan
from finebench.bench.study.plugins import load_given
from finebench.bench.util import doors
from finebench.bench.util.doors import Door, Plugin, load_plugin
from finebench.bench.util.errors import DataError, PluginNotHere, StudyError
from tests.bench.stored import fill

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
FILES = ("top_layers.py", "short_cola.py", "above_chance.py", "half_way.py")
STUDY = """
name: outside
tasks: [short-cola]
methods: {top_layers: {lr: [1e-3], layers: 2}, bitfit: {lr: [5e-3]}}
fractions: [0.1]
seeds: 1
budget: {steps: 4}
training: {evals: 2, batch_size: 8, schedule: half_way}
"""


pytestmark = pytest.mark.usefixtures("plugins_go")


def finebench(*arguments: str, folder: Path, path: str = "") -> "subprocess.CompletedProcess[str]":
    """The real command, in a folder."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1"} | ({"PYTHONPATH": path} if path else {})
    command = [sys.executable, "-m", "finebench", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=600)


def written(folder: Path, plugins: bool = True) -> Path:
    """A study beside its plugins."""
    folder.mkdir(exist_ok=True)
    listed = f"plugins: [{', '.join(f'./{name}' for name in FILES)}]\n" if plugins else ""
    (folder / "outside.yaml").write_text(STUDY + listed)
    if plugins:
        for name in FILES:
            shutil.copy(HERE / name, folder / name)
    return folder / "outside.yaml"


def call(*arguments: str) -> int:
    """The command in this process; returns its exit code."""
    return guarded(lambda: app(list(arguments), standalone_mode=False))


@pytest.mark.slow
def test_plugins_of_each_kind_through_the_real_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Run, read without the code, and rerun with it."""
    written(tmp_path / "study")
    ran = finebench("run", "study/outside.yaml", "--debug", "--results", "out", folder=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    rows = pq.read_table(tmp_path / "out" / "trials").to_pylist()
    assert {(row["method"], row["task"], row["metric"], row["status"]) for row in rows} == {
        (name, "short-cola", "above_chance", "ok") for name in ("top_layers", "bitfit")
    }
    shutil.move(tmp_path / "study", tmp_path / "elsewhere")
    stored = (tmp_path / "out" / "study.yaml").read_text()
    assert "def apply" not in stored
    assert re.search(r"file: top_layers.py\n *hash: [0-9a-f]{16}", stored)
    given = [word for name in FILES for word in ("--plugin", f"elsewhere/{name}")]
    trial = next(row["trial_id"] for row in rows if row["method"] == "top_layers")
    monkeypatch.chdir(tmp_path)
    named = " ".join(f"--plugin {name}" for name in FILES)
    for command in (["report", "out"], ["status", "out"], ["verify", "out"], ["compare", "out", "out"]):
        doors._plugins.clear()
        assert call(*command) == 0, command
        read = capsys.readouterr()
        assert "--plugin FILE" in read.out + read.err, command
        if command[0] == "report":
            assert read.out.endswith(f"again with: finebench report out {named}\n")
        assert call(*command, *given) == 0, command
        read = capsys.readouterr()
        assert "--plugin FILE" not in read.out + read.err, command
    doors._plugins.clear()
    assert call("plan", "out/study.yaml") == 2
    assert "--plugin FILE" in capsys.readouterr().err
    assert call("plan", "out/study.yaml", *given) == 0
    capsys.readouterr()
    assert call("trial", "out", trial, "--json") == 0
    assert json.loads(capsys.readouterr().out)["rerun"] == f"finebench rerun out {trial} {named}"
    without = finebench("rerun", "out", trial, folder=tmp_path)
    assert without.returncode == 2
    assert "--plugin FILE" in without.stderr
    again = finebench("rerun", "out", trial, *given, folder=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "bit-equal" in again.stdout


def test_an_entry_point_of_an_installed_package(tmp_path: Path) -> None:
    """A package on the import path, with the metadata that an installer writes."""
    site = tmp_path / "site"
    package, about = site / "outside_methods", site / "outside_methods-1.0.dist-info"
    package.mkdir(parents=True)
    about.mkdir()
    (package / "__init__.py").write_text("")
    for name in FILES:
        shutil.copy(HERE / name, package / name)
    (package / "several").mkdir()
    (package / "several" / "__init__.py").write_text("")
    (package / FILES[0]).rename(package / "several" / FILES[0])
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: outside-methods\nVersion: 1.0\n")
    groups = dict(zip(FILES, ("methods", "tasks", "metrics", "schedules"), strict=True))
    modules = {name: name.removesuffix(".py") for name in FILES} | {FILES[0]: "several"}  # a package: all its modules
    points = [f"[finebench.{group}]\nany = outside_methods.{modules[name]}\n" for name, group in groups.items()]
    (about / "entry_points.txt").write_text("\n".join(points))
    listed = finebench("methods", "--json", folder=tmp_path, path=str(site))
    assert "top_layers" in {one["name"] for one in json.loads(listed.stdout)}, listed.stderr
    written(tmp_path, plugins=False)
    ran = finebench("run", "outside.yaml", "--debug", "--results", "out", folder=tmp_path, path=str(site))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert pq.read_table(tmp_path / "out" / "trials").num_rows == 2
    (package / "half_way.py").write_text("1 / 0\n")
    broken = finebench("plan", "outside.yaml", folder=tmp_path, path=str(site))
    assert broken.returncode == 2
    assert "half_way.py, line 1: ZeroDivisionError" in broken.stderr.replace("\n", " ")


def ids(study: Path) -> dict[str, str]:
    """Trial ids by method; identities of model and task left aside."""
    from finebench.bench.study.plan import Identities
    from finebench.bench.study.trial_id import Identity

    loaded = load_study(str(study))
    known = Identities(Identity("m", "1"), {name: Identity(name, "1") for name in loaded.task_names}, "fp32")
    return {trial.method: trial.id for trial in Plan(loaded).grid(known)}


def test_only_what_comes_from_a_plugin_changes_with_it(tmp_path: Path) -> None:
    study = written(tmp_path)
    study.write_text(study.read_text().replace(", schedule: half_way", ""))
    before = ids(study)
    with (tmp_path / "top_layers.py").open("a") as file:
        file.write("# another text\n")
    after = ids(study)
    assert before["bitfit"] == after["bitfit"]
    assert before["top_layers"] != after["top_layers"]


def test_a_name_in_two_files_is_an_error_that_names_both(tmp_path: Path) -> None:
    study = written(tmp_path)
    (tmp_path / "twin.py").write_text((HERE / "top_layers.py").read_text() + "# another text\n")
    study.write_text(study.read_text().replace("./half_way.py", "./half_way.py, ./twin.py"))
    with pytest.raises(StudyError, match=r"'top_layers' is in two files: .*top_layers\.py and .*twin\.py"):
        load_study(str(study))


TASK_TEXT = """from finebench.bench.tasks import Embedded, Task
TASK = Task(name='mine', kind='classification', text={text}, label='label', metrics=('mcc',), source=Embedded('x'))
"""
METRIC_TEXT = """from finebench.bench.metrics import Metric
METRIC = Metric({}, 'classes', 'five', '5', lambda labels, predictions: 5.0, range={})
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("import math\n\nmath.nothing\n", r"bad\.py, line 3: AttributeError"),
        ("import math\ndef (\n", r"bad\.py, line 2: SyntaxError"),
        ("from nowhere_at_all import x\n", r"bad\.py, line 1: ModuleNotFoundError"),
        ("import sys\n\nsys.exit(0)\n", r"bad\.py, line 3: SystemExit: 0"),
        ("from .helper import x\n", r"bad\.py, line 1: ImportError: .*; a plugin is one file"),
        ("METRICS = [1]\nclass Mine:\n    name = 'mine'\n", r"bad\.py: nothing in it can be used"),
        ("METRIC = {'name': 'mine'}\n", r"bad\.py: nothing in it can be used"),
        ("from finebench.bench.methods import Method\n", r"bad\.py: nothing in it can be used"),
        (TASK_TEXT.format(text="('sentence')"), r"bad\.py, line \d+: .*: text is a tuple of names"),
        (TASK_TEXT.format(text="()"), r"bad\.py, line \d+: .*: text is a tuple of names"),
        (TASK_TEXT.format(text="('sentence',)").replace("classification", "classif"), "'classif'; did you mean 'class"),
        (TASK_TEXT.format(text="('sentence',)").replace("'mine'", "'../mine'"), r"task '\.\./mine': a name of letters"),
        (METRIC_TEXT.format("'m x'", "(0.0, 1.0)"), "metric 'm x': a name of letters"),
        (METRIC_TEXT.format("'five'", "(1.0, 0.0)"), r"its range is \(least, greatest\)"),
    ],
)
def test_an_error_in_a_plugin_is_one_message_with_its_line(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(text)
    (tmp_path / "bad.yaml").write_text(STUDY + "plugins: [bad.py]\n")
    with pytest.raises(StudyError, match=words):
        load_study(str(tmp_path / "bad.yaml"))


@pytest.mark.parametrize("init", ["", "from {name}.chance import METRIC"])
def test_a_package_as_an_entry_point_holds_each_thing_once(
    init: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where its `__init__` names what a module holds, that is no second one, and no other module is imported."""
    name = "outside_again" if init else "outside_once"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(init.format(name=name))
    shutil.copy(HERE / "above_chance.py", tmp_path / name / "chance.py")
    if init:
        (tmp_path / name / "optional.py").write_text("import no_such_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("any", name, f"finebench.{name}")
    monkeypatch.setattr(doors.metadata, "entry_points", lambda group: [point])
    assert list(Door("metric", None, point.group, metrics._in)) == ["above_chance"]


def test_a_copy_that_is_not_installed_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim_kinds, "KINDS", {})
    with pytest.raises(ValueError, match="not installed as it now is: pip install it again"):
        claim_kinds.kind("better")


def test_a_stored_study_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by hash, nor by a path that somebody wrote into it."""
    from finebench.bench.study.load import build_study
    from finebench.bench.util.safe_yaml import parse_yaml

    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('ran', 'w')\n")
    for listed, error in (("[./evil.py]", StudyError), ("[{file: evil.py, hash: 0123456789abcdef}]", PluginNotHere)):
        with pytest.raises(error, match="plugin"):
            build_study(parse_yaml(STUDY + f"plugins: {listed}\n", "study.yaml"), "study.yaml", Path("."))
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_rests_on_a_plugin_is_merged_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plugin = Plugin("half_way.py", (HERE / "half_way.py").read_text())
    one = fill(tmp_path / "one", [1])
    text = STUDY.replace("top_layers: {lr: [1e-3], layers: 2}, ", "").replace("short-cola", "mini-cola")
    one.write_bytes("study.yaml", f"{text}plugins: [{{file: half_way.py, hash: {plugin.hash}}}]\n".encode())
    words = ["merge", one.root, "--into", str(tmp_path / "out")]
    assert guarded(lambda: app(words, standalone_mode=False)) == 2
    assert "give the file with --plugin FILE" in capsys.readouterr().err
    assert guarded(lambda: app([*words, "--plugin", str(HERE / "half_way.py")], standalone_mode=False)) == 0
    assert "1 trials" in capsys.readouterr().out


@pytest.mark.parametrize(("kind", "name"), list(zip(("method", "task", "metric", "schedule"), FILES, strict=True)))
def test_the_docs_show_the_files_that_are_tested(kind: str, name: str) -> None:
    page = (ROOT / "docs" / "extending" / f"{kind}.md").read_text()
    snippets = re.findall(r"```python\n(.*?)```", page, flags=re.DOTALL)
    shown = [name, "brier.py"] if kind == "metric" else [name]
    assert snippets == [(HERE / one).read_text() for one in shown]


def test_the_example_metric_of_probabilities_is_that_of_copies() -> None:
    from finebench.bench.metrics import metric

    load_plugin(Plugin("brier.py", (HERE / "brier.py").read_text()))
    one, rng = metric("neg_brier"), np.random.default_rng(0)
    labels, said = rng.integers(0, 3, 9), rng.dirichlet(np.ones(3), (2, 9))
    chosen = rng.integers(0, 9, (50, 9))
    counts = np.array([np.bincount(row, minlength=9) for row in chosen], dtype=float)
    wanted = [[one.score(labels[row], run[row]) for run in said] for row in chosen]
    assert one.weighted is not None
    assert one.weighted(labels.astype(float), said, counts) == pytest.approx(np.array(wanted))
    assert one.score(np.array([0]), np.array([[0.5, 0.5]])) == -0.5


def test_the_example_metric_from_counts_is_that_of_copies() -> None:
    from finebench.bench.metrics import METRICS

    load_plugin(Plugin("above_chance.py", (HERE / "above_chance.py").read_text()))
    metric, rng = METRICS["above_chance"], np.random.default_rng(0)
    labels, predictions = (rng.integers(0, 2, shape) for shape in (9, (3, 9)))
    chosen = rng.integers(0, 9, (50, 9))
    counts = np.array([np.bincount(row, minlength=9) for row in chosen], dtype=float)
    wanted = [[metric.score(labels[row], one[row]) for one in predictions] for row in chosen]
    assert metric.weighted is not None
    assert metric.weighted(labels.astype(float), predictions.astype(float), counts) == pytest.approx(np.array(wanted))


def test_a_kind_of_claim_has_keys_of_its_own() -> None:
    """Checked with the study, stored with it, and read again by the report; refused of every other kind."""
    from finebench.analysis.claims.model import claims_of
    from finebench.bench.study.load import build_study
    from finebench.bench.util.errors import ResultsError

    page = (ROOT / "docs/extending/claim.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    plugin = Plugin("wins_more.py", code)
    load_plugin(plugin)
    claim = {"id": "c", "says": "wins_more", "a": "bitfit", "b": "full"}
    raw = {"name": "t", "tasks": ["mini-cola"], "methods": {"bitfit": {}, "full": {}}, "budget": {"steps": 4}}
    raw |= {"plugins": [{"file": plugin.file, "hash": plugin.hash}]}

    def stored(**keys: object) -> dict[str, object]:
        return build_study(raw | {"claims": [claim | keys]}, "s.yaml", Path(".")).model_dump(mode="json")

    for given, value in (({"ties": 0.5}, 0.5), ({}, 0.0)):
        again = stored(**given)
        assert build_study(again, "study.yaml", Path(".")).claims[0].own == claims_of(again)[0].own
        assert claims_of(again)[0].own.ties == value
    for keys, words in (
        ({"ties": -1.0}, r"claims\[0\]\.ties: a number greater than or equal to 0 is needed \(given: -1\.0\)"),
        ({"ties": "few"}, r"claims\[0\]\.ties: a number is needed"),
        ({"tie": 0.5}, r"claims\[0\]: unknown key 'tie'; did you mean 'ties'\? choices: a, b, .*, ties$"),
        ({"says": "better", "ties": 0.5}, r"claims\[0\]: unknown key 'ties'; choices: a, b, .*, tasks$"),
    ):
        with pytest.raises(StudyError, match=words):
            stored(**keys)
        with pytest.raises(ResultsError, match=r"ties?"):
            claims_of({"claims": [claim | keys]})
    doors._plugins.clear()
    with pytest.raises(ResultsError, match=r"'wins_more' is not one of .*; what 'w.py' adds .* --plugin FILE"):
        claims_of({"claims": [claim], "plugins": [{"file": "w.py", "hash": "0" * 16}]})


def test_an_edited_plugin_takes_the_place_of_the_old_one() -> None:
    text = (HERE / "half_way.py").read_text()
    load_plugin(Plugin("half_way.py", text))
    from finebench.bench.study.schedules import SCHEDULES

    first = SCHEDULES.code("half_way")
    load_plugin(Plugin("half_way.py", text + "# more\n"))
    assert SCHEDULES.code("half_way") != first
    assert SCHEDULES.code("linear") is None


def test_a_table_is_something_to_load(tmp_path: Path, plugins_go: None) -> None:
    text = "from finebench.analysis.tables.table import Table\ndef mine(contents) -> Table: ...\n"
    (tmp_path / "table.py").write_text(text)
    assert load_given([str(tmp_path / "table.py")])


def test_a_generated_task_of_another_name_or_column_is_refused_with_the_choices(tmp_path: Path) -> None:
    from finebench.bench.data.task_data import load_task
    from finebench.bench.tasks import TASKS, Embedded

    mine = replace(TASKS["mini-cola"], source=Embedded("mini-colaa"))
    with pytest.raises(DataError, match="unknown generated task 'mini-colaa'; did you mean 'mini-cola'"):
        load_task(mine, None)
    with pytest.raises(DataError, match="unknown column 'sentense'; did you mean 'sentence'"):
        load_task(replace(TASKS["mini-cola"], text=("sentense",)), None)
