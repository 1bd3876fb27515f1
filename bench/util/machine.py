"""The machine that a trial ran on, and what it ran there: names and versions, as rows of results hold them."""

import platform
import socket
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

_PACKAGES = ("finebench", "torch", "transformers", "peft", "ray", "datasets", "numpy", "scikit-learn", "scipy")

TOKEN_PACKAGES = ("tokenizers", "transformers", "sentencepiece")
"""What makes tokens of texts: transformers chooses and converts the tokenizer, of whichever kind the folder has."""


@cache
def versions() -> dict[str, str]:
    """Versions of Python and of the packages that can change a result."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def git_commit() -> str | None:
    """The commit of finebench's own checkout ("+" where it has changes); None for an installed package."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    command = ["git", "-C", str(root), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()


@cache
def device_name(kind: str) -> str:
    """The GPU's or the processor's name."""
    if kind == "cuda":
        import torch

        return str(torch.cuda.get_device_name())
    try:
        info = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in info if line.startswith("model name")), platform.machine())


def hostname() -> str:
    """This machine's name."""
    return socket.gethostname()
