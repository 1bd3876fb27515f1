"""The rooms hold: each says in its `__init__` which rooms it may import, and imports no other, in a function neither.

    May import: util, tasks, analysis.load.
    Libraries: torch.

Rooms of the same half (bench, analysis) are named without it. Libraries are the heavy ones that its modules may import
at their top. A folder without these lines is part of the room around it. No list of exceptions.
"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from finebench.bench.methods import methods
from finebench.bench.tasks import tasks

ROOT = Path(__file__).parent.parent
HALVES = ("bench", "analysis")
HEAVY = {
    *("torch", "ray", "transformers", "peft", "pandas", "optuna", "pyarrow", "datasets", "sklearn", "scipy"),
    *("evaluate", "altair", "rich", "typer", "jinja2"),
}
MOST_MODULES, MOST_LINES, MOST_ROOMS = 17, 300, 12
ONE_IDEA_A_FILE = {"bench.methods", "bench.tasks", "bench.metrics", "analysis.statistics"}
"""Rooms that grow by a file for each thing that is added."""


class Import(NamedTuple):
    """`module` imports `name`: at its top level, inside a function, or for types alone."""

    module: str
    name: str
    top: bool
    types: bool = False


class Rule(NamedTuple):
    """What a room says of itself."""

    rooms: frozenset[str]
    libraries: frozenset[str]


def modules() -> dict[str, Path]:
    """All modules of both halves by name, without `finebench.`"""
    files = [path for half in HALVES for path in (ROOT / half).rglob("*.py")]
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for path in files]
    return dict(zip(names, files, strict=True))


MODULES = modules()


def named(line: str, text: str) -> list[str]:
    """The names after "LINE: ", which may run over several lines and end with a full stop."""
    found = re.search(rf"^{line}: ([^.]*(?:\.[a-z_][^.]*)*)\.$", text, re.MULTILINE)
    return [] if found is None else [name for name in re.split(r",\s+", found[1]) if name != "nothing"]


def rules() -> dict[str, Rule]:
    """Each room's own rule."""
    found = {}
    for name, path in MODULES.items():
        text = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "") if path.stem == "__init__" else ""
        if re.search(r"^May import: ", text, re.MULTILINE):
            half = name.split(".")[0]
            rooms = (one if one.startswith(HALVES) else f"{half}.{one}" for one in named("May import", text))
            found[name] = Rule(frozenset(rooms), frozenset(named("Libraries", text)))
    return found


RULES = rules()


def room(module: str) -> str:
    """The room that a module stands in; the half itself for what stands in none."""
    parts = module.split(".")
    outer = (".".join(parts[:end]) for end in range(len(parts), 0, -1))
    return next((name for name in outer if name in RULES), parts[0])


def imports(module: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    inside = {id(node) for function in functions for node in ast.walk(function)}
    typing_only = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    types = {id(node) for block in typing_only for node in ast.walk(block)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = []
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                names.append(whole if whole.removeprefix("finebench.") in MODULES else str(node.module))
        else:
            continue
        for name in names:
            yield Import(module, name.removeprefix("finebench."), id(node) not in inside | types, id(node) in types)


def named_in_strings(path: Path) -> Iterator[str]:
    """Rooms and modules that a module opens by their names, not by an import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("finebench."):
            name = node.value.removeprefix("finebench.").partition(":")[0]
            if name in MODULES:
                yield name


ALL = [found for name, path in MODULES.items() for found in imports(name, path)]
OURS = [found for found in ALL if found.name in MODULES]


def test_there_are_rooms_and_nothing_beside_them() -> None:
    assert {module for module in MODULES if room(module) in HALVES} == set(HALVES)


@pytest.mark.parametrize("half", HALVES)
def test_a_half_has_at_most_a_dozen_rooms(half: str) -> None:
    assert 0 < sum(name.count(".") == 1 for name in RULES if name.startswith(half)) <= MOST_ROOMS


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_room_imports_what_it_says_and_no_more(name: str) -> None:
    used = {room(one.name) for one in OURS if room(one.module) == name} - {name, *HALVES}
    assert used == RULES[name].rooms
    top = {one.name.split(".")[0] for one in ALL if one.top and room(one.module) == name}
    assert top & HEAVY == RULES[name].libraries


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_room_opens_none_by_its_name_that_it_may_not_import(name: str) -> None:
    own = {module: path for module, path in MODULES.items() if room(module) == name}
    named = {(module, room(other)) for module, path in own.items() for other in named_in_strings(path)}
    assert {(module, other) for module, other in named if other not in RULES[name].rooms | {name}} == set()


def test_no_room_imports_in_a_circle() -> None:
    list(TopologicalSorter({name: rule.rooms for name, rule in RULES.items()}).static_order())


def test_no_module_imports_in_a_circle() -> None:
    """Functions included; what is imported for types alone is not there when a program runs."""
    graph: dict[str, set[str]] = {name: set() for name in MODULES}
    for found in OURS:
        if found.name != found.module and not found.types:
            graph[found.module].add(found.name)
    list(TopologicalSorter(graph).static_order())


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_room_says_what_it_is_for_and_is_small(name: str) -> None:
    text = ast.get_docstring(ast.parse(MODULES[name].read_text(encoding="utf-8"))) or ""
    assert re.search(r"^In: .+\.$", text, re.MULTILINE)
    assert re.search(r"^Out: .+\.$", text, re.MULTILINE)
    inside = [module for module in MODULES if module != name and MODULES[module].parent == MODULES[name].parent]
    assert len(inside) <= MOST_MODULES or name in ONE_IDEA_A_FILE


@pytest.mark.parametrize("half", HALVES)
def test_no_module_is_long(half: str) -> None:
    lines = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES and name.startswith(half)} == {}


def offenders(names: list[str], heavy: set[str]) -> str:
    """Import modules one after the other in a fresh process; a line for each that brought in something heavy."""
    code = f"""
import importlib, sys
heavy, seen = {heavy!r}, set()
for name in {names!r}:
    importlib.import_module("finebench." + name)
    new = sorted(heavy & set(sys.modules) - seen)
    seen |= set(new)
    if new:
        print(name, "brought in", ", ".join(new))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_study_is_read_and_planned_without_anything_heavy() -> None:
    """By what these rooms import, and all that those import in turn."""
    light = ("bench.study", "bench.tasks", "bench.metrics")
    assert offenders(sorted(name for name in MODULES if room(name) in light and "_module" not in name), HEAVY) == ""


def test_analysis_knows_neither_ray_nor_torch() -> None:
    names = sorted(name for name in MODULES if name.startswith("analysis"))
    assert offenders(names, {"torch", "ray", "transformers", "peft", "optuna", "datasets"}) == ""


def test_statistics_know_numpy_and_scipy_only() -> None:
    own = [one for one in ALL if room(one.module) == "analysis.statistics" and one.name not in MODULES]
    assert {one.name.split(".")[0] for one in own} - set(sys.stdlib_module_names) == {"numpy", "scipy"}


@pytest.mark.parametrize(
    "arguments", [["--help"], ["methods", "--help"], ["tasks", "--json"], ["plan", "quickstart", "--json"]]
)
def test_quick_commands_pay_for_neither_torch_nor_ray(arguments: list[str]) -> None:
    code = f"""
import sys
from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
code = guarded(lambda: app({arguments!r}, standalone_mode=False))
heavy = {{"torch", "ray", "transformers", "peft", "pandas", "optuna", "datasets"}} & set(sys.modules)
sys.exit(f"brought in {{sorted(heavy)}}" if heavy else code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


# Names that are ordinary English words (full, head, adapter, prefix, prompt) cannot be searched for.
UNUSUAL = ["bitfit", "dora", "ia3", "vera"]


@pytest.mark.parametrize("name", UNUSUAL)
def test_no_method_is_named_in_shared_code(name: str) -> None:
    assert name in methods()
    assert [module for module, path in MODULES.items() if name in words(path)] == [f"bench.methods.{name}"]


def words(path: Path) -> set[str]:
    """Words of a file, punctuation apart."""
    text = path.read_text(encoding="utf-8")
    return set("".join(c if c.isalnum() or c in "-_" else " " for c in text).split())


def test_no_task_is_named_in_shared_code() -> None:
    names = set(tasks())
    wrong = [
        f"{module} names {sorted(named)}"
        for module, path in MODULES.items()
        if not module.startswith(("bench.tasks", "bench.data.embedded")) and (named := names & constants(path))
    ]
    assert wrong == []


def constants(path: Path) -> set[str]:
    """String constants of a file; a docstring is never just a task's name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
