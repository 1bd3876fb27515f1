"""Present means registered: a method or a task exists because its file is in bench/methods or bench/tasks.

A method module holds one `Method` subclass; a task module holds one `TASK`. Files whose names begin with `_` are
helpers. A method whose name ends with a colon is a family: `peft:` answers for every `peft:<TYPE>`.
"""

import importlib
import pkgutil
from functools import cache
from types import ModuleType

from bench.errors import MethodError, StudyError, choose
from bench.methods import Method
from bench.tasks import Task


def _modules(package: str) -> list[ModuleType]:
    paths = importlib.import_module(package).__path__
    names = sorted(info.name for info in pkgutil.iter_modules(paths) if not info.name.startswith("_"))
    return [importlib.import_module(f"{package}.{name}") for name in names]


@cache
def methods() -> dict[str, type[Method]]:
    """All methods by name; a family stands under its prefix (`peft:`)."""
    found: dict[str, type[Method]] = {}
    for module in _modules("bench.methods"):
        for value in vars(module).values():
            is_method = isinstance(value, type) and issubclass(value, Method) and value.__module__ == module.__name__
            if is_method and "name" in vars(value):
                found[value.name] = value
    return found


@cache
def tasks() -> dict[str, Task]:
    """All built-in tasks by name."""
    found = (module.TASK for module in _modules("bench.tasks"))
    return {task.name: task for task in found}


@cache
def method(name: str) -> type[Method]:
    """The method of this name; raises MethodError with the choices and a guess."""
    known = methods()
    if name in known and not name.endswith(":"):
        return known[name]
    prefix, colon, member = name.partition(":")
    family = known.get(prefix + colon) if colon and member else None
    if family is not None:
        return family.member(member)
    raise MethodError(choose("method", name, (n + "<TYPE>" if n.endswith(":") else n for n in known)))


def task(name: str) -> Task:
    """The built-in task of this name; raises StudyError with the choices and a guess."""
    known = tasks()
    if name in known:
        return known[name]
    raise StudyError(choose("task", name, known))
