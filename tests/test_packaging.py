"""The wheel: what is in it, what is not, and that it works from an empty folder with nothing but itself."""

import ast
import json
import re
import subprocess
import sys
import sysconfig
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Iterable
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from finebench.bench import __version__

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "finebench"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--wheel-dir", str(folder)]
    run([*command, "--no-deps", "--no-build-isolation", "--no-index", "--quiet"], ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment that holds the wheel alone; the dependencies are lent to it, this checkout is not."""
    folder = tmp_path_factory.mktemp("env")
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    purelib = Path(run([python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], folder).strip())
    (purelib / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", "--quiet"]
    run([*pip, "--ignore-installed", wheel], folder)
    return folder


def run(command: list[Any], folder: Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_an_sdist_makes_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    """As `python -m build` does, which makes its wheel of it."""
    code = "from hatchling.build import *; import sys; print({}(sys.argv[1]))"
    made = run([sys.executable, "-c", code.format("build_sdist"), tmp_path], ROOT).split()[-1]
    with tarfile.open(tmp_path / made) as archive:
        archive.extractall(tmp_path / "from", filter="data")
    (root,) = (tmp_path / "from").iterdir()
    again = run([sys.executable, "-c", code.format("build_wheel"), tmp_path], root).split()[-1]
    assert names(tmp_path / again) == names(wheel)
    assert {"finebench/bench/__init__.py", "finebench/search_spaces/quickstart.yaml"} <= names(wheel)


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


BOUNDED = ("torch", "transformers", "peft", "ray", "optuna")
"""What breaks with its major versions."""


def requirements() -> list[Requirement]:
    """All that the project asks for, extras included; what only its developers install apart."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    own = ("dev", "fuzz", "docs")
    extras = {name: lines for name, lines in project["optional-dependencies"].items() if name not in own}
    return [Requirement(line) for lines in (project["dependencies"], *extras.values()) for line in lines]


def pins(file: str) -> dict[str, str]:
    """The versions that a constraints file names."""
    lines = [Requirement(line) for line in (ROOT / file).read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    return {canonicalize_name(one.name): str(one.specifier).removeprefix("==") for one in lines}


def test_the_lowest_versions_that_are_allowed_are_those_that_are_tested() -> None:
    tested = pins("constraints-lowest.txt")
    for one in requirements():
        (lowest,) = [part.version for part in one.specifier if part.operator == ">="]
        assert Version(tested[canonicalize_name(one.name)]) == Version(lowest), one


def test_what_is_pinned_is_allowed_and_majors_that_break_are_not() -> None:
    pinned = pins("constraints.txt")
    for one in requirements():
        assert one.specifier.contains(pinned[canonicalize_name(one.name)]), one
        if one.name in BOUNDED:
            major = Version(pinned[one.name]).major
            assert not one.specifier.contains(f"{major + 1}.0"), one


def test_its_name_says_the_version(wheel: Path) -> None:
    assert wheel.name == f"finebench-{__version__}-py3-none-any.whl"


def test_it_puts_one_name_on_the_import_path(wheel: Path) -> None:
    tops = {name.split("/")[0] for name in names(wheel)}
    assert tops == {"finebench", f"finebench-{__version__}.dist-info"}


def test_every_file_of_the_packages_is_in_it(wheel: Path) -> None:
    wanted = {
        f"finebench/{path.relative_to(base)}"
        for folder, base in (("bench", ROOT), ("analysis", ROOT), ("search_spaces", ROOT), ("src/finebench", SOURCE))
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted - names(wheel) == set()
    assert any(name.endswith(".safetensors") for name in wanted)
    assert {"finebench/py.typed", "finebench/analysis/report/templates/index.html"} <= wanted


def test_it_installs_one_command_and_no_tests(wheel: Path, installed: Path) -> None:
    assert [name for name in names(wheel) if "test" in name.lower()] == []
    assert (installed / "bin" / "finebench").is_file()


@pytest.mark.parametrize("command", ["methods --json", "tasks --json", "plan quickstart --json"])
def test_it_works_from_an_empty_folder(installed: Path, tmp_path: Path, command: str) -> None:
    found = json.loads(run([installed / "bin" / "finebench", *command.split()], tmp_path))
    assert found
    assert list(tmp_path.iterdir()) == []


def test_what_runs_there_is_the_wheel(installed: Path, tmp_path: Path) -> None:
    where = run(
        [installed / "bin" / "python", "-c", "import finebench.analysis; print(finebench.analysis.__file__)"], tmp_path
    )
    assert Path(where.strip()).is_relative_to(installed)


UNREAD = "finebench.bench.*,finebench.analysis.*,pandas.*,altair.*,rich.*,pydantic.*"
"""What a user's script rests on and does not name: reading it takes minutes, and `make lint` has checked ours."""


def test_a_users_script_is_checked_by_the_installed_packages_types(installed: Path, tmp_path: Path) -> None:
    """Whole under `--strict`, which also finds an ignored error that is none."""
    unread = f"[mypy-{UNREAD}]\nfollow_imports = skip\nfollow_imports_for_stubs = true\n"
    (tmp_path / "mypy.ini").write_text(f"[mypy]\nstrict = true\n{unread}", "utf-8")
    (tmp_path / "script.py").write_text((ROOT / "tests/api/user_script.py").read_text(encoding="utf-8"), "utf-8")
    python = ["--python-executable", installed / "bin" / "python", "--cache-dir", tmp_path / "cache"]
    said = run([sys.executable, "-m", "mypy", *python, "script.py"], tmp_path)
    assert said.startswith("Success: no issues found in 1 source file"), said


def project() -> dict[str, Any]:
    read: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return read


def bare(requirements: Iterable[str]) -> set[str]:
    """Distribution names without versions and extras, in one spelling."""
    return {
        re.split(r"[\[><=!~ ;]", requirement)[0].lower().replace(".", "-").replace("_", "-")
        for requirement in requirements
    }


def test_every_dependency_says_why_it_is_there() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    block = text[text.index("\ndependencies = [") : text.index("\n]", text.index("\ndependencies = ["))]
    own = [line for line in block.splitlines() if line.strip().startswith('"')]
    assert len(own) == len(project()["dependencies"])
    assert [line for line in own if "#" not in line] == []


def imported() -> set[str]:
    """Distributions that bench and analysis import, anywhere."""
    names = set()
    for package in ("bench", "analysis", "src/finebench"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names |= {alias.name.split(".")[0] for alias in node.names}
                elif isinstance(node, ast.ImportFrom):
                    names.add(str(node.module).split(".")[0])
    known = packages_distributions()
    third = names - set(sys.stdlib_module_names) - {"finebench"}
    return bare(
        known.get(name, {"pynvml": ["nvidia-ml-py"], "mlflow": ["mlflow-skinny"]}.get(name, [name]))[0]
        for name in third
    )


BY_OTHERS = {"sentencepiece"}
"""Declared, and imported by transformers alone, where a tokenizer needs it."""


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    declared = bare(project()["dependencies"])
    optional = bare(r for name, extra in project()["optional-dependencies"].items() if name != "dev" for r in extra)
    assert imported() - declared - optional == set()
    assert declared - imported() == BY_OTHERS


def test_constraints_pin_every_requirement_and_name_no_place() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pins = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line for line in pins if "==" not in line or "://" in line or "@" in line or line.startswith("-")] == []
    pinned = {line.split("==")[0].lower().replace("_", "-").replace(".", "-") for line in pins}
    asked = [*project()["dependencies"], *(r for extra in project()["optional-dependencies"].values() for r in extra)]
    assert bare(asked) - pinned == set()
