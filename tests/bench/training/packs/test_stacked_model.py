"""Packs are exact: K trials trained as one stacked model give what each gives alone.

With dropout everywhere (attention too), clipping that bites, and members that differ in learning rate, seeds, order,
rows and number of steps. In float64 to 1e-10; in float32 to what rounding allows.
"""

import dataclasses
import gc
import math
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from finebench.bench.data.tokenize import Tokens, collate
from finebench.bench.driver.validate import Prepared
from finebench.bench.models import attention, dropout
from finebench.bench.models.dropout import step_keys, stream
from finebench.bench.models.parameters import trained_parameters, trained_tensors
from finebench.bench.results.lock import Lock
from finebench.bench.results.record import Record
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.trial_id import Trial
from finebench.bench.training.loop import CHECK_EVERY
from finebench.bench.training.optimiser import make_optimizer
from finebench.bench.training.packs import batched_loop
from finebench.bench.training.packs.stacked_adamw import clip_rows
from finebench.bench.training.packs.stacked_model import Stack, cannot_pack, mismatch, share_frozen
from finebench.bench.training.prediction import autocast
from finebench.bench.training.worker import make_job, pack_runner
from finebench.bench.training.worker.messages import Pack, Share, Shipment
from finebench.bench.training.worker.pack_runner import PackRun
from finebench.bench.training.worker.trial_runner import Member
from finebench.bench.training.worker.worker_cache import WorkerCache
from tests.bench.tiny import tiny_prepared
from tests.bench.tiny_models import CONFIGS, tiny_model

METHODS: dict[str, dict[str, Any]] = {
    "full": {"lr": [1e-3, 3e-3]},
    "bitfit": {"lr": [5e-3, 1e-2]},
    "pfeiffer": {"lr": [3e-3, 1e-2], "variant": "pfeiffer"},
    "houlsby": {"lr": [3e-3, 1e-2], "variant": "houlsby"},
    "parallel": {"lr": [3e-3, 1e-2], "variant": "parallel"},
    "lora": {"lr": [3e-3, 1e-2], "dropout": 0.2},
    "lora_plus": {"lr": [1e-3, 3e-3], "ratio": 7.0},
    "layerwise": {"lr": [1e-3, 3e-3], "decay": 0.6},
}
STEPS = (7, 5)
ALONE = [
    pytest.param(name, task, marks=[] if name in ("full", "lora", "houlsby", "lora_plus") else [pytest.mark.slow])
    for name, task in [*((name, "mini-cola") for name in METHODS), ("bitfit", "mini-stsb")]
]
"""Methods and tasks that are compared in float64; one of each way to be stacked, whatever the machine's time."""


@dataclass
class World:
    """Trials of one method, and what training them comes to."""

    ready: Prepared
    trials: tuple[Trial, ...]

    def cache(self, lock: Lock | None = None, **changes: Any) -> WorkerCache:
        """A fresh worker cache whose backbone has dropout everywhere."""
        shipment = Shipment("tiny", str(self.ready.model.folder), self.ready.tasks, timeout=600.0)
        if lock is not None:
            shipment = dataclasses.replace(shipment, results=lock.folder.root, run=lock.token)
        cache = WorkerCache(dataclasses.replace(shipment, **changes), Share())
        for module in cache.backbone(self.ready.tasks[self.trials[0].task.name]).model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.15
        return cache

    def run(self, *trials: Trial, lock: Lock | None = None, **changes: Any) -> PackRun:
        """A pack, fused wherever it has several members, trained to its end."""
        run = PackRun(self.cache(lock, **changes), Pack(trials), fused=True)
        while run.advance() is not None:
            pass
        return run


def world(name: str, task: str = "mini-cola") -> World:
    """Four trials: two learning rates, two fractions, two numbers of steps, two seeds."""
    method = "adapter" if "variant" in METHODS[name] else name
    ready = tiny_prepared(
        tasks=[task],
        methods={method: METHODS[name]},
        fractions=[0.02, 0.05],
        budget=[{"steps": steps} for steps in STEPS],
        seeds=2,
        training={"evals": 2, "batch_size": 8, "max_grad_norm": 0.05, "weight_decay": 0.1},
        select={"at_least": 10},
    )
    plan, cells = ready.plan, list(ready.plan.cells())
    chosen = [(0, 0, 1), (1, 1, 2), (2, 1, 1), (3, 0, 2)]
    trials = [
        plan.trial(cells[c], "grid", plan.points(cells[c])[p], Seeds.paired(s), ready.known) for c, p, s in chosen
    ]
    return World(ready, tuple(trials))


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Tensor]]:
    """Trained tensors of every trial that reaches its end: by trial id, of the latest run."""
    found: dict[str, dict[str, Tensor]] = {}
    complete = Member.complete

    def spying(self: Any) -> None:
        found[self.trial.id] = {name: t.clone() for name, t in trained_tensors(self.lane.job.model).items()}
        complete(self)

    monkeypatch.setattr(Member, "complete", spying)
    return found


@pytest.fixture
def double(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every model is built in float64."""
    build = make_job.build
    monkeypatch.setattr(make_job, "build", lambda *given: build(*given).double())


def same(a: Record, b: Record, atol: float) -> None:
    """The same outcome, evaluations and predictions."""
    exact = ("trial_id", "status", "reason", "steps", "examples", "tokens", "train_flops", "trainable_params", "n_fit")
    assert {key: a.trial[key] for key in exact} == {key: b.trial[key] for key in exact}
    for key in ("select_score", "score", "score_last"):
        np.testing.assert_allclose(a.trial[key], b.trial[key], atol=atol)
    ours, theirs = a.evals.to_pylist(), b.evals.to_pylist()
    assert [(r["step"], r["split"], r["lr"]) for r in ours] == [(r["step"], r["split"], r["lr"]) for r in theirs]
    for key in ("loss", "value"):
        np.testing.assert_allclose([r[key] for r in ours], [r[key] for r in theirs], atol=atol)
    mine, other = (t.predictions["prediction"].to_numpy() for t in (a, b))
    np.testing.assert_allclose(mine, other, atol=atol)
    mine, other = (pc.list_flatten(t.predictions["probability"]).to_numpy() for t in (a, b))
    np.testing.assert_allclose(mine, other, atol=max(atol, 1e-7))  # stored as float32


def tensors_agree(a: dict[str, Tensor], b: dict[str, Tensor], atol: float) -> None:
    """Every trained tensor, by name."""
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], rtol=0, atol=atol, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("name", "task"), ALONE)
def test_a_pack_is_its_members_alone(name: str, task: str, ends: dict[str, dict[str, Tensor]]) -> None:
    """Trained tensors, scores, evaluations and predictions, to 1e-10 in float64."""
    here = world(name, task)
    alone = [here.run(trial).records()[0] for trial in here.trials]
    apart = dict(ends)
    ends.clear()
    run = here.run(*here.trials)
    assert run.notes() == []
    for one, record, packed in zip(alone, run.records(), run.members, strict=True):
        assert record.trial["status"] == "ok", record.trial["reason"]
        same(one, record, 1e-10)
        tensors_agree(apart[packed.trial.id], ends[packed.trial.id], 1e-10)
        assert packed.measured.pack_size == len(here.trials)
        assert record.trial["peak_memory_bytes"] is None


def test_in_float32_a_pack_differs_by_rounding(ends: dict[str, dict[str, Tensor]]) -> None:
    """Rounding alone: 1e-4 on probabilities. (Adam turns rounding in a vanishing gradient into a step of its own.)"""
    here = world("bitfit")
    alone = [here.run(trial).records()[0] for trial in here.trials]
    for one, record in zip(alone, here.run(*here.trials).records(), strict=True):
        same(one, record, 1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_in_bfloat16_a_pack_is_as_near_to_float32_as_a_trial_alone(name: str) -> None:
    """By the gradients of a step with dropout, which rounding moves by 2 to 5 %. (Over many steps Adam makes a
    step of its own of every rounding in a vanishing gradient, so that trajectories part.)"""
    here = world(name)
    cache = here.cache()
    models = [Member(trial, cache, None).prepare().job.model.train() for trial in here.trials[:2]]
    task = here.ready.tasks["mini-cola"]
    batch = collate(cache.tokens(task, "train", 64), np.arange(16), 0)
    labels, keys = torch.from_numpy(task.train.labels[:16]), step_keys([1, 2], [1, 1])

    def alone(k: int, precision: str) -> dict[str, Tensor]:
        with stream(torch.from_numpy(keys[k])), autocast(torch.device("cpu"), precision):
            logits = models[k](**batch).logits.float()
        own = trained_parameters(models[k])
        found = torch.autograd.grad(cross_entropy(logits, labels), list(own.values()))
        return dict(zip(own, found, strict=True))

    exact = [alone(k, "fp32") for k in range(2)]
    rounded = [alone(k, "bf16") for k in range(2)]
    stack = Stack(models, [make_optimizer(model, 1e-3, 0.0) for model in models])
    with autocast(torch.device("cpu"), "bf16"):
        logits = stack.logits({key: torch.stack([value, value]) for key, value in batch.items()}, keys)
    loss = cross_entropy(logits[0], labels) + cross_entropy(logits[1], labels)
    packed = dict(zip(stack.leaves, torch.autograd.grad(loss, list(stack.leaves.values())), strict=True))

    def error(found: dict[str, Tensor], k: int) -> float:
        """Mean over tensors of the relative error; a gradient that is 0 but for rounding (a key's bias) is none."""
        counts = [key for key, grad in exact[k].items() if float(grad.norm()) > 1e-5]
        return float(np.mean([float((found[key] - exact[k][key]).norm() / exact[k][key].norm()) for key in counts]))

    for k in range(2):
        own = error(rounded[k], k)
        assert 1e-3 < own < 0.2
        assert error({key: grad[k] for key, grad in packed.items()}, k) < 4 * own


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("who", [0, 2])
def test_one_that_diverges_leaves_and_harms_no_other(
    who: int, ends: dict[str, dict[str, Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the step at which it diverges alone, with the same reason."""
    here = world("full")
    job = Member.make_job

    def reckless(self: Any, *given: Any) -> Any:
        made, audit = job(self, *given)
        return (dataclasses.replace(made, lr=1e300) if self.trial is here.trials[who] else made), audit

    monkeypatch.setattr(Member, "make_job", reckless)
    alone = [here.run(trial).records()[0] for trial in here.trials]
    assert [record.trial["status"] for record in alone].count("diverged") == 1
    assert alone[who].trial["status"] == "diverged"
    apart = dict(ends)
    ends.clear()
    for one, record in zip(alone, here.run(*here.trials).records(), strict=True):
        if record.trial["trial_id"] == here.trials[who].id:
            assert (record.trial["status"], record.trial["reason"]) == ("diverged", one.trial["reason"])
            assert record.trial["steps"] == one.trial["steps"]
        else:
            same(one, record, 1e-10)
            tensors_agree(apart[record.trial["trial_id"]], ends[record.trial["trial_id"]], 1e-10)


@pytest.mark.usefixtures("double")
def test_a_checkpoint_goes_from_pack_to_solo_and_back(lock: Lock, ends: dict[str, dict[str, Tensor]]) -> None:
    """A pack is stopped; some members go on alone, are stopped again, and end in a pack."""
    here = world("lora")
    for trial in here.trials:
        here.run(trial)
    apart = dict(ends)
    ends.clear()

    def stop_at(step: int, *trials: Trial) -> PackRun:
        where = here.cache(lock)
        run = PackRun(where, Pack(trials), fused=True)
        where.watch.asked = lambda: any(member.progress.steps >= step for member in run.members)
        while run.advance() is not None:
            pass
        assert run.stopped
        return run

    assert [member.progress.steps for member in stop_at(2, *here.trials).members] == [2] * 4
    stop_at(3, here.trials[0])
    stop_at(4, here.trials[1])
    assert not ends
    run = here.run(*here.trials, lock=lock)
    assert not run.stopped
    assert [record.trial["status"] for record in run.records()] == ["ok"] * 4
    for trial in here.trials:
        tensors_agree(apart[trial.id], ends[trial.id], 1e-10)


def test_a_trial_that_was_ever_part_of_a_pack_says_so(lock: Lock) -> None:
    """Its times are not its own, also where it ends alone."""
    here = world("bitfit")
    where = here.cache(lock)
    run = PackRun(where, Pack(here.trials), fused=True)
    where.watch.asked = lambda: run.members[0].progress.steps >= 2
    while run.advance() is not None:
        pass
    alone = here.run(here.trials[0], lock=lock)
    assert alone.members[0].measured.pack_size == 4
    assert alone.records()[0].trial["peak_memory_bytes"] is None


def test_time_runs_out_for_the_pack_as_for_one() -> None:
    """All are told, each at its own step."""
    here = world("bitfit")
    statuses = [record.trial["status"] for record in here.run(*here.trials, timeout=0.0).records()]
    assert statuses == ["timeout"] * 4


def test_a_member_that_cannot_be_built_is_an_error_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The others train as a pack without it."""
    here = world("bitfit")
    job = Member.make_job

    def failing(self: Any, *given: Any) -> Any:
        if self.trial is here.trials[0]:
            raise ValueError("no such model")
        return job(self, *given)

    monkeypatch.setattr(Member, "make_job", failing)
    statuses = [record.trial["status"] for record in here.run(*here.trials).records()]
    assert statuses == ["error", "ok", "ok", "ok"]


def test_what_breaks_the_shared_step_ends_every_member(monkeypatch: pytest.MonkeyPatch) -> None:
    """Out of memory in the pack is out of memory for all, so that all are tried again."""
    here = world("bitfit")

    def full(*given: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(batched_loop, "_step", full)
    statuses = [record.trial["status"] for record in here.run(*here.trials).records()]
    assert statuses == ["oom"] * 4


def test_members_that_cannot_be_stacked_are_trained_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit for bit as alone, and a note says why."""
    here = world("bitfit")
    alone = [here.run(trial).records()[0] for trial in here.trials]
    monkeypatch.setattr(pack_runner, "obstacle", lambda jobs: "they are too different")
    run = here.run(*here.trials)
    assert run.notes() == [f"{here.trials[0].id}: a pack of 4 is trained in turn: they are too different"]
    for one, record, packed in zip(alone, run.records(), run.members, strict=True):
        same(one, record, 0.0)
        assert packed.measured.pack_size == 4  # what they took in memory cannot be told apart


def test_a_member_that_has_ended_is_freed_while_others_go_on() -> None:
    """With the buffers that its tensors are views of."""
    here = world("bitfit")
    run = PackRun(here.cache(), Pack(here.trials), fused=True)
    run.advance()
    models = {member.trial.id: weakref.ref(member.lane.job.model) for member in run.members if member.lane}
    ended: set[str] = set()
    while run.advance() is not None:
        gc.collect()
        assert [models[one]() for one in ended] == [None] * len(ended)
        ended |= {member.trial.id for member in run.members if member.finished}
    assert ended


def test_a_pack_that_is_given_up_is_freed() -> None:
    """As a timed one is, and one that its search stops."""
    here = world("bitfit")
    for fused in (True, False):
        run = PackRun(here.cache(), Pack(here.trials[:2]), fused=fused)
        run.advance()
        models = [weakref.ref(member.lane.job.model) for member in run.members if member.lane]
        run.close()
        gc.collect()
        assert len(models) == 2
        assert [model() for model in models] == [None, None]


def test_frozen_tensors_are_held_once() -> None:
    """However many members; what differs between them is not shared."""
    first, second = tiny_model("bert"), tiny_model("bert")
    for model in (first, second):
        model.requires_grad_(False)
        model.classifier.requires_grad_(True)
    with torch.no_grad():
        second.bert.pooler.dense.weight.add_(1)
    share_frozen(first, second)
    places = [dict(m.named_parameters()) for m in (first, second)]
    apart = {name for name in places[0] if places[0][name].data_ptr() != places[1][name].data_ptr()}
    assert apart == {"bert.pooler.dense.weight", "classifier.weight", "classifier.bias"}
    stack = Stack([first, second], [make_optimizer(m, 1e-3, 0.0) for m in (first, second)])
    assert stack.own.keys() == {"bert.pooler.dense.weight"}
    assert first.classifier.weight.data_ptr() == stack.flat.data_ptr()


def test_clipping_is_each_rows_own() -> None:
    """As torch's clip_grad_norm_ on each row alone; a row that is not finite spoils no other."""
    grad = torch.randn(3, 50, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grad[2, 7] = float("nan")
    wanted = []
    for row, most in zip(grad, (0.5, 1e9, 1.0), strict=True):
        parameter = nn.Parameter(torch.zeros(50, dtype=torch.float64))
        parameter.grad = row.clone()
        nn.utils.clip_grad_norm_([parameter], most)
        wanted.append(parameter.grad)
    clip_rows(grad, torch.tensor([0.5, 1e9, 1.0], dtype=torch.float64))
    torch.testing.assert_close(grad, torch.stack(wanted), rtol=1e-12, atol=0, equal_nan=True)


def test_models_of_other_shapes_are_refused() -> None:
    """By name of what differs."""
    assert mismatch([tiny_model("bert"), tiny_model("bert")]) is None
    reason = mismatch([tiny_model("bert"), tiny_model("bert", num_labels=3)])
    assert reason == "the members' tensors differ in shape: classifier.bias, classifier.weight"


def tokens() -> Tokens:
    """Two rows of different length."""
    ids = np.arange(3, 15, dtype=np.int32)
    return Tokens(ids, np.array([0, 8, 12]), None)


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_family_runs_in_a_pack(kind: str) -> None:
    """Its randomness is keyed, padding changes nothing, and vmap carries it."""
    model = keyed(tiny_model(kind))
    assert cannot_pack(model, tokens(), np.array([0, 1]), 0) is None


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("kind", ["modernbert", "mistral"])
def test_padding_beyond_a_window_runs_in_a_pack(kind: str, precision: str) -> None:
    """Queries that see nothing spoil neither outputs nor gradients, with attention dropout too."""
    model = keyed(tiny_model(kind, attention_dropout=0.1))
    long = Tokens(np.arange(44, dtype=np.int32) + 3, np.array([0, 4, 44]), None)
    assert cannot_pack(model, long, np.array([0, 1]), 0, precision) is None


def keyed(model: Any) -> Any:
    """A model as `build` hands it out."""
    attention.use_keyed(model)
    dropout.use_keyed(model)
    return model


def spoil(model: Any, change: Callable[[Any, Tensor], Tensor]) -> Any:
    """A model whose classifier does something else to its input."""
    model.classifier.register_forward_pre_hook(lambda module, inputs: (change(module, inputs[0]),))
    return model


def test_a_model_with_a_stream_of_its_own_cannot_be_packed() -> None:
    """Its dropout is then the process's, reseeded at every step, and it trains alone."""
    model = spoil(keyed(tiny_model("bert")), lambda module, x: nn.functional.dropout(x, 0.1, module.training))
    assert cannot_pack(model, tokens(), np.array([0, 1]), 0) == "the model draws random numbers that are not keyed"


def test_a_model_whose_rows_meet_cannot_be_packed() -> None:
    """What a row gives must not depend on how the batch is filled up."""
    model = spoil(keyed(tiny_model("bert")), lambda module, x: x + 100 * x.sum(0))
    reason = cannot_pack(model, tokens(), np.array([0, 1]), 0)
    assert reason == "the model's outputs in a pack are not what they are alone"


class _Backward(torch.autograd.Function):
    """The identity, whose gradient in a pack is another."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, packed: bool) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.packed = inputs[1]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return (grad * math.nan if ctx.packed else grad), None


def test_a_model_whose_gradients_differ_cannot_be_packed() -> None:
    """Its outputs are the same."""
    model = spoil(keyed(tiny_model("bert")), lambda module, x: _Backward.apply(x, dropout.in_vmap()))
    reason = cannot_pack(model, tokens(), np.array([0, 1]), 0)
    assert reason == "the model's gradients in a pack are not what they are alone"


def test_a_model_that_breaks_in_the_trials_precision_cannot_be_packed() -> None:
    """In float32 it is fine."""
    model = spoil(
        keyed(tiny_model("bert")),
        lambda module, x: x * math.nan if dropout.in_vmap() and torch.is_autocast_enabled("cpu") else x,
    )
    assert cannot_pack(model, tokens(), np.array([0, 1]), 0) is None
    reason = cannot_pack(model, tokens(), np.array([0, 1]), 0, "bf16")
    assert reason == "the model's outputs in a pack are not what they are alone"


def test_a_model_is_tried_on_the_shortest_row_beside_the_longest() -> None:
    """Wherever they stand: what goes wrong with much padding is seen before training."""
    here = world("bitfit")
    run = PackRun(here.cache(), Pack(here.trials), fused=True)
    jobs = [one.prepare().job for one in run.members]
    lengths = jobs[0].fit.tokens.lengths
    every = np.concatenate([lengths[job.fit.rows] for job in jobs])
    assert lengths[batched_loop._extremes(jobs)].tolist() == [every.min(), every.max()]


@pytest.mark.parametrize("given", [[0, 1], [1, 0]])
def test_padding_is_tried_in_whatever_order_the_rows_come(given: list[int]) -> None:
    """The shorter one's output depends on its padding here."""
    model = spoil(keyed(tiny_model("bert")), lambda module, x: x)
    model.bert.register_forward_pre_hook(
        lambda module, args, kwargs: (args, kwargs | {"attention_mask": torch.ones_like(kwargs["attention_mask"])}),
        with_kwargs=True,
    )
    reason = cannot_pack(model, tokens(), np.array(given), 0)
    assert reason == "the model's outputs in a pack are not what they are alone"


def test_a_model_that_looks_at_values_cannot_be_packed() -> None:
    """vmap has none to show."""
    model = spoil(keyed(tiny_model("bert")), lambda module, x: x if bool(x.sum() > 0) else -x)
    reason = cannot_pack(model, tokens(), np.array([0, 1]), 0)
    assert reason is not None
    assert reason.startswith("the model cannot run under vmap")


def test_a_gpu_is_waited_for_as_seldom_as_alone() -> None:
    """Between looks no loss is fetched."""
    here = world("bitfit")
    run = PackRun(here.cache(), Pack(here.trials), fused=True)
    lane = run.members[0].prepare()
    on_gpu = dataclasses.replace(lane, job=dataclasses.replace(lane.job, device=torch.device("cuda"), steps=200))
    looked = []
    for step in range(1, 201):
        on_gpu.progress.steps = step
        looked += [step] * batched_loop._looks(on_gpu)
    assert looked == [k * CHECK_EVERY for k in range(1, 5)]


class Unused(nn.Module):
    """Has a trained matrix that no output depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(4, 2), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Any:
        return SimpleNamespace(logits=self.used(x))


def test_what_has_no_gradient_is_left_as_it_is_without_decay() -> None:
    """As torch's own optimiser does for one trial."""
    models: list[nn.Module] = [Unused(), Unused()]
    stack = Stack(models, [make_optimizer(model, 1e-2, 0.5) for model in models])
    before = [{name: t.clone() for name, t in trained_tensors(model).items()} for model in models]
    logits = stack.logits({"x": torch.ones(2, 3, 4)}, step_keys([1, 2], [1, 1]))
    stack.update(logits.square().sum((1, 2)), torch.full((2,), math.inf), [1e-2, 1e-2])
    for model, old in zip(models, before, strict=True):
        moved = {name for name, tensor in trained_tensors(model).items() if not torch.equal(tensor, old[name])}
        assert moved == {"used.weight", "used.bias"}
