"""Python as finebench's own processes run it: what is installed is found before whatever the user's folders hold.

Python looks for modules in the folder of a script, in the working directory and along PYTHONPATH first, and Ray adds
the driver's working directory to its workers' paths. A file of the user's called `random.py` or `tokenizers.py` would
be imported in place of the library. Such folders are still searched, last.
"""

import json
import os
import sys
import sysconfig
from collections.abc import Sequence

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


def installed_first() -> None:
    """Let this process find installed modules first: one of finebench's own, not a user's script."""
    sys.path[:] = reordered(sys.path)


def reordered(path: Sequence[str]) -> list[str]:
    """An import path with what stands before the standard library, and is not part of this installation, at its end.

    What follows the standard library was put there by the installation: site-packages, and what their .pth files name.
    """
    library = {os.path.realpath(sysconfig.get_paths()[name]) for name in ("stdlib", "platstdlib")}
    begins = next((k for k, one in enumerate(path) if os.path.realpath(one) in library), 0)
    begins -= begins > 0 and path[begins - 1].endswith(".zip")  # the library, zipped
    before = [one for one in path[:begins] if one and _installed(one)]
    users = [one or os.getcwd() for one in path[:begins] if not (one and _installed(one))]
    return [*path[begins:], *before, *users]


def _installed(folder: str) -> bool:
    """Whether a folder is part of the installation: Ray puts some of its own in front."""
    whole = os.path.realpath(folder) + os.sep
    places = (sysconfig.get_paths()[name] for name in ("purelib", "platlib"))
    return any(whole.startswith(os.path.realpath(place) + os.sep) for place in places)


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
    told = json.dumps([reordered(sys.path), os.environ.get("PYTHONPATH"), code, argv])
    return [sys.executable, "-P", "-c", _BOOT, told]
