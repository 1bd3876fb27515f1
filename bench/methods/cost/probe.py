"""Ask what a method makes of a model, where no closed form tells: bench.methods.cost.probing builds it and looks.

Callers in a process without torch are answered by a child process, which ends by itself when it has had nothing to do
for a while. Answers are kept in the user's cache folder.
"""

import atexit
import json
import select
import subprocess
import sys
import tempfile
from dataclasses import astuple
from functools import cache
from importlib import metadata
from typing import IO, TYPE_CHECKING, Any, cast

from finebench.bench.methods import code as method_code
from finebench.bench.methods import method
from finebench.bench.methods.cost.answer import ProbeAnswer
from finebench.bench.util import own_python
from finebench.bench.util.doors import plugins
from finebench.bench.util.errors import FinebenchError, MethodError
from finebench.bench.util.user_cache import cached, keep

if TYPE_CHECKING:
    pass

PROBE_VERSION = 9
PATIENCE = 600.0
"""Seconds that one answer may take."""


def probe(
    config: dict[str, Any], name: str, hyperparameters: dict[str, Any], num_labels: int, pooler: bool = True
) -> ProbeAnswer:
    """What the method makes of a model with this config (the content of a config.json), whose weights bring a trained
    `pooler` or not: from the cache, else by building it.
    """
    shape = {key: value for key, value in hyperparameters.items() if key != "lr"}
    request = {"config": config, "method": name, "hyperparameters": shape, "num_labels": num_labels, "pooler": pooler}
    code = method_code(name)
    key = [PROBE_VERSION, _versions(), method(name).version, request, *([] if code is None else [code])]
    found = _kept(key, request if code is None else request | {"plugins": [astuple(p) for p in plugins()]})
    parts = found["head_step"]
    step = None if parts is None else tuple(tuple(part) for part in parts)
    return ProbeAnswer(**found | {part: tuple(found[part]) for part in ("forward", "train")} | {"head_step": step})


@cache
def tuner_options(kind: str) -> dict[str, dict[str, Any]]:
    """Options of one of peft's tuners (bench.methods._peft.options.describe): from the cache, else by asking peft.

    Raises MethodError for a tuner that there is not, or that is not offered.
    """
    request = {"describe": kind}
    found = _kept([PROBE_VERSION, _versions(), request], request)
    if "error" in found:
        raise MethodError(found["error"])
    options: dict[str, dict[str, Any]] = found["options"]
    return options


def _kept(key: list[Any], request: dict[str, Any]) -> dict[str, Any]:
    """The answer kept under a key; else a new one, from this process where it has torch already, from a child if
    not."""
    found: dict[str, Any] | None = cached("probes", key)
    if found is None:
        found = _here(request) if "torch" in sys.modules else _child().ask(request)
        keep("probes", key, found)
    return found


def _here(request: dict[str, Any]) -> dict[str, Any]:
    from finebench.bench.methods.cost.probing import answer

    return answer(request)


@cache
def _versions() -> tuple[str, ...]:
    return tuple(metadata.version(package) for package in ("torch", "transformers", "peft"))


class _Child:
    """A process that answers requests; started by the first one, and again after it has gone idle."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._errors: IO[str] = tempfile.TemporaryFile("w+")  # noqa: SIM115  lives as long as the child
        atexit.register(self.close)

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """One answer; a child that went idle at this very moment is started once more."""
        for _ in range(2):
            line = self._exchange(json.dumps(request))
            if line:
                found: dict[str, Any] = json.loads(line)
                return found
            self.close()
        self._errors.seek(0)
        raise FinebenchError(f"the process that counts parameters ended: {self._errors.read()[-500:]}")

    def _exchange(self, text: str) -> str:
        if self._process is None or self._process.poll() is not None:
            self._process = self._start()
        stdin, stdout = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        try:
            stdin.write(text + "\n")
            stdin.flush()
        except BrokenPipeError:
            return ""
        if not select.select([stdout], [], [], PATIENCE)[0]:
            self.close()
            raise FinebenchError(
                f"the process that counts parameters gave no answer in {PATIENCE:g} seconds: {text[-300:]}"
            )
        return stdout.readline()

    def _start(self) -> subprocess.Popen[str]:
        environment = own_python.environment() | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = own_python.run_module("finebench.bench.methods.cost.probing")
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True, env=environment)

    def close(self) -> None:
        """End the child and wait for it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@cache
def _child() -> _Child:
    return _Child()
