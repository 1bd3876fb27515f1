"""A trial's identity: what is part of it, what is not, and ids that stay the same."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from finebench.bench.methods import method, methods
from finebench.bench.study.load import build_study
from finebench.bench.study.parts.budget import Budget
from finebench.bench.study.parts.seeds import Seeds
from finebench.bench.study.parts.training import Select, Training
from finebench.bench.study.plan import Identities, Plan
from finebench.bench.study.trial_id import Identity, Trial

GOLDEN = Path(__file__).parents[1] / "golden_trial_ids.json"


def trial(**changes: Any) -> Trial:
    made = Trial(
        stage="grid",
        method="lora",
        hyperparameters=method("lora")(lr=1e-3).model_dump(),
        task=Identity("mini-cola", "v1"),
        model=Identity("embedded", "abc"),
        fraction=0.3,
        seeds=Seeds.paired(1),
        budget=Budget(steps=10),
        training=Training(),
        select=Select(),
    )
    return replace(made, **changes)


CHANGES: dict[str, dict[str, Any]] = {
    "method": {"method": "full", "hyperparameters": method("full")(lr=1e-3).model_dump()},
    "lr": {"hyperparameters": method("lora")(lr=2e-3).model_dump()},
    "hyperparameter": {"hyperparameters": method("lora")(lr=1e-3, r=2).model_dump()},
    "task": {"task": Identity("mini-mrpc", "v1")},
    "task revision": {"task": Identity("mini-cola", "v2")},
    "model revision": {"model": Identity("embedded", "abd")},
    "fraction": {"fraction": 0.5},
    "init": {"seeds": Seeds(2, 1, 1)},
    "order": {"seeds": Seeds(1, 2, 1)},
    "subset": {"seeds": Seeds(1, 1, 2)},
    "budget": {"budget": Budget(steps=11)},
    "budget unit": {"budget": Budget(seconds=10)},
    "training": {"training": Training(batch_size=32)},
    "select": {"select": Select(fraction=0.2)},
    "ranks": {"ranks": 2},
    "more ranks": {"ranks": 4},
    "shard": {"ranks": 4, "shard": "full"},
}


@pytest.mark.parametrize("what", CHANGES)
def test_all_that_can_change_the_result_is_in_the_id(what: str) -> None:
    assert trial(**CHANGES[what]).id != trial().id


def test_every_change_gives_another_id() -> None:
    ids = [trial().id, *(trial(**changes).id for changes in CHANGES.values())]
    assert len(set(ids)) == len(ids)


def test_stage_and_the_models_name_are_not() -> None:
    assert trial(stage="confirm").id == trial().id
    assert trial(model=Identity("/somewhere/else", "abc")).id == trial().id


def test_at_the_full_fraction_the_subset_seed_is_not() -> None:
    whole = trial(fraction=1.0)
    assert replace(whole, seeds=Seeds(1, 1, 2)).id == whole.id
    assert replace(whole, seeds=Seeds(1, 2, 1)).id != whole.id


def test_a_default_written_out_is_the_same_trial() -> None:
    spelt = method("lora")(**method("lora")(lr=1e-3).model_dump()).model_dump()
    assert trial(hyperparameters=spelt).id == trial().id
    assert trial(training=Training(batch_size=16, warmup=0.06)).id == trial().id


def test_the_order_of_hyperparameters_does_not_matter() -> None:
    backwards = dict(reversed(trial().hyperparameters.items()))
    assert trial(hyperparameters=backwards).id == trial().id
    assert trial(hyperparameters=backwards).configuration == trial().configuration


def test_an_integer_learning_rate_is_the_float() -> None:
    whole, real = (trial(hyperparameters=method("lora")(lr=lr).model_dump()) for lr in (1, 1.0))
    assert whole.id == real.id


def test_a_new_version_of_a_method_is_a_new_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    before = trial().id
    monkeypatch.setattr(method("lora"), "version", method("lora").version + 1)
    assert trial().id != before


@given(
    st.floats(1e-6, 1, exclude_max=True),
    st.floats(0.01, 1),
    st.tuples(*[st.integers(1, 999)] * 3),
    st.sampled_from([Budget(steps=3), Budget(epochs=0.5, min_steps=2), Budget(seconds=2.5), Budget(flops=1e12)]),
)
def test_json_brings_back_the_same_trial(
    lr: float, fraction: float, seeds: tuple[int, int, int], budget: Budget
) -> None:
    made = trial(
        hyperparameters=method("lora")(lr=lr).model_dump(), fraction=fraction, seeds=Seeds(*seeds), budget=budget
    )
    again = Trial.from_json(made.to_json())
    assert again == made
    assert again.id == made.id


def golden_study() -> Plan:
    """Every method at its defaults, two fractions, paired and crossed seeds, and each kind of budget."""
    names = [name + "OFT" if name.endswith(":") else name for name in methods()]
    raw = {
        "name": "golden",
        "tasks": ["mini-cola", "mrpc"],
        "methods": {name: {"lr": 0.001} for name in names},
        "fractions": [0.3, 1.0],
        "seeds": {"init": 1, "order": 1, "subset": 2},
        "budget": [{"steps": 10}, {"epochs": 3, "min_steps": 200}, {"seconds": 60}, {"flops": 1e15}],
    }
    return Plan(build_study(raw, "golden.yaml", Path(".")))


def golden_ids() -> dict[str, str]:
    plan = golden_study()
    known = Identities(Identity("m", "r1"), {name: Identity(name, "v1") for name in plan.study.task_names})
    return {
        f"{t.task.name} {t.method} {t.fraction:g} {t.seeds.code} {t.budget.canonical}": t.id for t in plan.grid(known)
    }


def test_golden_ids() -> None:
    """An id that changes makes every stored result of that kind unreachable.

    If a default, a method or the training code changed on purpose: raise its version, tell it in CHANGELOG.md, and
    write the file anew with `python -m tests.bench.study.test_trial_id`. A new method only adds lines.
    """
    assert golden_ids() == json.loads(GOLDEN.read_text(encoding="utf-8"))


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(golden_ids(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
