"""Python as finebench's own processes run it: what is installed is found before whatever the user's folders hold.

Python looks for modules in the folder of a script, in the working directory and along PYTHONPATH first, and Ray adds
the driver's working directory to its workers' paths. A file of the user's called `random.py` or `tokenizers.py` would
be imported in place of the library. Such folders are still searched, last.

A process that is the user's, a script or a notebook, keeps its own order: only what finebench imports while one of its
functions runs is found so (`libraries_first`). A module that is there already stays what it is.
"""

import os
import sys
from _thread import allocate_lock  # built in: no file of the user's is found in its place
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

_BOOT = """
import json, os, sys
path, pythonpath, run, sys.argv[:] = json.loads(sys.argv[1])
sys.path[:] = path
if pythonpath is not None:
    os.environ["PYTHONPATH"] = pythonpath
if run is None:
    import runpy
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
else:
    exec(compile(run, "<finebench>", "exec"), {"__name__": "__main__"})
"""

_LAST = "PYTHONPATH_LAST"
"""The user's PYTHONPATH, where PYTHONPATH itself names `every_python`."""


def installed_first() -> None:
    """Let this process find installed modules first: one of finebench's own, not a user's script.

    One that was started under `every_python_installed_first` gets the user's PYTHONPATH back, for its children.
    """
    sys.path[:] = reordered(sys.path)
    if _LAST in os.environ:
        os.environ["PYTHONPATH"] = os.environ.pop(_LAST)


_lock = allocate_lock()
_open, _given, _ours = 0, list[str](), list[str]()
"""Blocks of `libraries_first` that are open, in all threads; the path before the first of them, and as it made it."""


@contextmanager
def libraries_first() -> Iterator[None]:
    """Let what is imported in the block be found as in finebench's own processes: this one is the user's.

    Also a decorator. Folders that are added to the path in the block stay. The path is the whole process's: it is
    reordered by the first of the blocks that are open, in whichever thread, and the last one gives it back.
    """
    global _open, _given, _ours
    with _lock:
        if not _open:
            _given = list(sys.path)
            _ours = sys.path[:] = reordered(_given)
        _open += 1
    try:
        yield
    finally:
        with _lock:
            _open -= 1
            if not _open:
                sys.path[:] = [*(one for one in sys.path if one not in _ours), *_given]


def reordered(path: Sequence[str]) -> list[str]:
    """An import path with what stands before the standard library, and is not part of this installation, at its end.

    What follows the standard library was put there by the installation: site-packages, and what their .pth files name.
    """
    places = _places()
    library = {os.path.realpath(places[name]) for name in ("stdlib", "platstdlib")}
    begins = next((k for k, one in enumerate(path) if os.path.realpath(one) in library), 0)
    begins -= begins > 0 and path[begins - 1].endswith(".zip")  # the library, zipped
    before = [one for one in path[:begins] if one and _installed(one, places)]
    users = [one or os.getcwd() for one in path[:begins] if not (one and _installed(one, places))]
    return [*path[begins:], *before, *users]


def _places() -> Mapping[str, str]:
    """Where this Python's library and packages are, asked of a module that is the library's own."""
    before = list(sys.path)
    sys.path.insert(0, os.path.dirname(os.__file__))
    try:
        import sysconfig

        return sysconfig.get_paths()
    finally:
        sys.path[:] = before


def _installed(folder: str, places: Mapping[str, str]) -> bool:
    """Whether a folder is part of the installation: Ray puts some of its own in front."""
    whole = os.path.realpath(folder) + os.sep
    return any(whole.startswith(os.path.realpath(places[name]) + os.sep) for name in ("purelib", "platlib"))


def run_module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module in a process of its own, with this one's import path; see `environment`."""
    return _command(None, [name, *arguments])


def run_code(code: str, *arguments: str) -> list[str]:
    """The same for a program's text."""
    return _command(code, ["-c", *arguments])


def environment() -> dict[str, str]:
    """The environment for such a process: it gets PYTHONPATH back once it has started."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def _command(code: str | None, argv: list[str]) -> list[str]:
    import json

    told = json.dumps([reordered(sys.path), os.environ.get("PYTHONPATH"), code, argv])
    return [sys.executable, "-P", "-c", _BOOT, told]


@contextmanager
def every_python_installed_first() -> Iterator[None]:
    """Let each Python that is started from the block, and from there, find installed modules first: those of a program
    that builds its commands itself. See `every_python/sitecustomize.py`."""
    given = os.environ.get("PYTHONPATH")
    if not given:
        yield
        return
    os.environ[_LAST] = os.pathsep.join(os.path.abspath(one) for one in given.split(os.pathsep))
    os.environ["PYTHONPATH"] = os.path.join(os.path.dirname(os.path.realpath(__file__)), "every_python")
    try:
        yield
    finally:
        os.environ["PYTHONPATH"] = given
        os.environ.pop(_LAST, None)
