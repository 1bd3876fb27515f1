"""Present means registered: what can be added to finebench exists because its file is there.

    METHODS = Door("method", "finebench.bench.methods", "finebench.methods", found_in)   # a mapping, by name

A door looks in three places: the files of the room that it stands in, the modules that installed packages name as
entry points of a group (`my_method = "my_package.my_method"`; of a package that holds nothing itself, its modules), and
the plugins that a study lists. Each is read the same way. No code is looked for anywhere else. Kinds of claims stand in
a room above their door, which therefore names no room: our own package has an entry point for them, as a stranger's
would.
"""

import hashlib
import importlib
import linecache
import os
import pkgutil
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib import metadata
from inspect import isfunction
from types import ModuleType
from typing import TypeVar

from finebench.bench.util.errors import StudyError, plain

T = TypeVar("T")

LARGEST_PLUGIN = 2**20
"""Bytes of a plugin, which is sent to every worker."""


@dataclass(frozen=True)
class Plugin:
    """A file of the user's: the name under which messages speak of it, its text, and where it lies (a path without
    links; empty: as `file` says)."""

    file: str
    source: str
    place: str = ""

    @cached_property
    def hash(self) -> str:
        """16 hex digits of BLAKE2b over the text; part of the identity of whatever it takes part in."""
        return hashlib.blake2b(self.source.encode(), digest_size=8).hexdigest()


OFFERED = ("METRIC", "TASK", "SCHEDULE")
"""What doors look for by its name, one of each in a file; classes that have a name, and tables, they take all."""

_plugins: dict[str, tuple[Plugin, ModuleType]] = {}
"""Those that are loaded by where they lie, the latest last."""


def modules(package: str) -> list[ModuleType]:
    """A package's modules by name; files whose names begin with `_` are helpers, folders are rooms of their own."""
    paths = importlib.import_module(package).__path__
    found = sorted(one.name for one in pkgutil.iter_modules(paths) if not one.name.startswith("_") and not one.ispkg)
    return [importlib.import_module(f"{package}.{name}") for name in found]


@cache
def entry_points(group: str) -> tuple[ModuleType, ...]:
    """The modules that installed packages name as entry points of a group; each module once.

    Raises StudyError where one cannot be imported: what is installed should work, and is not passed over.
    """
    found: dict[str, ModuleType] = {}
    for point in sorted(metadata.entry_points(group=group)):
        try:
            found[point.module] = importlib.import_module(point.module)
        except (Exception, SystemExit) as error:  # a stranger's module may raise anything, and end like a script
            package = point.dist.name if point.dist else "an installed package"
            at = f" ({_place(error, point.module)})"
            raise StudyError(f"entry point {group}: {point.name} = {point.value}, of {package}{at}") from error
    return tuple(found.values())


@cache
def _inside(package: str, group: str) -> tuple[ModuleType, ...]:
    """The modules of a package that an entry point names; raises StudyError where one cannot be imported."""
    try:
        return tuple(modules(package))
    except (Exception, SystemExit) as error:
        raise StudyError(f"entry point {group}: a module of {package} ({_place(error, package)})") from error


def read_plugin(file: str, shown: str | None = None) -> Plugin:
    """A plugin's text; nothing of it is run. Raises StudyError where it cannot be read."""
    name = shown or file
    try:
        with open(file, "rb") as stream:
            data = stream.read(LARGEST_PLUGIN + 1)
        if len(data) > LARGEST_PLUGIN:
            raise StudyError(f"plugin {name!r}: a plugin has at most {LARGEST_PLUGIN:,} bytes")
        return Plugin(name, data.decode("utf-8-sig"), os.path.realpath(file))
    except (OSError, UnicodeDecodeError) as error:
        raise StudyError(f"plugin {name!r} cannot be read: {error}") from error


def load_plugin(plugin: Plugin) -> None:
    """Run a plugin once in this process, however its path is spelt, and open every door to it; an edited one takes the
    place of its older text.

    Raises StudyError with file and line where it fails, and where nothing in it is for any door.
    """
    if any(known.hash == plugin.hash for known in plugins()):
        return
    module = ModuleType(f"finebench_plugin_{plugin.hash}")
    module.__file__, module.__package__ = plugin.file, ""
    linecache.cache[plugin.file] = (len(plugin.source), None, plugin.source.splitlines(keepends=True), plugin.file)
    sys.modules[module.__name__] = module  # annotations are looked up there
    try:
        exec(compile(plugin.source, plugin.file, "exec", dont_inherit=True), vars(module))
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything, and end like a script
        del sys.modules[module.__name__]
        raise StudyError(f"plugin {_place(error, plugin.file)}") from error
    if not _offers(module):
        del sys.modules[module.__name__]
        raise StudyError(
            f"plugin {plugin.file}: nothing in it can be used: a method, tracker or kind of claim (a class with a name "
            f"of its own), a function that returns a Table, or one of {', '.join(OFFERED)} is needed"
        )
    place = plugin.place or os.path.realpath(plugin.file)
    _plugins.pop(place, None)
    _plugins[place] = (plugin, module)


def _offers(module: ModuleType) -> bool:
    """Whether a module holds anything that a door looks for."""
    own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    ours = [one for one in own if any(base.__module__.startswith("finebench.") for base in one.__mro__[1:])]
    returned = [one.__annotations__.get("return") for one in vars(module).values() if isfunction(one)]
    tables = any(getattr(one, "__name__", one) == "Table" for one in returned)
    named = any({"name", "says"} & vars(one).keys() for one in ours)
    given = [type(getattr(module, name, None)).__module__ for name in OFFERED]
    return tables or named or any(one.startswith("finebench.") for one in given)


def plugins() -> tuple[Plugin, ...]:
    """Every plugin that this process has loaded."""
    return tuple(plugin for plugin, _ in _plugins.values())


def outside(group: str) -> tuple[ModuleType, ...]:
    """The modules from outside that a door of this group is open to: those of entry points, then the loaded plugins."""
    return (*entry_points(group), *(module for _, module in _plugins.values()))


def _place(error: BaseException, file: str) -> str:
    """Where a module failed, and how: the last of its own lines."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        file, line = error.filename or file, error.lineno
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.rpartition("/")[2] != "doors.py"]
        own = [f for f in frames if f.filename == file] or [f for f in frames if "importlib" not in f.filename]
        file, line = (own[-1].filename, own[-1].lineno or 0) if own else (file, 0)
    at = f"{file}, line {line}" if line else file
    alone = "; a plugin is one file, and has no modules beside it" if "relative import" in str(error) else ""
    return f"{at}: {type(error).__name__}: {plain(str(error))}{alone}"


class Door(Mapping[str, T]):
    """All things of one kind by name, sorted as their places are: ours, those of entry points, those of plugins.

    `find` lists what a module holds, with names. A name that stands in two files is an error that names both. A
    plugin that makes such an error is not loaded any more: what does not name it goes on.
    """

    def __init__(
        self, kind: str, package: str | None, group: str, find: Callable[[ModuleType], Iterable[tuple[str, T]]]
    ) -> None:
        self.kind, self._package, self._group, self._find = kind, package, group, find
        self._seen: tuple[ModuleType, ...] | None = None
        self._found: dict[str, T] = {}
        self._files: dict[str, ModuleType] = {}

    def _all(self) -> dict[str, T]:
        outside = tuple(module for _, module in _plugins.values())
        if outside != self._seen:
            own = modules(self._package) if self._package else []
            found: dict[str, T] = {}
            files: dict[str, ModuleType] = {}
            for module in (*own, *self._named(), *outside):
                for name, value in self._in(module):
                    if name in found:
                        both = " and ".join(_told_apart(files[name], module))
                        _take_out(module)
                        raise StudyError(
                            f"{self.kind} {name!r} is in two files: {both}; rename one of them, or "
                            "use each in a process of its own"
                        )
                    found[name], files[name] = value, module
            self._seen, self._found, self._files = outside, found, files
        return self._found

    def _named(self) -> Iterator[ModuleType]:
        """What entry points name, ours first; of a package that holds nothing itself, its modules."""
        for module in sorted(entry_points(self._group), key=_is_ours, reverse=True):
            if hasattr(module, "__path__") and not self._in(module):
                yield from _inside(module.__name__, self._group)
            else:
                yield module

    def _in(self, module: ModuleType) -> list[tuple[str, T]]:
        """What a module holds. Raises StudyError where one from outside holds something that cannot be used."""
        try:
            return list(self._find(module))
        except (Exception, SystemExit) as error:  # a stranger's module may hold anything
            if _is_ours(module):
                raise
            known = list(_plugins.values())
            _take_out(module)
            kind = "plugin" if any(loaded is module for _, loaded in known) else "entry point's module"
            raise StudyError(f"{kind} {module.__file__}: {type(error).__name__}: {plain(str(error))}") from error

    def __getitem__(self, name: str) -> T:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def code(self, name: str) -> str | None:
        """The hash of the file that a thing from outside comes from; None for ours, and for what there is not."""
        self._all()
        module = self._files.get(name)
        if module is None or _is_ours(module):
            return None
        return _hash_of(module)


def _is_ours(module: ModuleType) -> bool:
    return module.__name__.startswith("finebench.")


def _hash_of(module: ModuleType) -> str:
    """A plugin's hash; that of an installed module's source."""
    for plugin, loaded in _plugins.values():
        if loaded is module:
            return plugin.hash
    return read_plugin(str(module.__file__)).hash


def _take_out(module: ModuleType) -> None:
    """Forget the plugin that a module was made of, if it was."""
    for place, (_, loaded) in list(_plugins.items()):
        if loaded is module:
            del _plugins[place]


def _told_apart(*two: ModuleType) -> list[str]:
    """The files of two modules as they were named, or where they lie if that is the same name."""
    names = [str(one.__file__) for one in two]
    places = {id(module): place for place, (_, module) in _plugins.items()}
    return names if names[0] != names[1] else [places.get(id(one), str(one.__file__)) for one in two]
