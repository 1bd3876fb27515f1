"""Parts of Ray that are no public interface, and may go in any release: looked up here, never imported by name."""

import importlib
from typing import Any

import ray

from finebench.bench.util.errors import InputError

TESTED = "2.55 to 2.60"
"""Releases of Ray that have all of them: the ends are what `make test-bounds` runs with."""


def part(module: str, *names: str) -> Any:
    """A module of Ray's, or what stands in it under these names, one inside the other; None where there is no such
    thing."""
    try:
        found: Any = importlib.import_module(module)
    except ImportError:
        return None
    for name in names:
        found = getattr(found, name, None)
    return found


def needed(module: str, *names: str, why: str) -> Any:
    """The same for what nothing can take the place of; raises InputError where it is not there."""
    found = part(module, *names)
    if found is None:
        raise InputError(
            f"Ray {ray.__version__} has no {'.'.join((module, *names))}, {why}; finebench is tested with Ray {TESTED}: "
            f"install one of these, or run without Ray with --debug"
        )
    return found
