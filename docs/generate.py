"""What the reference pages take from the code: commands, study keys, results columns, claims.json, Python, registries.

    write(Path("docs/_generated"))    # one Markdown file each, which the pages include

A fact that stands here is read from where the program has it, so that it cannot be out of date.
"""

import ast
import inspect
import json
import re
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from typer.main import get_command

import finebench as fb
from finebench.analysis.claims import judge
from finebench.bench.cli import app
from finebench.bench.cli import exit_codes as codes
from finebench.bench.cli.json_schema import study_schema
from finebench.bench.driver.forecast import find_architecture
from finebench.bench.methods import TUNABLE, method, methods
from finebench.bench.methods.cost import method_cost
from finebench.bench.metrics import METRICS
from finebench.bench.results import schema
from finebench.bench.study.findings import RESERVED
from finebench.bench.study.load import SPACES
from finebench.bench.tasks import tasks

ROOT = Path(__file__).parent.parent

MODEL = "google-bert/bert-base-uncased"
"""On which the methods' parameters are counted."""

MEANINGS = {
    "EXIT_BAD_INPUT": "the input is wrong (one message names the file, the key and the choices), or the storage failed",
    "EXIT_FAILED_TRIALS": "`run`: some trial failed or diverged; they are listed, with the reason. "
    "`verify`: a problem was found. `rerun`: the score is another one",
    "EXIT_REFUTED": "`report --check-claims`: a claim is refuted; it is named",
    "EXIT_INTERRUPTED": "interrupted; the same command goes on",
}


def write(folder: Path) -> None:
    """Write every part, the study's JSON schema and the published studies' reports into a folder."""
    (folder / "schema").mkdir(parents=True, exist_ok=True)
    for name, make in PARTS.items():
        (folder / f"{name}.md").write_text(make(), encoding="utf-8")
    text = json.dumps(study_schema(), indent=2) + "\n"
    (folder / "schema" / "study.schema.json").write_text(text, encoding="utf-8")
    shutil.rmtree(folder / "reports", ignore_errors=True)
    (folder / "reports").mkdir()
    for page in ROOT.glob("docs/studies/*/results/report/index.html"):
        to = folder / "reports" / page.relative_to(ROOT / "docs").parent.parent.parent
        to.mkdir(parents=True, exist_ok=True)
        shutil.copy(page, to / "report.html")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; a vertical line in a cell is escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


# Commands


def commands() -> str:
    """Every command with its arguments, options and example."""
    group: Any = get_command(app.app)
    root = group.context_class(group, info_name="finebench")
    listed = ((name, group.get_command(root, name)) for name in group.list_commands(root))
    return "\n".join([_options(group, root), *(_command(name, one, root) for name, one in listed if not one.hidden)])


def _command(name: str, command: Any, root: Any) -> str:
    context = command.context_class(command, info_name=name, parent=root)
    usage = " ".join(["finebench", name, *command.collect_usage_pieces(context)])
    said = inspect.cleandoc(command.help or "").replace("\f", "")
    return (
        f"## finebench {name}\n\n{said}\n\n```text\n{usage}\n```\n\n{_options(command, context)}\n"
        f"{command.epilog or ''}\n"
    )


def _options(command: Any, context: Any) -> str:
    """Arguments and options as `--help` words them."""
    records = [one.get_help_record(context) for one in command.get_params(context)]
    return table(["argument or option", "meaning"], [[f"`{names}`", said] for names, said in filter(None, records)])


def exit_codes() -> str:
    """Exit codes, each with its meaning; a code without one is a KeyError."""
    named = {name: value for name, value in vars(codes).items() if name.startswith("EXIT_")}
    rows = [(0, "all trials ended well, or were pruned")] + [(value, MEANINGS[name]) for name, value in named.items()]
    return table(["exit code", "meaning"], [[f"`{code}`", meaning] for code, meaning in sorted(rows)])


# The study file


def study_keys() -> str:
    """Every key of a study, part by part, with what may stand there and its default."""
    whole = study_schema()
    parts = {"Study": whole, **whole["$defs"]}
    rows = {name: list(_keys(part, parts)) for name, part in parts.items() if "properties" in part}
    beside = ", ".join(f"`{key}`" for key in sorted({*RESERVED, *TUNABLE}))
    shown = [
        f"## {name}\n\n{_said(parts[name])}\n\n{table(['key', 'value', 'default'], found)}"
        for name, found in rows.items()
    ]
    return "\n".join(shown) + f"\nBeside its own hyperparameters, a method's space may hold: {beside}.\n"


def _said(part: dict[str, Any]) -> str:
    """The first sentence of a part's description."""
    return " ".join(str(part.get("description", "")).split()).partition(". ")[0].removesuffix(".") + "."


def _keys(part: dict[str, Any], parts: dict[str, Any]) -> Iterator[list[str]]:
    for key, value in part["properties"].items():
        needed = key in part.get("required", ())
        default = "**needed**" if needed else f"`{json.dumps(value['default'])}`" if "default" in value else ""
        said = f" — {value['description']}" if "description" in value else ""
        yield [f"`{key}`", _kind(value, parts) + said, default]


def _kind(value: dict[str, Any], parts: dict[str, Any]) -> str:
    """What a JSON schema allows, in words."""
    if "$ref" in value:
        name = value["$ref"].rpartition("/")[2]
        return f"[{name}](#{name.lower()})" if "properties" in parts[name] else _kind(parts[name], parts)
    for several in ("anyOf", "oneOf"):
        if several in value:
            return " or ".join(dict.fromkeys(_kind(one, parts) for one in value[several]))
    if "enum" in value:
        return ", ".join(f"`{one}`" for one in value["enum"])
    if "const" in value:
        return f"`{value['const']}`"
    if value.get("type") == "array":
        return f"list of {_kind(value.get('items', {}), parts)}"
    words = {"object": "mapping", "null": "nothing", "string": "text", "boolean": "`true` or `false`"}
    given: str | list[str] = value.get("type", "anything")
    kind = " or ".join(words.get(one, one) for one in (given if isinstance(given, list) else [given]))
    signs = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    bounds = [f"{sign} {value[key]}" for key, sign in signs.items() if key in value]
    return f"{kind} {' and '.join(bounds)}".strip()


def template() -> str:
    """The commented study that `finebench new` writes."""
    file = SPACES / "template.yaml"
    return f"```yaml\n{file.read_text(encoding='utf-8')}```\n"


# Results


def columns() -> str:
    """Every column of the results' three tables, with the comment that stands beside it in the schema."""
    source = inspect.getsource(schema)
    return "\n".join(
        f"## {name}\n\n{table(['column', 'type', 'meaning'], list(_columns(name, source)))}" for name in schema.TABLES
    )


def _columns(name: str, source: str) -> Iterator[list[str]]:
    lines = source[source.index(f"{name.upper()} = pa.schema(") :].splitlines()
    notes = dict(_notes(lines))
    for field in schema.TABLES[name]:
        null = "" if field.nullable else ", never null"
        yield [f"`{field.name}`", f"{field.type}{null}", notes[field.name]]


def _notes(lines: list[str]) -> Iterator[tuple[str, str]]:
    """Columns and their comments: above a column, or behind it."""
    above: list[str] = []
    for line in lines:
        if line.startswith(")"):
            return
        if found := re.search(r'pa\.field\("(\w+)".*?\),(?:\s*# (.*))?$', line):
            yield found[1], " ".join([*above, found[2] or ""]).strip()
            above = []
        elif line.strip().startswith("#"):
            above.append(line.strip().removeprefix("# "))


def claims_json() -> str:
    """The keys of claims.json, as the module that writes it says them."""
    text = inspect.cleandoc(judge.__doc__ or "")
    return f"```text\n{text}\n```\n"


# Registries


def method_table() -> str:
    """Every method with what it trains on BERT-base."""
    arch = find_architecture(MODEL)
    rows = []
    for name, cls in methods().items():
        counted = None if name.endswith(":") else method_cost.count(method(name)(), arch, 2)
        trained = "" if counted is None else f"{counted.encoder + counted.head:,}"
        rows.append([f"`{name}<TYPE>`" if name.endswith(":") else f"`{name}`", cls.summary, trained, cls.paper])
    return table(["method", "trains", f"parameters on {MODEL}", "source"], rows)


def hyperparameters() -> str:
    """Every method's hyperparameters, with bounds, defaults, and the space that is proposed for them."""
    shown = []
    for name, cls in methods().items():
        if not name.endswith(":"):
            made = cls.model_json_schema()
            keys = table(["hyperparameter", "value", "default"], list(_keys(made, made.get("$defs", {}))))
            shown.append(f"### {name}\n\n{keys}\nProposed space: `{json.dumps(cls.default_space)}`.\n")
    return "\n".join(shown)


def task_table() -> str:
    """Every built-in task."""
    rows = [
        [f"`{one.name}`", one.summary, one.kind, ", ".join(one.metrics), one.reference, one.licence]
        for one in tasks().values()
    ]
    return table(["task", "question", "kind", "metrics, the score first", "reference", "licence"], rows)


def metric_table() -> str:
    """Every metric."""
    rows = [
        [f"`{one.name}`", one.summary, one.kind, one.needs, "more" if one.higher_is_better else "less"]
        for one in METRICS.values()
    ]
    return table(["metric", "what it is", "kind", "needs", "better"], rows)


# Python


def python() -> str:
    """Every public name of `import finebench`: its docstring, and those of its methods with their signatures."""
    return "\n".join(_name(name, getattr(fb, name)) for name in fb.__all__ if not name.startswith("_"))


def _name(name: str, found: Any) -> str:
    said = inspect.cleandoc(found.__doc__ or "")
    if found is fb.keys:
        return f"## fb.{name}\n\n{said}\n\n{_typed(found)}"
    if not isinstance(found, type):
        return f"## fb.{name}\n\n{_signature('fb.' + name, found)}\n\n{said}\n"
    if not found.__module__.startswith("finebench._"):  # a door's, which has a page of its own
        return f"## fb.{name}\n\n{said}\n"
    own = {key: one for key, one in vars(found).items() if not key.startswith("_")}
    parts = [_member(f"{name}.{key}", getattr(one, "__func__", one)) for key, one in own.items()]
    return "\n".join([f"## fb.{name}\n\n{said}\n", *filter(None, parts)])


def _member(name: str, found: Any) -> str:
    """A method, or a property."""
    said = inspect.cleandoc(getattr(found, "__doc__", None) or "")
    if inspect.isfunction(found):
        return f"### {name}\n\n{_signature('.' + found.__name__, found)}\n\n{said}\n"
    return f"### {name}\n\n{said}\n" if isinstance(found, property | cached_property) else ""


def _signature(name: str, found: Any) -> str:
    """As it is written in the code."""
    (made,) = ast.parse(textwrap.dedent(inspect.getsource(found))).body
    given = made.args  # type: ignore[attr-defined]
    given.args = [one for one in given.args if one.arg not in ("self", "cls")]
    return f"```text\n{name}({ast.unparse(given)}) -> {ast.unparse(made.returns)}\n```"  # type: ignore[attr-defined]


def _typed(module: Any) -> str:
    """The types of a study's keys, as they are written in the code."""
    tree = ast.parse(inspect.getsource(module))
    rows = [
        [f"`{one.name}`", ", ".join(f"`{part.target.id}: {ast.unparse(part.annotation)}`" for part in one.body
                                    if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name))]
        for one in tree.body if isinstance(one, ast.ClassDef)
    ]  # fmt: skip
    return table(["type", "keys"], rows)


# The code


def rooms() -> str:
    """Every package of the two folders, in the first paragraph of its own words."""
    found = [one.parent for top in ("bench", "analysis") for one in sorted((ROOT / top).rglob("__init__.py"))]
    said = [ast.get_docstring(ast.parse((one / "__init__.py").read_text(encoding="utf-8"))) or "" for one in found]
    rows = [
        [f"`{one.relative_to(ROOT)}/`", " ".join(text.split("\n\n")[0].split())]
        for one, text in zip(found, said, strict=True)
    ]
    return table(["folder", "what it is"], rows)


PARTS: dict[str, Callable[[], str]] = {
    "commands": commands,
    "exit-codes": exit_codes,
    "study-keys": study_keys,
    "template": template,
    "columns": columns,
    "claims-json": claims_json,
    "methods": method_table,
    "hyperparameters": hyperparameters,
    "tasks": task_table,
    "metrics": metric_table,
    "python": python,
    "rooms": rooms,
}
