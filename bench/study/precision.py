"""What `precision: auto` stands for: one precision for a whole run, decided before its first trial has an id.

bf16 where every GPU that may train the study computes it in hardware, float32 otherwise: on a CPU, where a method asks
for no GPU, and on GPUs that only emulate bf16 (before NVIDIA's Ampere), which is slower than float32. GPUs are asked
where trials run: this machine's by a process of their own, since torch takes seconds to import, a cluster's by each
node (bench.driver.ray.session).

    python -m finebench.bench.study.precision      prints what this machine's GPUs can do, a JSON document
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from finebench.bench.study.load import method_resources
from finebench.bench.study.schema import Study
from finebench.bench.util import own_python
from finebench.bench.util.errors import InputError

Precision = Literal["fp32", "bf16"]
"""What a trial trains in."""

PATIENCE = 120.0
"""Seconds within which a process must have imported torch and looked at its GPUs."""

_GPU_NAMES = ("NVIDIA ", "AMD Instinct", "AMD Radeon")
_EITHER = "--set training.precision=fp32 or --set training.precision=bf16 decides it"


@dataclass(frozen=True)
class Gpus:
    """The GPUs of a machine: how many trials can use, and whether all of them compute bf16 in hardware."""

    count: int
    bf16: bool


@dataclass(frozen=True)
class Resolved:
    """What a study trains in, and what is to be said of it where there are GPUs."""

    precision: Precision
    notes: tuple[str, ...] = ()


def resolve(study: Study, ask: Callable[[], Sequence[Gpus]]) -> Resolved:
    """The precision of a run of this study; `ask` gives the GPUs of each machine that may train it, of one without any
    too where trials could not wait for others.

    Raises InputError where a method waits for a GPU and there is no machine to ask.
    """
    written = study.training.precision
    if written != "auto":
        return Resolved(written)
    asked = {name: method_resources(study, name).each for name in study.methods}
    if all(gpu == 0 for gpu in asked.values()):
        return Resolved("fp32")
    machines = ask()
    waiting = next((name for name, gpu in asked.items() if gpu not in ("auto", 0)), None)
    if waiting is not None and not machines:
        raise InputError(
            f"training.precision: auto is what the GPUs can do that train the study, and method {waiting!r} asks for "
            f"one where there is none now; {_EITHER}"
        )
    count = sum(one.count for one in machines)
    if not count:
        return Resolved("fp32")
    without = next((name for name, gpu in asked.items() if gpu == 0), None)
    if without is not None:
        return Resolved("fp32", (f"precision auto is fp32 for all methods, since {without} trains on a CPU",))
    if of_gpus(machines) == "bf16":
        return Resolved("bf16", (f"precision auto is bf16: all GPUs ({count}) compute it in hardware",))
    return Resolved("fp32", (f"precision auto is fp32: not all GPUs ({count}) compute bf16 in hardware",))


def of_gpus(machines: Sequence[Gpus]) -> Precision:
    """The most that all GPUs have in common; float32 where there is none."""
    able = [one.bf16 for one in machines if one.count]
    return "bf16" if able and all(able) else "fp32"


def of_row(stored: str | None, device: str | None, written: str) -> str | None:
    """The precision of a stored trial of a study that says `written`; None where that is not known.

    Rows that are older than their column are float32 where `auto` met a processor. What a GPU made of it is not told.
    """
    if stored is not None:
        return stored
    if written == "auto":
        return None if device is None or device.startswith(_GPU_NAMES) else "fp32"
    return "bf16" if written == "bf16" else None  # float32 that was asked for had ids of its own


def apart(numbers: Mapping[str | None, int], now: str) -> list[str]:
    """A sentence on stored trials, counted by precision, that are not of the one that a study trains in `now`."""
    said = [f"{count:,} in {name or 'one that is not known'}" for name, count in sorted(numbers.items(), key=str)]
    if not said:
        return []
    return [f"trained in another precision than {now}, so left out (they stay in the folder): {', '.join(said)}"]


def gpus_here() -> Gpus:
    """This machine's GPUs, as its trials would see them.

    Raises InputError where there seem to be some and torch cannot say what they can do.
    """
    if os.environ.get("FINEBENCH_LOGICAL_GPUS") == "1" or not _may_have_gpus():
        return Gpus(0, False)
    if "torch" in sys.modules:
        return look()
    return _asked_apart(own_python.environment())


def gpus_of_node() -> Gpus:
    """All GPUs of this machine, also those that were not given to this process."""
    if os.environ.get("FINEBENCH_LOGICAL_GPUS") == "1":
        return Gpus(1, False)
    hidden = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
    return _asked_apart({key: value for key, value in own_python.environment().items() if key not in hidden})


def look() -> Gpus:
    """What torch sees in this process."""
    import torch

    if not torch.cuda.is_available():
        return Gpus(0, False)
    count, able = torch.cuda.device_count(), []
    for index in range(count):
        with torch.cuda.device(index):
            able.append(torch.cuda.is_bf16_supported(including_emulation=False))
    return Gpus(count, all(able))


def _may_have_gpus() -> bool:
    """Whether it is worth importing torch to see: a driver has left its devices, and they are not hidden."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return False
    devices = any(Path("/dev").glob("nvidia[0-9]*")) or any(Path(p).exists() for p in ("/dev/kfd", "/dev/dxg"))
    return devices or shutil.which("nvidia-smi") is not None or sys.platform == "win32"


def _asked_apart(environment: Mapping[str, str]) -> Gpus:
    command = own_python.run_module("finebench.bench.study.precision")
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=dict(environment))
    except subprocess.TimeoutExpired as error:
        raise InputError(
            f"torch did not say within {PATIENCE:g} s what this machine's GPUs can do; {_EITHER}"
        ) from error
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines()
        why = lines[-1][:300] if lines else f"exit code {answer.returncode}"
        raise InputError(
            f"torch cannot say what this machine's GPUs can do ({why}); `finebench doctor` looks into it; {_EITHER}"
        )
    found: dict[str, Any] = json.loads(answer.stdout.strip().splitlines()[-1])
    return Gpus(**found)


def has_amx(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this machine's processor multiplies bf16 matrices in hardware (Intel's AMX)."""
    try:
        text = cpuinfo.read_text(errors="replace")
    except OSError:
        return False
    flags = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    return flags is not None and {"amx_tile", "amx_bf16"} <= set(flags[1].split())


AMX = "this CPU computes bf16 in hardware (AMX): training.precision: bf16 may be faster on it; auto is fp32 on a CPU"
"""What `doctor` and `plan` say of such a machine."""


if __name__ == "__main__":
    print(json.dumps(vars(look())))
