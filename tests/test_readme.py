"""Every command in the README is run, or parsed by what would run it; every table and link there is checked.

`COMMANDS` says how each is checked; a command that is not listed fails.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.main
from click import Command
from ray.scripts import scripts
from ruamel.yaml import YAML

from finebench.bench.cli.app import app
from finebench.bench.study.load import build_study, load_study
from finebench.bench.study.plan import Plan

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


LINES = [line for block in blocks("sh") for line in block.splitlines() if line and not line.startswith("#")]


# How a command is checked


def parse(line: str) -> None:
    """Parse a finebench command with finebench's own parser; run nothing."""
    program, name, *arguments = shlex.split(line)
    assert program == "finebench"
    group: Any = typer.main.get_command(app)
    group.commands[name].make_context(name, arguments)


def parse_run(line: str) -> None:
    """Parse it, and check the study that it would run with its overrides, model and all."""
    parse(line)
    words = shlex.split(line)
    overrides = [words[i + 1] for i, word in enumerate(words) if word == "--set"]
    if not words[2].endswith(".yaml"):  # a file of the reader's
        assert Plan(load_study(words[2], overrides)).count() > 0


def parse_ray(line: str) -> None:
    """Parse a ray command with Ray's own parser, and the finebench command inside it."""
    _, name, *arguments = shlex.split(line)
    command = scripts.cli.commands[name]
    assert isinstance(command, Command)
    command.make_context(name, list(arguments))
    for word in arguments:
        if word.startswith("finebench "):
            parse_run(word)


def make(line: str) -> None:
    """Let make say what it would do."""
    done = subprocess.run([*shlex.split(line), "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def activate(line: str) -> None:
    """The folder is the one that the Makefile makes."""
    assert line == ". .venv/bin/activate"
    assert re.search(r"^VENV\s*\?= \.venv$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)


def extras(line: str) -> None:
    """The extras exist, and so does the constraints file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    match = re.search(r"-c (\S+) '\.\[(\w+)\]'", line)
    assert match is not None
    assert (ROOT / match[1]).is_file()
    assert match[2] in project["optional-dependencies"]


def compiles(line: str) -> None:
    """The Python inside is Python; tests of the results schema hold the columns."""
    program, option, code = shlex.split(line)
    assert (program, option) == ("python", "-c")
    compile(code, "README.md", "exec")


def is_a_test(line: str) -> None:
    """The test files exist; the figures beside the command are what it prints."""
    program, *arguments = shlex.split(line)
    assert (program, arguments[:2]) == ("python", ["-m", "pytest"])
    files = [word for word in arguments[2:] if word.startswith("tests/")]
    assert files
    assert all((ROOT / file).is_file() for file in files)


def is_a_benchmark(line: str) -> None:
    """The module takes these options; its code is run at tiny size by tests/bench/driver/test_yardstick.py."""
    program, option, module, *arguments = shlex.split(line)
    assert (program, option) == ("python", "-m")
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments, "--help"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert all(word in done.stdout for word in arguments if word.startswith("--"))


def execute(line: str) -> None:
    """Really run it; checked in order by one test, in one folder."""
    parse(line)


COMMANDS: dict[str, Callable[[str], None]] = {
    "make quickstart": make,
    "make test": make,
    ". .venv/bin/activate": activate,
    "finebench doctor": parse,  # run by tests/bench/cli/test_doctor.py
    (
        "finebench run quickstart --debug --set 'tasks=[mini-mrpc]' "
        "--set 'methods={bitfit: {lr: 1e-2}, head: {lr: 1e-2}}' "
        "--set 'claims=[{id: biases-beat-the-head, says: better, a: bitfit, b: head}]'"
    ): parse_run,  # the notebook of the docs runs the same study
    "finebench plan doering2024": execute,
    "finebench run doering2024": parse_run,  # needs a hub and a GPU
    "finebench status results/doering2024": parse,
    "finebench report results/doering2024 --price-per-hour 1.20 --check-claims": parse,
    "finebench run glue_minilm --model ./MiniLM-L6 --data ./glue": parse_run,
    "finebench new reviews.yaml --data reviews.csv": execute,
    "finebench plan reviews.yaml": execute,
    "finebench run reviews.yaml": parse_run,
    "pip install -c constraints.txt '.[cluster]'": extras,
    "ray up -y cluster.yaml": parse_ray,
    (
        "ray exec --tmux cluster.yaml 'finebench run doering2024 --address auto "
        "--results s3://YOUR-BUCKET/doering2024 --set resources.gpu=0.25 --set training.precision=bf16'"
    ): parse_ray,
    "ray down -y cluster.yaml": parse_ray,
}


@pytest.mark.parametrize("line", LINES)
def test_every_command_is_listed_and_would_be_accepted(line: str) -> None:
    assert line in COMMANDS, "say in COMMANDS how this command is checked"
    COMMANDS[line](line)


def test_no_listed_command_has_left_the_readme() -> None:
    assert set(COMMANDS) - set(LINES) == set()


def test_the_quick_commands_run_in_their_order(tmp_path: Path) -> None:
    write_reviews(tmp_path)
    for line in LINES:
        if COMMANDS[line] is execute:
            command = [sys.executable, "-m", "finebench", *shlex.split(line)[1:]]
            done = subprocess.run(
                command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=300, check=False
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
            assert done.stdout.strip()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reviews.csv", "reviews.yaml"]


def write_reviews(folder: Path) -> None:
    """The file that the text speaks of, with the columns that it names."""
    rows = [f"title {i},a body of number {i} that is long enough,{'good' if i % 2 else 'bad'}" for i in range(200)]
    (folder / "reviews.csv").write_text("title,body,stars\n" + "\n".join(rows) + "\n", encoding="utf-8")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}


def test_a_wrong_option_would_be_noticed() -> None:
    with pytest.raises(Exception, match="--reslts"):
        parse("finebench run quickstart --reslts x")


# What it shows


def test_the_studies_shown_are_studies(tmp_path: Path) -> None:
    shown = blocks("yaml")
    assert len(shown) == 2
    for block in shown:
        study = build_study(YAML(typ="safe", pure=True).load(block), "README.md", tmp_path)
        assert Plan(study).count() > 0


def test_the_python_shown_is_python_in_six_lines() -> None:
    """What it does is tested with the package that it imports."""
    (block,) = blocks("python")
    compile(block, "README.md", "exec")
    assert len([line for line in block.splitlines() if line and not line.startswith("import")]) <= 6


def test_it_is_short() -> None:
    assert len(TEXT.splitlines()) <= 250


def table(first: str) -> list[list[str]]:
    """Rows of the table whose header's first cell is `first`."""
    lines = TEXT.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| {first} |"))
    end = next(i for i in range(start, len(lines)) if not lines[i].startswith("|"))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start + 2 : end]]


def test_the_studies_table_is_the_folder() -> None:
    shown = {row[0].strip("`") for row in table("study")}
    assert shown == {path.stem for path in (ROOT / "search_spaces").glob("*.yaml")} - {"template"}


def test_every_link_to_a_file_leads_somewhere() -> None:
    targets = [t for t in re.findall(r"\]\(([^)]+)\)", TEXT) if not t.startswith("http")]
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_the_order_is_a_newcomers() -> None:
    headings = re.findall(r"^## (.*)$", TEXT, re.MULTILINE)
    assert headings == [
        "The two commands",
        "60 seconds",
        "A real study",
        "Your own CSV",
        "Python",
        "A cluster",
        "What it is not for, and what else there is",
        "Where to go on",
    ]
    assert TEXT.index("how sure are we?") < TEXT.index("docs/report.png") < TEXT.index("## The two commands")
