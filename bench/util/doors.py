"""Present means registered: what can be added to a package exists because its file is there.

What other installed packages add stands in their entry points, of one group for each kind of thing.
"""

import importlib
import pkgutil
from collections.abc import Iterable
from importlib import metadata
from types import ModuleType
from typing import Any, TypeVar

from finebench.bench.util.errors import InputError

T = TypeVar("T")


def modules(package: str) -> list[ModuleType]:
    """A package's modules by name; files whose names begin with `_` are helpers, folders are rooms of their own."""
    paths = importlib.import_module(package).__path__
    found = sorted(one.name for one in pkgutil.iter_modules(paths) if not one.name.startswith("_") and not one.ispkg)
    return [importlib.import_module(f"{package}.{name}") for name in found]


def entry_points(group: str) -> list[Any]:
    """What installed packages register under a group, loaded, in the order of their names; raises InputError naming one
    that cannot be loaded."""
    found = sorted(metadata.entry_points(group=group), key=lambda one: (one.name, one.value))
    return [_loaded(one) for one in found]


def _loaded(one: metadata.EntryPoint) -> Any:
    try:
        return one.load()
    except Exception as error:  # it is someone else's code, which may raise anything
        of = "" if one.dist is None else f" of {one.dist.name}"
        raise InputError(f"{one.group}: {one.name} = {one.value!r}{of}: {type(error).__name__}: {error}") from error


def classes(package: str, group: str, base: type[T]) -> list[type[T]]:
    """The subclasses of `base` that a package's modules define, and those that entry points name."""
    defined = [
        value
        for module in modules(package)
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, base) and value.__module__ == module.__name__
    ]
    for value in entry_points(group):
        if not (isinstance(value, type) and issubclass(value, base)):
            raise InputError(f"{group}: {value!r} is no subclass of {base.__module__}.{base.__qualname__}")
        defined.append(value)
    return defined


def by_name(what: str, found: Iterable[tuple[str, T]]) -> dict[str, T]:
    """What was found by its name; raises InputError where two have one name."""
    made: dict[str, T] = {}
    for name, one in found:
        if name in made:
            raise InputError(f"two {what} are called {name!r}: {_place(made[name])} and {_place(one)}")
        made[name] = one
    return made


def _place(one: object) -> str:
    known = one if hasattr(one, "__qualname__") else type(one)
    return f"{getattr(known, '__module__', '?')}.{getattr(known, '__qualname__', '?')}"
