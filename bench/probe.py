"""Ask a model what a method does to it: built on the meta device (no weights, no memory), counted, its FLOPs measured.

For whatever has no closed form. Callers in a process without torch are answered by a child process (`python -m
bench.probe`: one JSON request per line in, one answer per line out) that ends by itself when it has had nothing to do
for a while. Answers are kept in the user's cache folder.
"""

import atexit
import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

from bench.cache import cached, keep
from bench.errors import FinebenchError, InputError, MethodError
from bench.registry import method

if TYPE_CHECKING:
    from bench.peft_effects import Effects

PROBE_VERSION = 8
IDLE_SECONDS = 20.0
_LENGTHS = (8, 16, 32)
"""Lengths at which FLOPs are measured: three, for a polynomial of degree two in the length."""


Polynomial = tuple[float, float, float, float]
"""(token, square, example, step): a pass over B inputs of T tokens takes B (token·T + square·T² + example) + step
FLOPs.

The step's share are products of weights alone, such as DoRA's and LoHa's, which a bigger batch does not make dearer.
"""


@dataclass(frozen=True)
class ProbeAnswer:
    """What a built model says: trained parameters of encoder and head, all parameters, FLOPs forward and of training.

    `head_step`, where only the head is trained and what it reads is known: FLOPs of computing the features, of a step
    on them, and of predicting from them. Of a family's member, `trace` is a hash of what it makes of a model, equal for
    what is the same, and `effects` says of each of its values whether it does something there. `error` is why the
    method cannot be applied; the numbers are then zero.
    """

    encoder: int = 0
    head: int = 0
    total: int = 0
    forward: Polynomial = (0.0, 0.0, 0.0, 0.0)
    train: Polynomial = (0.0, 0.0, 0.0, 0.0)
    head_step: tuple[Polynomial, Polynomial, Polynomial] | None = None
    trace: str | None = None
    effects: Mapping[str, bool] = field(default_factory=dict)
    error: str | None = None


def probe(
    config: dict[str, Any], name: str, hyperparameters: dict[str, Any], num_labels: int, pooler: bool = True
) -> ProbeAnswer:
    """What the method makes of a model with this config (the content of a config.json), whose weights bring a trained
    `pooler` or not: from the cache, else by building it.
    """
    shape = {key: value for key, value in hyperparameters.items() if key != "lr"}
    request = {"config": config, "method": name, "hyperparameters": shape, "num_labels": num_labels, "pooler": pooler}
    found = _kept([PROBE_VERSION, _versions(), method(name).version, request], request)
    parts = found["head_step"]
    step = None if parts is None else tuple(tuple(part) for part in parts)
    return ProbeAnswer(**found | {part: tuple(found[part]) for part in ("forward", "train")} | {"head_step": step})


@cache
def tuner_options(kind: str) -> dict[str, dict[str, Any]]:
    """Options of one of peft's tuners (bench.peft_options.describe): from the cache, else by asking peft.

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
        found = answer(request) if "torch" in sys.modules else _child().ask(request)
        keep("probes", key, found)
    return found


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
        return stdout.readline()

    def _start(self) -> subprocess.Popen[str]:
        root = str(Path(__file__).resolve().parent.parent)
        paths = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
        environment = os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-m", "bench.probe"]
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


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """What is asked: the options of a tuner, or what a method makes of a model."""
    return _describe(request["describe"]) if "describe" in request else _try(request)


def _describe(kind: str) -> dict[str, Any]:
    from bench.peft_options import describe

    try:
        return {"options": describe(kind)}
    except MethodError as error:
        return {"error": str(error)}


def _try(request: dict[str, Any]) -> dict[str, Any]:
    """Build the model, apply the method, count and measure; a ProbeAnswer as a dictionary.

    On the meta device; what computes with values (a tuner's SVD, a model that looks for its end token) is asked again
    on the CPU.
    """
    try:
        trace, effects = _effects(request)
        found = replace(_measured(request), trace=trace, effects=effects)
    except Exception as error:
        return asdict(ProbeAnswer(error=_why(error, request)))
    return asdict(found)


def _why(error: Exception, request: dict[str, Any]) -> str:
    """Why a method cannot be counted on a model: in our words, or in those of the library that failed."""
    if isinstance(error, InputError):
        return str(error)
    text = " ".join(str(error).split())[:300]
    kind = request["config"].get("model_type")
    return f"{request['method']} does not work on a {kind} model: {type(error).__name__}: {text}"


def _measured(request: dict[str, Any]) -> ProbeAnswer:
    try:
        return _measure(request, "meta")
    except Exception as error:
        if "meta" not in str(error).lower():
            raise
    return _measure(request, "cpu")


def _effects(request: dict[str, Any]) -> "Effects":
    """What a family's member, and each of its options, does to this model; raises MethodError where that is nothing."""
    import torch

    from bench.peft_effects import Effects, find_effects

    tuned = method(request["method"])(**request["hyperparameters"])
    if tuned.model_extra is None:
        return Effects(None, {})
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_shape(request["config"], request["num_labels"])
    return find_effects(model, tuned)


def _measure(request: dict[str, Any], device: str) -> ProbeAnswer:
    import torch

    from bench.parts import head_parameter_names, mark_fresh, pooler_names, trainable_counts

    tuned = method(request["method"])(**request["hyperparameters"])
    with torch.random.fork_rng(devices=[]), torch.device(device):
        model = build_shape(request["config"], request["num_labels"])
        if not request["pooler"]:
            mark_fresh(model, pooler_names(model))
        names = head_parameter_names(model)
        model = tuned.apply(model)
        single = [_flops(model, 1, length, device) for length in _LENGTHS]
        double = _flops(model, 2, _LENGTHS[0], device)
        step = _head_flops(model, device)
    encoder, head, total = trainable_counts(model, names)
    forward, train = (_polynomial([point[i] for point in single], double[i]) for i in (0, 1))
    return ProbeAnswer(encoder, head, total, forward, train, step)


def build_shape(raw: dict[str, Any], num_labels: int) -> Any:
    """A classification model with this config and eager attention, on the default device.

    Raises ModelError for a model type that transformers cannot build for classification.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from bench.errors import ModelError

    options = {key: value for key, value in raw.items() if key not in ("model_type", "auto_map", "num_labels", "dtype")}
    options = {key: value for key, value in options.items() if key not in ("id2label", "label2id", "torch_dtype")}
    try:
        config = AutoConfig.for_model(raw["model_type"], num_labels=num_labels, **options)
        if getattr(config, "pad_token_id", None) is None:
            config.pad_token_id = 0
        return AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    except (ValueError, KeyError) as error:
        text = " ".join(str(error).split())[:300]
        raise ModelError(
            f"a model of type {raw.get('model_type')!r} cannot be built for classification: {text}"
        ) from error


def _flops(model: Any, batch: int, length: int, device: str) -> tuple[int, int]:
    """FLOPs of one pass: (forward, forward and backward)."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        # no mask: checking one reads values, which meta tensors have none of
        logits = model(input_ids=_text(model.config, batch, length, device)).logits
        forward = counter.get_total_flops()
        logits.sum().backward()
    return forward, counter.get_total_flops()


def _text(config: Any, batch: int, length: int, device: str) -> Any:
    """Token ids [batch, length] of an ordinary token, which is no padding, ended as BART and T5 need it to classify."""
    import torch

    padding, ending, size = (getattr(config, key, None) for key in ("pad_token_id", "eos_token_id", "vocab_size"))
    plain = next(token for token in range(3) if token not in (padding, ending))
    ids = torch.full((batch, length), plain, dtype=torch.long, device=device)
    if isinstance(ending, int) and isinstance(size, int) and 0 <= ending < size:
        ids[:, -1] = ending
    return ids


def _head_flops(model: Any, device: str) -> tuple[Polynomial, Polynomial, Polynomial] | None:
    """FLOPs where only the head is trained: of the features, of a step on them, of a forward pass on them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from bench.frozen import head_batch, split

    apart = split(model)
    if apart is None:
        return None

    def read(batch: int, length: int) -> int:
        ids = _text(model.config, batch, length, device)
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            apart.encoder(input_ids=ids)
        return int(counter.get_total_flops())

    features = _polynomial([read(1, length) for length in _LENGTHS], read(2, _LENGTHS[0]))
    values = torch.zeros((1, model.config.hidden_size), device=device)
    with apart.detached(), FlopCounterMode(display=False) as counter:
        logits = model(**head_batch(values, 1)).logits
        forward = counter.get_total_flops()
        logits.sum().backward()
    return features, (0.0, 0.0, float(counter.get_total_flops()), 0.0), (0.0, 0.0, float(forward), 0.0)


def _polynomial(single: list[int], double: int) -> Polynomial:
    """From the FLOPs of one input at each of the three lengths, and of two at the first."""
    (x, y, z), (u, v, w) = _LENGTHS, single
    first, second = (v - u) / (y - x), (w - v) / (z - y)
    square = (second - first) / (z - x)
    token = first - square * (x + y)
    step = 2 * u - double
    return token, square, u - token * x - square * x * x - step, step


def main() -> None:
    """Answer requests from stdin until it closes or nothing has come for a while; libraries' output goes to stderr."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    while select.select([sys.stdin], [], [], IDLE_SECONDS)[0]:
        line = sys.stdin.readline()
        if not line:
            return
        out.write(json.dumps(answer(json.loads(line))) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
