"""Every family with every method trains in bfloat16 as in float32, alone and in a pack; what cannot be autocast runs
in float32."""

import copy
import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from finebench.bench.data.tokenize import Tokens
from finebench.bench.methods import method, methods
from finebench.bench.models.load import Backbone
from finebench.bench.models.parameters import head_parameter_names, mark_fresh, trained_tensors
from finebench.bench.study.parts.training import Training
from finebench.bench.training.build_model import build
from finebench.bench.training.evaluation import Evaluation, Progress
from finebench.bench.training.job import Examples, Job
from finebench.bench.training.loop import train
from finebench.bench.training.optimiser import make_optimizer
from finebench.bench.training.packs.batched_loop import Lane, obstacle, train_together
from finebench.bench.training.packs.stacked_model import Tried, share_frozen
from finebench.bench.training.prediction import autocast
from finebench.bench.training.worker.float32_modules import attempts, spare
from finebench.bench.util.errors import MethodError
from tests.bench.tiny_models import CONFIGS, OTHERS, tiny_model

FAMILIES = [*CONFIGS, *OTHERS]
OPTIONS: dict[str, dict[str, Any]] = {
    "prefix": {"tokens": 5},
    "prompt": {"tokens": 5},
    "vera": {"r": 8},
    "peft:LOHA": {},
    "peft:OFT": {"oft_block_size": 8},
    "peft:BOFT": {"boft_block_size": 8},
    "peft:HRA": {},
}
NAMES = [name for name in methods() if not name.endswith(":")]
NAMES += [name for name in OPTIONS if name not in NAMES]
UNFIT = {("t5", name) for name in ("prefix", "prompt")}
"""Pairs that fail in float32 too, at their first step."""
MATRIX = [(kind, name) for kind in FAMILIES for name in NAMES if (kind, name) not in UNFIT]
ALIKE = ("roberta", "electra", "qwen2", "mistral")
QUICK = {(kind, "full") for kind in FAMILIES if kind not in ALIKE}
QUICK |= {("deberta-v2", name) for name in ("vera", "peft:HRA")}
CPU = torch.device("cpu")
LENGTHS = (8, 4, 6, 8, 5, 7)


@cache
def backbone(kind: str) -> Backbone:
    """A family's, whose head is to be drawn."""
    model = tiny_model(kind, **{} if kind == "t5" else {"initializer_range": 0.2})  # what it says is more than noise
    mark_fresh(model, head_parameter_names(model))
    return Backbone(model, head_parameter_names(model), None, 0, "left" if kind == "xlnet" else "right")


def tokens(kind: str) -> Tokens:
    """Rows that end as T5 needs it."""
    ids = [np.append(np.arange(3 + n, 2 + 2 * n), 2) for n in LENGTHS]
    offsets = np.cumsum([0, *LENGTHS]).astype(np.int64)
    return Tokens(np.concatenate(ids).astype(np.int32), offsets, None, left=kind == "xlnet")


def job(kind: str, name: str, precision: str, seed: int, rows: Tokens, labels: np.ndarray) -> Job:
    """One step over all rows, then an evaluation on them."""
    made: Any = method(name)
    model = build(backbone(kind), made(**OPTIONS.get(name, {})), seed)
    every = np.arange(len(rows))
    spare(model, CPU, precision, *attempts(model, rows, every, 0))
    examples = Examples(rows, labels, every)
    training = Training(batch_size=8, precision=precision, evals=1, schedule="constant", warmup=0.0)  # type: ignore[arg-type]
    return Job(
        model=model,
        fit=examples,
        select=examples,
        score=examples,
        regression=False,
        metrics=("accuracy",),
        steps=1,
        lr=1e-3,
        training=training,
        order_seed=seed,
        dropout_seed=seed,
        pad_id=0,
        device=CPU,
        flops=lambda tokens, squares, examples: 0.0,
    )


def margins(evaluation: Evaluation) -> np.ndarray:
    """The difference of the two logits of each row."""
    probability = evaluation.select.probability
    assert probability is not None
    assert math.isfinite(evaluation.select.loss)
    return np.diff(np.log(probability.astype(np.float64)))[:, 0]


def apart(found: np.ndarray, wanted: np.ndarray) -> float:
    """Relative to the wanted norm."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


def moved(before: dict[str, Tensor], job: Job) -> dict[str, float]:
    """How far each trained tensor has come."""
    return {name: float((t - before[name]).abs().max()) for name, t in trained_tensors(job.model).items()}


@pytest.mark.parametrize(
    ("kind", "name"),
    [pytest.param(*pair, marks=() if pair in QUICK else pytest.mark.slow) for pair in MATRIX],
)
def test_a_step_and_an_evaluation_in_either_precision_alone_and_packed(kind: str, name: str) -> None:
    """In bfloat16 every pair that trains in float32 trains: finite, near to float32, and the same tensors move. What
    can be packed in float32 can be packed in bfloat16, to the same end as alone."""
    rows, labels = tokens(kind), np.array([0, 1, 0, 1, 1, 0])
    try:
        job(kind, name, "fp32", 1, rows, labels)
    except MethodError:
        pytest.skip("the method refuses the model")
    alone: dict[str, list[np.ndarray]] = {}
    moves: dict[str, dict[str, float]] = {}
    reasons = {}
    for precision in ("fp32", "bf16"):
        alone[precision] = []
        for seed in (1, 2):
            one = job(kind, name, precision, seed, rows, labels)
            before = {name: t.clone() for name, t in trained_tensors(one.model).items()}
            alone[precision] += [margins(evaluation) for evaluation in train(one, Progress())]
            moves[precision] = moved(before, one)
        both = [job(kind, name, precision, seed, rows, labels) for seed in (1, 2)]
        share_frozen(both[0].model, both[1].model)
        reasons[precision] = obstacle(both)
        if reasons[precision] is not None:
            continue
        before = {name: t.clone() for name, t in trained_tensors(both[1].model).items()}
        lanes = [Lane(one, Progress(), make_optimizer(one.model, one.lr, one.training.weight_decay)) for one in both]
        packed = [margins(event) for _, event in train_together([*lanes]) if isinstance(event, Evaluation)]
        for mine, theirs in zip(alone[precision], packed, strict=True):
            assert apart(theirs, mine) < (1e-3 if precision == "fp32" else 0.1)
        assert {key for key, way in moved(before, both[1]).items() if way} == {
            key for key, way in moves[precision].items() if way
        }
    assert reasons["fp32"] == reasons["bf16"]
    for exact, rounded in zip(alone["fp32"], alone["bf16"], strict=True):
        assert 0 < apart(rounded, exact) < 0.1
    assert {key for key, way in moves["bf16"].items() if way} == {key for key, way in moves["fp32"].items() if way}
    assert any(moves["bf16"].values())


class Picky(nn.Module):
    """A layer that cannot compute with what autocast makes of its inputs; `when` says in which precision it fails."""

    def __init__(self, when: Callable[[Tensor], bool]) -> None:
        super().__init__()
        self.inner, self.when = nn.Linear(4, 4), when

    def forward(self, x: Tensor, also: dict[str, Tensor] | None = None) -> Tensor:
        found: Tensor = self.inner(x) + (0 if also is None else also["more"])
        if self.when(found):
            raise RuntimeError("value cannot be converted")
        return found


class Deep(nn.Module):
    """A linear layer, the picky one, and another linear layer; `outside` runs on its result."""

    def __init__(self, when: Callable[[Tensor], bool], outside: Callable[[Tensor], bool] = lambda x: False) -> None:
        super().__init__()
        self.first, self.block, self.last = nn.Linear(4, 4), nn.ModuleList([Picky(when)]), nn.Linear(4, 2)
        self.outside, self.seen = outside, list[torch.dtype]()

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x)
        middle = self.block[0](first, {"more": first})
        found: Tensor = self.last(middle)
        if self.outside(found):
            raise RuntimeError("value cannot be converted")
        self.seen = [first.dtype, middle.dtype, found.dtype]
        return found


def rounded(x: Tensor) -> bool:
    return x.dtype == torch.bfloat16


def attempt(model: nn.Module) -> Callable[[str], Tensor]:
    def run(precision: str) -> Tensor:
        with autocast(CPU, precision):
            found: Tensor = model(torch.ones(3, 4))
        found.float().sum().backward()
        return found

    return run


def test_only_what_fails_runs_in_float32() -> None:
    model = Deep(rounded)
    assert spare(model, CPU, "bf16", attempt(model)) == ["block.0"]
    attempt(model)("bf16")
    assert model.seen == [torch.bfloat16, torch.float32, torch.bfloat16]
    assert isinstance(model.block[0], Picky)
    assert all(p.grad is not None for p in model.parameters())


def test_in_float32_and_where_all_works_nothing_is_changed() -> None:
    for model, precision in ((Deep(rounded), "fp32"), (Deep(lambda x: False), "bf16")):
        assert spare(model, CPU, precision, attempt(model)) == []
        assert type(model.block[0]) is Picky


def test_a_copy_computes_with_its_own_weights() -> None:
    model = Deep(rounded)
    spare(model, CPU, "bf16", attempt(model))
    copied = copy.deepcopy(model)
    with torch.no_grad():
        model.block[0].inner.bias.fill_(1e5)  # type: ignore[union-attr, operator]
    assert (
        float(attempt(copied)("bf16").detach().abs().max()) < 100 < float(attempt(model)("bf16").detach().abs().max())
    )


def test_what_fails_outside_of_any_module_trains_in_float32_throughout() -> None:
    model = Deep(rounded, outside=rounded)
    assert spare(model, CPU, "bf16", attempt(model)) == [""]
    assert attempt(model)("bf16").dtype == torch.float32


def test_what_fails_in_float32_too_is_left_to_say_so() -> None:
    model = Deep(lambda x: True)
    assert spare(model, CPU, "bf16", attempt(model)) == []
    with pytest.raises(RuntimeError, match="cannot be converted"):
        attempt(model)("bf16")


class Child(nn.Module):
    """Is handed a tensor in a wrapping that nobody looks into."""

    def forward(self, x: Tensor, wrapped: Callable[[], Tensor]) -> Tensor:
        if rounded(wrapped()):
            raise RuntimeError("value cannot be converted")
        return x + wrapped()


class Parent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.child = nn.Linear(4, 4), Child()

    def forward(self, x: Tensor) -> Tensor:
        found = self.linear(x)
        out: Tensor = self.child(x, lambda: found)
        return out


def test_a_spared_module_that_still_fails_takes_its_parent_with_it() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Parent(), nn.Linear(4, 2))
    assert spare(model, CPU, "bf16", attempt(model)) == ["1"]
    assert attempt(model)("bf16").dtype == torch.bfloat16


def test_a_lack_of_memory_is_no_finding() -> None:
    def starved(precision: str) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(torch.OutOfMemoryError):
        spare(Deep(rounded), CPU, "bf16", starved)


def test_two_members_that_do_not_fit_say_nothing_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, *given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Tried, "together", full)
    rows = tokens("bert")
    alone, together, evaluation = attempts(tiny_model("bert"), rows, np.arange(len(rows)), 0)
    together("fp32")
    monkeypatch.setattr(Tried, "outputs", full)
    for one in (alone, evaluation):
        with pytest.raises(torch.OutOfMemoryError):
            one("fp32")
