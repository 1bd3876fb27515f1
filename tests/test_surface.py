"""What users and other programs rely on is frozen: commands and options, study keys, results columns, exit codes.

A change on purpose is told in CHANGELOG.md, and the file is written anew with `python -m tests.test_surface`.
"""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from typer.models import OptionInfo

import finebench as fb
from finebench.bench.cli import app, exit_codes
from finebench.bench.methods import TUNABLE
from finebench.bench.results import schema
from finebench.bench.study.findings import RESERVED
from finebench.bench.study.schema import Study

GOLDEN = Path(__file__).parent / "golden_surface.json"


def surface() -> dict[str, Any]:
    """The whole surface as one JSON document."""
    return {
        "commands": commands(),
        "exit codes": {name: value for name, value in vars(exit_codes).items() if name.startswith("EXIT_")},
        "study": keys(Study),
        "method keys": sorted({*RESERVED, *TUNABLE}),
        "results": {
            "schema version": schema.SCHEMA_VERSION,
            "statuses": list(schema.STATUSES),
            "stages": list(schema.STAGES),
            "tables": {name: {f.name: str(f.type) for f in table} for name, table in schema.TABLES.items()},
        },
        "python": {name: members(getattr(fb, name)) for name in fb.__all__ if name != "__version__"},
    }


def members(found: Any) -> list[str]:
    """What a public name of `import finebench` holds: methods with their arguments, and all else by name."""
    if inspect.ismodule(found):
        return sorted(name for name, one in vars(found).items() if getattr(one, "__module__", "") == found.__name__)
    if not inspect.isclass(found):
        return [f"{found.__name__}({', '.join(inspect.signature(found).parameters)})"]
    if not found.__module__.startswith("finebench._"):  # what extensions are made of: each door has tests of its own
        return []
    own = {name: getattr(one, "__func__", one) for name, one in vars(found).items() if name[0] != "_"}
    own |= {name: None for name in found.__annotations__ if name[0] != "_"}
    return sorted(
        f"{name}({', '.join(inspect.signature(one).parameters)})" if inspect.isfunction(one) else name
        for name, one in own.items()
    )


def commands() -> dict[str, Any]:
    """Every command with its arguments and options."""
    callbacks = [command.callback for command in app.app.registered_commands if command.callback is not None]
    return {callback.__name__: parameters(callback) for callback in callbacks}


def parameters(callback: Callable[..., Any]) -> list[str]:
    """A command's arguments and options, a line each: kind, names, type, default."""
    return [option(one) for one in inspect.signature(callback, eval_str=True).parameters.values()]


def option(parameter: inspect.Parameter) -> str:
    """One argument or option in a line."""
    kind, info = get_args(parameter.annotation)
    default = "required" if parameter.default is inspect.Parameter.empty else f"default {parameter.default}"
    shown = kind.__name__ if isinstance(kind, type) else str(kind)
    if not isinstance(info, OptionInfo):
        return f"argument {parameter.name}, {shown}, {default}"
    declared = [info.default] if isinstance(info.default, str) else []  # Typer reads a first "--name" so
    names = " ".join([*declared, *(info.param_decls or ())]) or "--" + parameter.name.replace("_", "-")
    return f"option {names}, {shown}, {default}"


def keys(model: type[BaseModel]) -> dict[str, Any]:
    """Every key of a study, with its default."""
    whole = model.model_json_schema()
    parts = {"": whole, **whole.get("$defs", {})}
    return {
        name or model.__name__: {key: describe(value) for key, value in sorted(part.get("properties", {}).items())}
        for name, part in sorted(parts.items())
    }


def describe(value: dict[str, Any]) -> Any:
    """A key's default, or that it has none."""
    return value.get("default", "required")


def test_the_surface_is_what_it_was() -> None:
    assert surface() == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_every_command_has_help_with_an_example() -> None:
    for command in app.app.registered_commands:
        assert command.callback is not None
        name = command.callback.__name__
        assert command.callback.__doc__, name
        assert f"finebench {name}" in str(command.epilog), name
        for parameter in inspect.signature(command.callback, eval_str=True).parameters.values():
            assert get_args(parameter.annotation)[1].help, f"{name} {parameter.name}"


def test_every_key_of_a_study_part_is_closed_to_unknown_ones() -> None:
    for name, part in Study.model_json_schema().get("$defs", {}).items():
        assert part.get("additionalProperties", part.get("enum")) is not None, name


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(surface(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
