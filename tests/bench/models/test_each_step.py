"""What tuners want at every step: called as peft's documentation has it, continued from checkpoints, never packed."""

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import AdaLoraConfig, AdamssConfig, LoraConfig, get_peft_model
from peft.tuners.lora.config import KasaConfig
from torch.nn.functional import cross_entropy

from finebench.bench.driver.forecast import forecast
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.driver.validate import prepare
from finebench.bench.methods import method
from finebench.bench.methods._peft.effects import find_effects
from finebench.bench.models.each_step import calls_of
from finebench.bench.models.parameters import base_name, trained_parameters
from finebench.bench.results.lock import Lock
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.training.evaluation import Progress
from finebench.bench.training.loop import batches, train
from finebench.bench.training.optimiser import learning_rate, make_optimizer
from finebench.bench.training.worker.messages import Pack
from finebench.bench.training.worker.pack_runner import PackRun
from finebench.bench.training.worker.trial_runner import Member
from finebench.bench.training.worker.weights import load_delta
from finebench.bench.util.errors import MethodError
from tests.bench.tiny import run_tiny, tiny_prepared, tiny_study
from tests.bench.tiny_models import tiny_model
from tests.bench.training import test_checkpoint
from tests.bench.training.test_checkpoint import cache, go_on, stop_at
from tests.bench.training.worker.test_pack_runner import make_trials, science

STEPS = 8
lock = test_checkpoint.lock  # a fixture
ADALORA = {"init_r": 4, "target_r": 2, "tinit": 2, "tfinal": 2}
ASA = {"r": 8, "use_asa": True, "asa_target_subspaces": 4, "init_warmup": 1, "final_warmup": 6, "mask_interval": 3}
CASES: list[tuple[str, dict[str, Any]]] = [
    ("ADALORA", ADALORA | {"deltaT": 2}),
    ("ADALORA", ADALORA | {"orth_reg_weight": 5.0}),
    ("ADAMSS", ASA),
    ("LORA", {"kasa_config": {"beta": 0.1, "gamma": 0.1}}),
]


def theirs(kind: str, options: dict[str, Any]) -> Any:
    """peft's config, as its documentation would have it written."""
    if kind == "ADALORA":
        return AdaLoraConfig(total_step=STEPS, task_type="SEQ_CLS", **options)
    return {"ADAMSS": AdamssConfig, "LORA": LoraConfig}[kind](task_type="SEQ_CLS", **options)


def in_a_plain_loop(kind: str, options: dict[str, Any], job: Any, model: Any) -> dict[str, torch.Tensor]:
    """Train peft's own model by a loop of the test's own; trained tensors by their base names."""
    torch.manual_seed(0)
    config = theirs(kind, options)
    if kind == "LORA":
        config.kasa_config = KasaConfig(**options["kasa_config"])
    tuned = get_peft_model(model, config)
    for name, parameter in tuned.named_parameters():
        if "modules_to_save" in name:
            parameter.requires_grad_(True)
    trained = [one for one in tuned.parameters() if one.requires_grad]
    optimizer = make_optimizer(tuned, job.lr, job.training.weight_decay)
    coming = batches(job)
    tuned.train()
    for step in range(1, STEPS + 1):
        rows = next(coming)
        batch = job.fit.tokens.batch(rows, 0)
        labels = torch.from_numpy(job.fit.labels[rows])
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, STEPS, job.lr, job.training)
        outputs = tuned(**batch, labels=labels)  # with labels AdaLoRA adds its penalty itself
        loss = outputs.loss if kind == "ADALORA" else cross_entropy(outputs.logits, labels)
        if kind == "LORA":
            loss = loss + tuned.base_model._get_kasa_loss()
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for p in trained if p.requires_grad], job.training.max_grad_norm)
        optimizer.step()
        if kind != "LORA":
            tuned.base_model.update_and_allocate(step)
        optimizer.zero_grad()
    return {base_name(name): one.detach() for name, one in tuned.named_parameters() if "original_module" not in name}


@pytest.mark.parametrize(("kind", "options"), CASES)
def test_training_is_that_of_a_loop_which_makes_the_calls(kind: str, options: dict[str, Any]) -> None:
    made = tiny_prepared(methods={"full": {"lr": 3e-2}}, budget={"steps": STEPS})
    where = cache(made)
    member = Member(make_trials(made)[0], where, None)
    job, _ = member.make_job()
    backbone = where.backbone(made.tasks["mini-cola"])
    for dropout in (m for m in backbone.model.modules() if isinstance(m, torch.nn.Dropout)):
        dropout.p = 0.0
    plain = copy.deepcopy(backbone.model)
    torch.manual_seed(0)
    ours = method(f"peft:{kind}")(**options).apply(copy.deepcopy(backbone.model))
    job = replace(job, model=ours, lr=3e-2, steps=STEPS)
    list(train(job, Progress()))
    found = {base_name(name): one.detach() for name, one in ours.named_parameters()}
    expected = in_a_plain_loop(kind, options, job, plain)
    for name in map(base_name, trained_parameters(ours)):
        torch.testing.assert_close(found[name], expected[name], rtol=1e-4, atol=1e-5)


def test_adalora_takes_ranks_away_and_asa_lets_subspaces_rest(tmp_path: Path) -> None:
    """Both stay among what is trained, stored and audited."""
    methods = {"peft:ADALORA": {"lr": 1e-2, **ADALORA}, "peft:ADAMSS": {"lr": 1e-2, **ASA}}
    study = tiny_study(methods=methods, budget={"steps": STEPS}, training={"evals": 1, "batch_size": 8})
    options = RunOptions(str(tmp_path), debug=True, keep="all")
    outcome = run_study(study, options, lambda scheduler: Observer(), lambda trial, reason, runs: None)
    assert outcome.statuses == {"ok": 2}
    left = {}
    for path in (tmp_path / "deltas").iterdir():
        model, _ = load_delta(str(path), "embedded")
        tensors = dict(model.named_parameters())
        if any("lora_E" in name for name in tensors):
            left["ranks"] = int(sum((one != 0).sum() for name, one in tensors.items() if "lora_E" in name))
            left["of"] = sum(one.numel() for name, one in tensors.items() if "lora_E" in name)
    assert left["of"] == 2 * left["ranks"]


@pytest.mark.parametrize(("kind", "options"), [("ADALORA", ADALORA), ("ADAMSS", ASA)])
def test_a_trial_that_goes_on_keeps_what_its_calls_rest_on(lock: Lock, kind: str, options: dict[str, Any]) -> None:
    name = f"peft:{kind}"
    made = tiny_prepared(methods={name: {"lr": [1e-2], **options}}, budget={"steps": STEPS})
    trial = make_trials(made)[0]
    (whole,) = PackRun(cache(made), Pack((trial,))).finish()
    assert stop_at(cache(made, lock), 5, trial).stopped
    (record,), notes = go_on(made, lock, trial)
    assert any("goes on at step 5" in note for note in notes)
    assert science(record) == science(whole)


def test_such_trials_are_trained_in_turn() -> None:
    made = tiny_prepared(methods={"peft:ADALORA": {"lr": 1e-2, **ADALORA}}, budget={"steps": STEPS}, seeds=2)
    run = PackRun(cache(made), Pack(tuple(make_trials(made, seeds=2))), fused=True)
    assert [record.trial["status"] for record in run.finish()] == ["ok", "ok"]
    assert "adds to the loss, or is called at every step" in " ".join(run.notes())


@pytest.mark.parametrize(
    ("kind", "options", "steps", "says"),
    [
        ("ADALORA", {"tinit": 5, "tfinal": 2}, 8, "tinit 5 and tfinal 2 leave no steps"),
        ("ADALORA", {}, 1, "tinit 0 and tfinal 0 leave no steps"),
        ("ADAMSS", ASA | {"mask_interval": 10, "final_warmup": 30}, 10, "no subspace to rest before step 10"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_budget_that_ends_too_soon_is_refused(
    kind: str, options: dict[str, Any], steps: int, says: str, verb: str
) -> None:
    study = tiny_study(methods={f"peft:{kind}": {"lr": 1e-2, **options}}, budget={"steps": steps})
    with pytest.raises(MethodError, match=rf"methods\.peft:{kind}: .*{says}.*has {steps}"):
        _ = forecast(study, None) if verb == "plan" else prepare(study, None)


def test_a_budget_in_seconds_that_ends_too_soon_is_a_row(tmp_path: Path) -> None:
    methods = {"peft:ADALORA": {"lr": 1e-2, "tinit": 10_000_000}}
    outcome = run_tiny(tmp_path, methods=methods, budget={"seconds": 0.1})
    assert outcome.statuses == {"error": 1}
    assert "leave no steps in which ranks are taken away" in outcome.failures[0]["reason"]


@pytest.mark.parametrize(
    ("kind", "options", "inert"),
    [
        ("ADALORA", ADALORA | {"deltaT": 2, "beta1": 0.5}, set()),
        ("ADALORA", ADALORA | {"r": 4}, {"r: 4"}),  # init_r is what counts
        ("ADAMSS", ASA | {"asa_importance_beta": 0.5}, set()),
        ("ADAMSS", ASA | {"asa_target_subspaces": 1000}, {"use_asa: True", "asa_target_subspaces: 1000"}),
        ("ADAMSS", {"r": 8, "mask_interval": 50}, {"mask_interval: 50"}),  # without use_asa
        ("LORA", {"kasa_config": {"beta": 0.5}}, set()),
    ],
)
def test_what_a_schedule_reads_has_an_effect_where_it_is_used(
    kind: str, options: dict[str, Any], inert: set[str]
) -> None:
    acts = find_effects(tiny_model("bert"), method(f"peft:{kind}")(**options)).acts
    assert {said for said, does in acts.items() if not does} >= inert
    assert bool(inert) == (not all(acts.values()))


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("ADALORA", {"init_r": 4, "target_r": 4}, "init_r 4 has to be above target_r 4"),
        ("ADALORA", {"total_step": 9}, "total_step"),
        ("LORA", {"monteclora_config": {}}, "monteclora_config is not offered"),
    ],
)
def test_what_cannot_be_called_is_refused(kind: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(MethodError, match=says):
        method(f"peft:{kind}")(**options).canonical().apply(tiny_model("bert"))


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    for kind, options in (("ADALORA", ADALORA), ("ADAMSS", ASA)):
        calls = calls_of(method(f"peft:{kind}")(**options).apply(tiny_model("bert")))
        assert calls is not None
        with pytest.raises((ValueError, KeyError)):
            calls.restore({"ipt/no.such": torch.ones(3)})
        assert calls.state() == {}
