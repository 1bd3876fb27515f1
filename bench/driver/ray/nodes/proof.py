"""What a worker shows before its first pack: that its node runs the driver's code and packages.

A node with another finebench, torch or peft, or without one of them, would turn trials into other numbers or into
errors, and faster than others train them: it would draw the whole queue. This module is sent to workers as it stands
(bench.driver.ray.gate), and so its functions use nothing that a node may lack: the standard library, and no more.
"""

import hashlib
import os
import platform
from collections.abc import Mapping
from importlib import metadata, util
from pathlib import Path

from finebench.bench.util.machine import TOKEN_PACKAGES

PACKAGES = (
    *("torch", "peft", "safetensors", "datasets", "numpy", "scipy", "scikit-learn", "pyarrow"),
    *TOKEN_PACKAGES,
)
"""Packages that can change what a trial comes to, or whether it can run at all; Ray compares its own and Python's."""

CODE = "finebench's code"
MISSING = "missing"


class NodeUnfit(Exception):
    """A node on which another rank of a worker was to train cannot."""

    def __init__(self, node: str, why: str) -> None:
        super().__init__(why)
        self.node, self.why = node, why


def fingerprint() -> dict[str, str]:
    """What this process would train with: a hash of finebench's code, and the version of each package.

    Builds of one version for other devices ("2.9.0+cpu") are one version.
    """
    found = {CODE: code_hash(), "python": ".".join(platform.python_version_tuple()[:2])}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package).partition("+")[0]
        except metadata.PackageNotFoundError:
            found[package] = MISSING
    return found


def code_hash() -> str:
    """A hash of all modules of the harness, their names in it; "missing" where there is no finebench."""
    spec = util.find_spec("finebench")
    roots = [] if spec is None else list(spec.submodule_search_locations or [])
    if not roots:
        return MISSING
    top, digest = os.path.join(roots[0], "bench"), hashlib.blake2b(digest_size=16)
    for folder, inside, names in os.walk(top):
        inside.sort()
        for name in sorted(one for one in names if one.endswith(".py")):
            path = Path(folder, name)
            digest.update(f"{os.path.relpath(path, top)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()


def differences(here: Mapping[str, str], driver: Mapping[str, str]) -> list[str]:
    """In what a node differs from the driver, one phrase each."""
    found = []
    for name, theirs in driver.items():
        mine = here.get(name, MISSING)
        if mine == theirs:
            continue
        if mine == MISSING:
            found.append(f"{'finebench' if name == CODE else name} is not installed there")
        elif name == CODE:
            found.append("another finebench is installed there")
        else:
            found.append(f"{name} {mine} there, {theirs} here")
    return found
