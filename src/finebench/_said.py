"""What the classes of `import finebench` have in common: their sentence, and imports that are finebench's own."""

from functools import cached_property
from html import escape
from types import FunctionType
from typing import Any

from finebench.bench.util.own_python import libraries_first


class Said:
    """Shown by what `str` says of it. What its public methods import is what is installed, not files of the same name
    beside the user's script."""

    def __init_subclass__(cls) -> None:
        for name, value in list(vars(cls).items()):
            if name == "__init__" or not name.startswith("_"):
                setattr(cls, name, _guarded(value))

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        return f"<p>{'<br>'.join(map(escape, str(self).splitlines()))}</p>"


def _guarded(value: Any) -> Any:
    """A method, class method or property, run with libraries first."""
    if isinstance(value, FunctionType):
        return libraries_first()(value)
    if isinstance(value, classmethod):
        return classmethod(libraries_first()(value.__func__))
    if isinstance(value, property) and value.fget is not None:
        return property(libraries_first()(value.fget))
    if isinstance(value, cached_property):
        value.func = libraries_first()(value.func)
    return value


def counted(count: int, what: str) -> str:
    """So many of something."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """Seconds in the unit that fits."""
    for unit, name in ((3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 1.5 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} seconds"
