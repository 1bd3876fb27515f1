"""Present means registered: what can be added to a package exists because its file is there."""

import importlib
import pkgutil
from types import ModuleType


def modules(package: str) -> list[ModuleType]:
    """A package's modules by name; files whose names begin with `_` are helpers, folders are rooms of their own."""
    paths = importlib.import_module(package).__path__
    found = sorted(one.name for one in pkgutil.iter_modules(paths) if not one.name.startswith("_") and not one.ispkg)
    return [importlib.import_module(f"{package}.{name}") for name in found]
