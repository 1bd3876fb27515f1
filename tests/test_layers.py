"""The layers hold: no upward import, nothing heavy where it is not needed, no method or task named in shared code."""

import ast
import fnmatch
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from finebench.bench.methods import methods
from finebench.bench.tasks import tasks

ROOT = Path(__file__).parent.parent

HEAVY = {
    "torch",
    "ray",
    "transformers",
    "peft",
    "pandas",
    "optuna",
    "pyarrow",
    "datasets",
    "sklearn",
    "scipy",
    "evaluate",
}

# Lowest first; a module may import, at its top level, modules of its own layer and of those below it.
LAYERS: dict[str, str] = {
    "pure": """errors registry study claim_seeds claim_needs study_file safe_yaml space budget seeds trial identify plan
        plan_file cost unsettled configurations
        splits choice architecture pooler hub model_folder methods methods.* probe reads roles shapes adapter_places
        tasks tasks.* metrics metrics.* rows classes arrow_files files shards own_tasks leakage facts sources
        token_cache cache evaluation heap meter cargo waves precision cores solitude
        shipment stop places streams scope slots
        estimate quick_imports embedded embedded.*""",
    "schema": """schema s3 store segments tables lookup record results counts merge writer compact verify
        conductor outcome recorder calibration shares
        packing first_seeds pack_timing pack_sizes retries prepare preflight forecast lock keeper kernel leftovers
        suggestions within""",
    "torch": """data features frozen linear_probe model training resident checkpoint member trainer timing
        audit parts each_step job optimiser prediction make_job probing bottleneck peft_adapter peft_options
        peft_steps peft_effects delta inprocess keep dropout attention stack stacked_adamw lockstep losses
        recompute padding rehearsal preflight_child narrow
        spared determinism faults""",
    "ray": "search worker cluster own_ray ray_parts bridge actors sweep",
    "edge": """cli propose tracker tracker_child commands console compare upkeep show progress run opening rerun
        doctor new datasets_hub
        metrics._module embedded.evidence embedded.baselines embedded.pretrain embedded.vocabulary""",
}
MAY_IMPORT = {
    "pure": set[str](),
    "schema": {"pyarrow"},
    "torch": {"pyarrow", "torch", "transformers", "peft"},
    "ray": {"pyarrow", "ray", "optuna"},
    "edge": HEAVY,
}
# Imports inside functions that reach upward, by design; this list may only shrink.
LAZY_UPWARD = {
    ("methods.*", "torch"),  # `apply` builds modules
    ("metrics", "edge"),  # metric modules for `evaluate`
    ("sources", "edge"),  # GLUE from the hub
    ("probe", "torch"),  # counts what has no closed form, in a subprocess of its own
}


class Import(NamedTuple):
    """`module` imports `name`, at its top level or inside a function."""

    module: str
    name: str
    top: bool


def files(package: str) -> dict[str, Path]:
    folder = ROOT / package
    names = {".".join(p.relative_to(folder).with_suffix("").parts): p for p in folder.rglob("*.py")}
    return {name.removesuffix(".__init__") if name != "__init__" else "": path for name, path in names.items()}


BENCH = {name: path for name, path in files("bench").items() if name}
ANALYSIS = files("analysis")


def layer(module: str) -> str:
    exact = [name for name, listed in LAYERS.items() if module in listed.split()]
    named = exact or [n for n, listed in LAYERS.items() if any(fnmatch.fnmatchcase(module, p) for p in listed.split())]
    assert len(named) == 1, f"bench/{module.replace('.', '/')}.py stands in {named or 'no layer'}: see LAYERS here"
    return named[0]


def imports(module: str, path: Path) -> Iterator[Import]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    skipped = {id(n) for block in typing_only for n in ast.walk(block)}
    inside = {
        id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = [str(node.module)]
            names += [
                f"{node.module}.{a.name}"
                for a in node.names
                if f"{node.module}.{a.name}".removeprefix("bench.") in BENCH
            ]
        else:
            continue
        yield from (Import(module, name, id(node) not in inside) for name in names)


ALL = [found for name, path in BENCH.items() for found in imports(name, path)]


def test_every_module_has_one_layer() -> None:
    assert {layer(name) for name in BENCH} == set(LAYERS)


def test_no_import_reaches_upward() -> None:
    order = list(LAYERS)
    upward = []
    for found in ALL:
        target = found.name.removeprefix("bench.")
        if not found.name.startswith("bench.") or target not in BENCH:
            continue
        own, other = layer(found.module), layer(target)
        excused = not found.top and any(fnmatch.fnmatchcase(found.module, p) and other == to for p, to in LAZY_UPWARD)
        if order.index(other) > order.index(own) and not excused:
            upward.append(f"{found.module} ({own}) imports {target} ({other}){'' if found.top else ' in a function'}")
    assert upward == []


def test_every_exception_is_still_needed() -> None:
    used = {
        (pattern, to)
        for pattern, to in LAZY_UPWARD
        for found in ALL
        if fnmatch.fnmatchcase(found.module, pattern) and found.name.removeprefix("bench.") in BENCH and not found.top
        if layer(found.name.removeprefix("bench.")) == to != layer(found.module)
    }
    assert used == LAZY_UPWARD


def test_heavy_libraries_are_imported_only_where_they_may_be() -> None:
    wrong = [
        f"{found.module} ({layer(found.module)}) imports {found.name}"
        for found in ALL
        if found.top and found.name.split(".")[0] in HEAVY - MAY_IMPORT[layer(found.module)]
    ]
    assert wrong == []


def offenders(modules: list[str], heavy: set[str]) -> str:
    """Import the modules one after the other in a fresh process; a line for each that brought in something heavy."""
    code = f"""
import importlib, sys
heavy, seen = {heavy!r}, set()
for name in {modules!r}:
    importlib.import_module(name)
    new = sorted(heavy & set(sys.modules) - seen)
    seen |= set(new)
    if new:
        print(name, "brought in", ", ".join(new))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(("name", "allowed"), [("pure", set[str]()), ("schema", {"pyarrow"})])
def test_importing_a_layer_brings_in_nothing_heavy(name: str, allowed: set[str]) -> None:
    modules = [f"bench.{module}" for module in sorted(BENCH) if layer(module) == name]
    assert modules
    assert offenders(modules, HEAVY - allowed) == ""


def test_analysis_knows_neither_ray_nor_torch() -> None:
    modules = [f"analysis.{name}" if name else "analysis" for name in sorted(ANALYSIS)]
    assert offenders(modules, {"torch", "ray", "transformers", "peft", "optuna", "datasets"}) == ""


def test_analysis_imports_of_bench_only_what_is_pure_or_schema() -> None:
    found = {i.name.removeprefix("bench.") for name, path in ANALYSIS.items() for i in imports(name, path)}
    used = {name for name in found if name in BENCH}
    assert {name: layer(name) for name in used if layer(name) not in ("pure", "schema")} == {}
    assert used


def test_statistics_know_numpy_and_scipy_only() -> None:
    allowed = {"numpy", "scipy", "analysis", *sys.stdlib_module_names}
    wrong = [
        f"{name} imports {found.name}"
        for name, path in ANALYSIS.items()
        if name.startswith("statistics")
        for found in imports(name, path)
        if found.name.split(".")[0] not in allowed
        or (found.name.startswith("analysis") and not found.name.startswith("finebench.analysis.statistics"))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "arguments", [["--help"], ["methods", "--help"], ["tasks", "--json"], ["plan", "quickstart", "--json"]]
)
def test_quick_commands_pay_for_neither_torch_nor_ray(arguments: list[str]) -> None:
    code = f"""
import sys
from finebench.bench.cli.app import app, guarded
code = guarded(lambda: app({arguments!r}, standalone_mode=False))
heavy = {{"torch", "ray", "transformers", "peft", "pandas", "optuna", "datasets"}} & set(sys.modules)
sys.exit(f"brought in {{sorted(heavy)}}" if heavy else code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr


# Names that are ordinary English words (full, head, adapter, prefix, prompt) cannot be searched for.
UNUSUAL = ["bitfit", "dora", "ia3", "vera"]


@pytest.mark.parametrize("name", UNUSUAL)
def test_no_method_is_named_in_shared_code(name: str) -> None:
    assert name in methods()
    assert [module for module, path in BENCH.items() if name in words(path)] == [f"methods.{name}"]


def words(path: Path) -> set[str]:
    """Words of a file, punctuation apart."""
    text = path.read_text(encoding="utf-8")
    return set("".join(c if c.isalnum() or c in "-_" else " " for c in text).split())


def test_no_task_is_named_in_shared_code() -> None:
    names = set(tasks())
    wrong = [
        f"{module} names {sorted(named)}"
        for module, path in BENCH.items()
        if not module.startswith(("tasks", "embedded")) and (named := names & constants(path))
    ]
    assert wrong == []


def constants(path: Path) -> set[str]:
    """String constants of a file; a docstring is never just a task's name."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
