"""Every command and snippet of the docs is run, or checked by what would run it; so is what is made from code."""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

import finebench as fb
from docs import generate
from finebench.bench.cli import app
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.methods import methods
from finebench.bench.results import schema
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study.load import build_study
from finebench.bench.study.plan import Plan
from finebench.bench.tasks import tasks
from tests.bench.tiny import tiny_study
from tests.test_readme import (
    ROOT,
    activate,
    compiles,
    extras,
    is_a_benchmark,
    is_a_test,
    make,
    parse,
    parse_ray,
    parse_run,
)

DOCS = ROOT / "docs"
PAGES = sorted(p for p in DOCS.rglob("*.md") if not {"_build", "_generated", "results"} & {*p.relative_to(DOCS).parts})


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


LINES = [(page, line) for page in PAGES for block in blocks(page, "sh") for line in block.splitlines() if line]


def parse_offline(line: str) -> None:
    """The command behind a setting of the environment."""
    parse_run(line.partition(" ")[2])


def names_what_is_there(line: str) -> None:
    """The files of deploy/ that it names are there; job and image are theirs, and a script is one written above."""
    text = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "deploy").iterdir())
    program, *words = shlex.split(line)
    named = [word for word in words if re.search(r"deploy/|doering2024|finebench:|\.sh$", word)]
    assert named
    for word in named:
        if word.startswith("deploy/"):
            assert (ROOT / word).is_file()
        elif program == "sbatch":
            assert any(f"--out {word} " in other for _, other in LINES)
        else:
            assert word.rpartition("=")[2] in text


CHECKS: dict[str, Callable[[str], None]] = {
    r"finebench run ": parse_run,
    r"HF_HUB_OFFLINE=1 finebench run ": parse_offline,
    r"finebench ": parse,
    r"make ": make,
    r"python -m pytest ": is_a_test,
    r"python -m tests\.(benchmarks|cluster)\.": is_a_benchmark,
    r"python -c ": compiles,
    r"pip install -c ": extras,
    r"ray ": parse_ray,
    r"\. \.venv/bin/activate$": activate,
    r"docker |kubectl |sky |sbatch ": names_what_is_there,
}
"""How commands are checked, by how they begin; the first that fits."""


@pytest.mark.parametrize(("page", "line"), LINES, ids=[line[:60] for _, line in LINES])
def test_every_command_would_be_accepted(page: Path, line: str) -> None:
    check = next((check for begins, check in CHECKS.items() if re.match(begins, line)), None)
    assert check is not None, f"{page}: say in CHECKS how this command is checked: {line}"
    check(line)


def test_every_check_is_used() -> None:
    used = {next(begins for begins in CHECKS if re.match(begins, line)) for _, line in LINES}
    assert used == set(CHECKS)


STUDIES = [(page, block) for page in PAGES for block in blocks(page, "yaml") if page.parent.name != "extending"]
"""Those of docs/extending name what a page defines: its own test runs them with it."""
BASE: dict[str, Any] = {
    "name": "part",
    "tasks": ["mini-mrpc"],
    "methods": {"full": {"lr": 1e-3}, "bitfit": {"lr": 1e-2}},
    "budget": {"steps": 100},
}


@pytest.mark.parametrize(("page", "block"), STUDIES, ids=[page.stem for page, _ in STUDIES])
def test_every_study_or_part_of_one_is_a_study(page: Path, block: str, tmp_path: Path) -> None:
    given = YAML(typ="safe", pure=True).load(block)
    whole = given if "name" in given else BASE | given
    assert Plan(build_study(whole, str(page), tmp_path)).count() > 0
    assert list(VALIDATOR.iter_errors(whole)) == []


def test_the_lines_that_load_a_delta_give_a_model_back(tmp_path: Path) -> None:
    """The page's own lines, with the file and the model of a study that has just run."""
    (block,) = blocks(DOCS / "how-to" / "reload-a-model.md", "python")
    options = RunOptions(str(tmp_path), debug=True, keep="best")
    study = tiny_study(tasks=["mini-mrpc"], methods={"lora": {"lr": [1e-3]}})
    run_study(study, options, lambda scheduler: Observer(), lambda trial, reason, runs: None)
    (delta,) = (tmp_path / "deltas").iterdir()
    (folder,), (trial,) = (re.findall(rf'{name}\("([^"]+)"\)', block) for name in ("load", "model"))
    assert (folder, len(trial)) == ("results/hpo_per_method", 20)
    names: dict[str, Any] = {}
    exec(block.replace(folder, str(tmp_path)).replace(trial, delta.stem), names)
    assert names["logits"].shape == (1, 2)


def test_the_lines_that_read_claims_find_those_that_are_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = blocks(DOCS / "how-to" / "claims-in-ci.md", "python")
    report = tmp_path / "results" / "my-study" / "report"
    report.mkdir(parents=True)
    given = [{"id": "a", "verdict": "supported"}, {"id": "b", "verdict": "inconclusive"}]
    (report / "claims.json").write_text(json.dumps(given), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)
    assert names["open_ones"] == ["b"]


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cell by cell, as `make docs` does, on a study of the same shape in three steps a trial."""
    cells = blocks(DOCS / "tutorials" / "notebook.md", r"\{code-cell\} python")
    assert len(cells) > 5
    real, small = fb.Study.from_yaml, {"budget.steps": 3, "training.evals": 1, "fractions": [0.1]}
    monkeypatch.setattr(fb.Study, "from_yaml", lambda study, *, set: real(study, set=set | small))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in cells:
        exec(cell, names)
    assert len(names["trials"]) == 12
    assert list(names["claims"]["id"]) == ["biases-beat-the-head"]


@pytest.mark.skipif(find_spec("myst_nb") is None, reason="`make docs` installs what builds the pages")
def test_the_pages_build_without_a_warning(tmp_path: Path) -> None:
    """Every link between pages leads somewhere; the notebook, which has a test of its own, is not run."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(tmp_path)]
    settings = ["-D", "nb_execution_mode=off", "-D", "suppress_warnings=myst-nb.lexer"]
    done = subprocess.run([*command, *settings], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "study.schema.json").is_file()


def test_a_module_that_a_page_runs_is_there() -> None:
    """Within sentences too."""
    named = {(page, name) for page in (*PAGES, ROOT / "README.md")
             for name in re.findall(r"python -m (tests\.[\w.]*\w)", page.read_text(encoding="utf-8"))}  # fmt: skip
    assert len(named) > 10
    assert [(page, name) for page, name in named if find_spec(name) is None] == []


def test_every_page_says_something_and_stays_readable() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        assert re.search(r"^# \S", text, re.MULTILINE), page
        assert len(text.splitlines()) <= 320, page


# What is made from the code

VALIDATOR = Draft202012Validator(generate.study_schema())


@pytest.mark.parametrize("path", sorted((ROOT / "search_spaces").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_schema_for_editors_accepts_every_study_that_comes_with_finebench(path: Path) -> None:
    raw = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    assert [error.message for error in VALIDATOR.iter_errors(raw)] == []


EXTENDING = [(page, block) for page in (DOCS / "extending").glob("*.md") for block in blocks(page, "yaml")]


@pytest.mark.parametrize(("page", "block"), EXTENDING, ids=[page.stem for page, _ in EXTENDING])
def test_the_schema_for_editors_accepts_what_plugins_bring(page: Path, block: str) -> None:
    given = BASE | YAML(typ="safe", pure=True).load(block)
    assert [error.message for error in VALIDATOR.iter_errors(given)] == []


WRONG: list[dict[str, Any]] = [
    {"fraction": [0.1]},
    {"training": {"batchsize": 8}},
    {"budget": {"steps": 0}},
    {"claims": [{"id": "x"}]},
    {"seeds": "6"},
]


@pytest.mark.parametrize("change", WRONG)
def test_the_schema_for_editors_refuses_what_a_study_refuses(change: dict[str, Any]) -> None:
    assert VALIDATOR.is_valid(BASE)
    assert not VALIDATOR.is_valid(BASE | change)


def test_the_reference_names_every_command_option_column_method_and_task() -> None:
    commands, columns = generate.commands(), generate.columns()
    for command in app.app.registered_commands:
        assert command.callback is not None
        assert f"## finebench {command.callback.__name__}\n" in commands
    assert "--check-claims" in commands
    for table in schema.TABLES.values():
        assert [name for name in table.names if f"| `{name}` |" not in columns] == []
    assert [name for name in methods() if f"| `{name}" not in generate.method_table()] == []
    assert [name for name in tasks() if f"| `{name}` |" not in generate.task_table()] == []
    assert "in the order of plan.json's names" in columns  # a comment above its column
    assert "supported | refuted | inconclusive" in generate.claims_json()


def test_every_variable_that_the_code_reads_is_documented() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in sources())
    read = set(re.findall(r"FINEBENCH_[A-Z_]+", code)) - {"FINEBENCH_LOGICAL_GPUS"}  # which tests of scheduling set
    page = (DOCS / "reference" / "environment.md").read_text(encoding="utf-8")
    assert read
    assert [name for name in sorted(read) if f"`{name}`" not in page] == []


def sources() -> list[Path]:
    return [path for folder in ("bench", "analysis") for path in sorted((ROOT / folder).rglob("*.py"))]


def test_every_message_of_the_troubleshooting_page_is_one_of_the_code() -> None:
    """Its words between the gaps stand in a text of the code, in this order or in pieces."""
    code = "".join(path.read_text(encoding="utf-8") for path in sources())
    # errors.choose words these
    made = "".join(f"unknown {what} \n" for what in re.findall(r"choose\(['\"](\w+)['\"]", code))
    joined = made + re.sub(r'"\s*\n\s*f?"', "", code).replace("{{", "{").replace("}}", "}")
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    headings = re.findall(r"^### (.*)$", page, re.MULTILINE)
    pieces = [
        piece.strip() for line in headings for text in re.findall(r"`([^`]+)`", line) for piece in text.split("…")
    ]
    assert len(headings) > 25
    assert [piece for piece in pieces if piece and piece not in joined] == []
