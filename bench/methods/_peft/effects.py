"""Whether each option of a `peft:` method does something to a model, found by trying: with it, and without it.

Some of peft's options silently leave a tuner at its plain form: an initialisation that wants data, a schedule that is
not used, a pattern that names no module. Such a run would be reported under a name that it does not
deserve, so an option without effect is refused. Two models are the same where their outputs at every one of a few
training steps, what they train, and their outputs afterwards agree bit for bit, random draws being equal.
"""

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from finebench.bench.methods import Method
from finebench.bench.methods._peft.steps import Penalty
from finebench.bench.models.each_step import calls_of
from finebench.bench.models.parameters import base_name, head_parameter_names, trained_parameters
from finebench.bench.util.errors import MethodError, shown

STEPS = 3
"""Training steps tried: a factor that starts at zero lets the other one move at the second."""
_ROWS, _LENGTH = 2, 8
_MODULES = ("target_modules", "feedforward_modules", "layers_pattern")
_SEED = 20


class Effects(NamedTuple):
    """`trace`: a hash of what a method makes of a model (None: it could not be tried); `acts`: each value of its
    options in words, e.g. "r: 4", and whether it does something there."""

    trace: str | None
    acts: dict[str, bool]


def find_effects(model: nn.Module, tuned: Method) -> Effects:
    """Try a family's member on `model`, which stays as it is; raises MethodError where nothing of it is trained.

    Numbers that do no more than a default does, and choices of modules or layers that choose what a default does, have
    an effect: another value of theirs has one.
    """
    options = dict(tuned.model_extra or {})
    whole, read = _trace(model, tuned, options)
    acts: dict[str, bool] = {}
    for path in _leaves(options):
        said = f"{'.'.join(path)}: {shown(_at(options, path))}"
        alone = path[-1] not in read and whole == _tried(model, tuned, _without(options, path))
        acts[said] = not alone or _read(model, tuned, options, path, whole)
    schedule = json.dumps({name: value for name, value in options.items() if name in read}, sort_keys=True)
    return Effects(_digest([whole, schedule], []), acts)


def _leaves(options: Mapping[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Where the options' values stand; those of a mapping one by one."""
    for name, value in options.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name)


def _at(options: Any, path: tuple[str, ...]) -> Any:
    return _at(options[path[0]], path[1:]) if path else options


def _without(options: Mapping[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The options without one of them; a mapping that holds nothing else goes with it."""
    name, *rest = path
    others = {key: value for key, value in options.items() if key != name}
    inner = _without(options[name], tuple(rest)) if rest else {}
    return others | ({name: inner} if inner else {})


def _with(options: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    name, *rest = path
    return {**options, name: _with(options[name], tuple(rest), value) if rest else value}


def _read(model: nn.Module, tuned: Method, options: dict[str, Any], path: tuple[str, ...], whole: str) -> bool:
    """Whether another value of the option would do something."""
    return any(
        _tried(model, tuned, _with(options, path, other)) != whole for other in _others(path, _at(options, path))
    )


def _others(path: tuple[str, ...], value: Any) -> list[Any]:
    """Other values of a number, or of a choice of modules or layers; none of a switch or a name."""
    if path[-1] == "layers_to_transform":
        return [0, 1]
    if path[-1] in _MODULES:
        return ["no_such_module"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return []
    return [0.9, value / 2] if 0 < value < 1 else [2 * value + 2, type(value)(value / 2)]


def _tried(model: nn.Module, tuned: Method, options: dict[str, Any]) -> str | None:
    """The trace; None where the tuner does not take these options, which then say something to it."""
    try:
        return _trace(model, tuned, options)[0]
    except MethodError:
        return None


def _trace(model: Any, tuned: Method, options: dict[str, Any]) -> tuple[str, frozenset[str]]:
    """A hash of all that can be seen of the tuned model: outputs at every step, what is trained, outputs afterwards;
    and the options that a schedule of its own reads, whatever comes of it in so few steps."""
    with torch.random.fork_rng(devices=[]), _SameDraws():  # type: ignore[no-untyped-call]
        torch.manual_seed(_SEED)
        built = type(tuned).model_validate({"lr": tuned.lr} | options).apply(copy.deepcopy(model))
        trained = trained_parameters(built)
        inserted = {
            n: p.detach().clone() for n, p in trained.items() if base_name(n) not in head_parameter_names(model)
        }
        optimizer = torch.optim.AdamW(trained.values(), lr=1e-2, weight_decay=0.0)
        batch, seen = _batch(model), list[Tensor]()
        built.train()
        calls = calls_of(built) or Penalty(lambda: None)
        for number, step in enumerate(calls.rehearse(STEPS)):
            torch.manual_seed(_SEED + number)
            logits = built(**batch).logits
            loss = (logits - torch.ones_like(logits)).square().sum()
            term = calls.penalty()
            (loss if term is None else loss + term).backward()
            calls.before()
            seen.append(logits)
            optimizer.step()
            calls.after(step)
            optimizer.zero_grad()
        with torch.no_grad():
            seen += [built.eval()(**batch).logits, *trained.values()]
    if all(torch.equal(trained[name], before) for name, before in inserted.items()):
        raise MethodError(
            f"{tuned.name}{_said(options)} trains nothing but the head: no gradient reaches what it inserts"
        )
    return _digest(list(trained), seen), calls.read


def _said(options: dict[str, Any]) -> str:
    return f" with {', '.join(f'{name}: {shown(value)}' for name, value in options.items())}" if options else ""


class _SameDraws(TorchDispatchMode):
    """Every random draw begins its stream anew, so that what is drawn rests on its own shape and kind alone: two
    models whose tensors differ by nothing but the order of their draws are the same. A seed set by a tuner holds."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.nondeterministic_seeded in func.tags:
            torch.default_generator.manual_seed(torch.initial_seed())
        return func(*args, **(kwargs or {}))


def _batch(model: Any) -> dict[str, Tensor]:
    """Token ids that are neither padding nor the same in any two places, as far as the vocabulary goes."""
    size, pad = model.config.vocab_size, model.config.pad_token_id
    ids = (torch.arange(_ROWS * _LENGTH) * 7 + 11) % size
    ids[ids == pad] = (pad or 0) + 1 if (pad or 0) + 1 < size else 0
    ids = ids.view(_ROWS, _LENGTH)
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def _digest(names: list[str], tensors: list[Tensor]) -> str:
    digest = hashlib.blake2b(repr(names).encode(), digest_size=16)
    for tensor in tensors:
        flat = tensor.detach().contiguous().flatten()
        digest.update(str(tuple(tensor.shape)).encode() + flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
