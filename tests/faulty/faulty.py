"""A method that fails on purpose, in every way in which a trial can die. Only tests register it: see `register`."""

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from finebench.bench.methods import Method, MethodCost
from finebench.bench.models.architecture import Architecture

if TYPE_CHECKING:
    from torch import nn


class Faulty(Method):
    """The head alone, and a fault while it is applied. `marks` is a folder where each attempt leaves a line."""

    name: ClassVar[str] = "faulty"
    summary: ClassVar[str] = "fails on purpose"
    paper: ClassVar[str] = "none"
    defaults_from: ClassVar[str] = "none"
    default_space: ClassVar[dict[str, list[Any]]] = {"lr": [1e-3]}

    how: str = "raise"
    marks: str = ""

    def cost(self, arch: Architecture) -> MethodCost:
        """As for the head: nothing has to be built to know it."""
        return MethodCost(trainable=0, reach=0.0)

    def apply(self, model: "nn.Module") -> "nn.Module":
        """Leave a mark, then fail: always, or (`…-once`) the first time only."""
        import torch

        from finebench.bench.models.parameters import train_only

        file = Path(self.marks) / self.how
        with file.open("a") as stream:
            stream.write(f"{os.getpid()}\n")
        train_only(model, lambda name: False)
        if self.how.endswith("-once") and len(file.read_text().splitlines()) > 1:
            return model
        how = self.how.removesuffix("-once")
        if how == "raise":
            raise ValueError("broken on purpose")
        if how == "lost":
            from finebench.bench.training.worker import trial_runner

            setattr(trial_runner, "lost", lambda device: "CUDA error: device-side assert triggered")  # noqa: B010  mypy
            raise torch.AcceleratorError("CUDA error: device-side assert triggered")
        if how == "device-memory":
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        if how == "host-memory":
            raise MemoryError
        if how == "killed":  # as the kernel's out-of-memory killer does it
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "memory":
            fill_memory(int(os.environ["FAULTY_MEMORY"]))
        if how == "segfault":
            ctypes.string_at(0)
        if how == "hang":  # in C, with Python's lock held
            ctypes.PyDLL(None).sleep(100_000)
        if how == "nan":
            with torch.no_grad():
                next(p for p in model.parameters() if p.requires_grad).fill_(float("nan"))
        return model


def fill_memory(goal: int) -> None:
    """Take memory until `goal` bytes of the machine are in use, and keep it so until this process is ended."""
    import psutil

    held = []
    while True:
        memory = psutil.virtual_memory()
        if memory.total - memory.available < goal:
            held.append(b"x" * 50 * 2**20)
        time.sleep(0.02)


def register() -> None:
    """Make the method known to this process, as if its file stood in bench/methods."""
    import finebench.bench.methods

    folder = str(Path(__file__).parent)
    if folder not in finebench.bench.methods.__path__:
        finebench.bench.methods.__path__.append(folder)
    finebench.bench.methods.METHODS._seen = None  # look again


def forget() -> None:
    """Undo `register`."""
    import sys

    import finebench.bench.methods

    finebench.bench.methods.__path__.remove(str(Path(__file__).parent))
    sys.modules.pop("finebench.bench.methods.faulty", None)
    finebench.bench.methods.METHODS._seen = None  # look again
