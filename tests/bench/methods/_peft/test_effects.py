"""Options of peft's tuners that do nothing are found and refused; those that do something are not."""

from typing import Any

import pytest
import torch

from finebench.bench.methods import method
from finebench.bench.methods._peft.effects import find_effects
from finebench.bench.methods.cost import probing
from finebench.bench.methods.cost.probe import probe
from finebench.bench.models.freeze_check import FreezeAudit
from finebench.bench.models.narrow import narrowed
from finebench.bench.models.parameters import trained_tensors
from finebench.bench.util.errors import MethodError
from tests.bench.tiny_models import CONFIGS, tiny_model

TINY = {"model_type": "bert", **CONFIGS["bert"]}

INERT: list[tuple[str, dict[str, Any], str]] = [
    ("LORA", {"use_qalora": True}, "use_qalora: True"),
    ("LORA", {"eva_config": {"rho": 3.0}}, "eva_config.rho: 3.0"),
    ("LORA", {"rank_pattern": {"query": 4, "qeury": 2}}, "rank_pattern.qeury: 2"),
    ("LORA", {"fan_in_fan_out": True}, "fan_in_fan_out: True"),
    ("LORA", {"exclude_modules": ["qeury"]}, "exclude_modules: ['qeury']"),
    ("ADAMSS", {"r": 8, "use_asa": True}, "use_asa: True"),
    ("ADAMSS", {"r": 8, "svd_threshold": 0.5}, "svd_threshold: 0.5"),
    ("LOKR", {"rank_dropout_scale": True}, "rank_dropout_scale: True"),
    ("PREFIX_TUNING", {"num_virtual_tokens": 4, "encoder_hidden_size": 16}, "encoder_hidden_size: 16"),
    ("PROMPT_TUNING", {"num_virtual_tokens": 4, "token_dim": 7}, "token_dim: 7"),
]
EFFECTIVE: list[tuple[str, dict[str, Any]]] = [
    ("LORA", {"init_lora_weights": "pissa", "r": 4, "lora_alpha": 32, "use_rslora": True}),
    ("LORA", {"init_lora_weights": "gaussian", "bias": "all", "lora_dropout": 0.01}),
    ("LORA", {"target_modules": ["query", "value"]}),  # what the default chooses, too
    ("LORA", {"target_modules": ".*(query|value)"}),
    ("LORA", {"layers_to_transform": 0}),
    ("LORA", {"layers_to_transform": [0, 1]}),  # all layers there are
    ("LORA", {"rank_pattern": {"query": 8}, "alpha_pattern": {"query": 4}}),
    ("LORA", {"trainable_token_indices": [3, 4]}),
    ("LORA", {"kasa_config": {}}),
    ("LOHA", {"module_dropout": 0.01}),
    ("ADAMSS", {"r": 8, "random_seed": 3}),
    ("SHIRA", {"r": 4, "random_seed": 3}),
    ("PVERA", {"r": 8, "sample_at_inference": True}),
    ("OSF", {"effective_rank": 4}),
    ("PREFIX_TUNING", {"num_virtual_tokens": 4, "encoder_hidden_size": 16, "prefix_projection": True}),
]


@pytest.mark.parametrize(("kind", "options", "says"), INERT)
def test_an_option_without_effect_is_refused(kind: str, options: dict[str, Any], says: str) -> None:
    acts = find_effects(tiny_model("bert"), method(f"peft:{kind}")(**options)).acts
    assert acts[says] is False
    assert [said for said, does in acts.items() if not does] == [says]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"alora_invocation_tokens": [3]}, "trains nothing but the head"),
        ({"init_lora_weights": "eva"}, "init_lora_weights: eva is worked out from data before training"),
        ({"init_lora_weights": "lora_ga", "r": 4}, "init_lora_weights: lora_ga is worked out from data"),
        ({"init_lora_weights": "corda"}, "init_lora_weights: corda is worked out from data"),
    ],
)
def test_what_cannot_be_what_it_means_is_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(MethodError, match=says):
        find_effects(tiny_model("bert"), method("peft:LORA")(**options))


@pytest.mark.parametrize(("kind", "options"), EFFECTIVE)
def test_an_option_with_an_effect_is_not(kind: str, options: dict[str, Any]) -> None:
    model = tiny_model("bert")
    before, drawn = FreezeAudit(model), torch.get_rng_state()
    assert all(find_effects(model, method(f"peft:{kind}")(**options)).acts.values())
    assert before.check(model) == []
    assert torch.equal(drawn, torch.get_rng_state())


def test_the_probe_knows_before_anything_runs(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path))
    assert probe(TINY, "peft:LORA", {"use_qalora": True, "r": 4}, 2).effects == {
        "use_qalora: True": False,
        "r: 4": True,
    }


# What tuners store


def test_the_audit_reads_a_part_that_begins_between_two_words() -> None:
    model = tiny_model("bert")
    model.register_buffer("part", torch.arange(9.0)[1:8])
    audit = FreezeAudit(model)
    assert audit.check(model) == []
    model.get_buffer("part")[6] += 1
    assert audit.check(model) == ["part"]


@pytest.mark.parametrize("rank", [3, 7])
def test_osf_passes_the_audit(rank: int) -> None:
    model = method("peft:OSF")(effective_rank=rank).apply(tiny_model("bert", hidden_size=36, intermediate_size=65))
    assert FreezeAudit(model).check(model) == []


def test_what_a_tuner_decomposes_is_the_same_under_any_number_of_threads() -> None:
    def built(threads: int) -> dict[str, torch.Tensor]:
        torch.set_num_threads(threads)
        torch.manual_seed(0)
        model = method("peft:ADAMSS")(r=16).apply(tiny_model("bert"))
        assert torch.get_num_threads() == threads
        return trained_tensors(model) | dict(model.named_buffers())

    before = torch.get_num_threads()
    try:
        one, two = built(1), built(2)
    finally:
        torch.set_num_threads(before)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


SEVEN_BILLION = {
    "model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "head_dim": 128,
    "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "bos_token_id": 128000,
    "eos_token_id": 128001, "max_position_embeddings": 4096,
}  # fmt: skip


def test_a_large_model_is_tried_on_a_narrow_one_of_its_shape() -> None:
    small = narrowed(SEVEN_BILLION)
    assert small is not None
    assert (small["hidden_size"], small["intermediate_size"], small["head_dim"]) == (256, 688, 8)
    assert {key: small[key] for key in ("num_hidden_layers", "num_attention_heads", "num_key_value_heads")} == {
        "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    }  # fmt: skip
    assert small["bos_token_id"] < small["vocab_size"]
    assert narrowed({"model_type": "llama"}) is None
    assert narrowed(SEVEN_BILLION | {"intermediate_size": 11009}) is None


def test_an_option_without_effect_on_a_large_model_is_found() -> None:
    options = {"use_qalora": True, "layers_to_transform": 31, "r": 8}
    request = {"config": SEVEN_BILLION, "num_labels": 2, "method": "peft:LORA", "hyperparameters": options}
    found = probing._effects(request | {"pooler": False})
    assert found.trace is not None
    assert [said for said, does in found.acts.items() if not does] == ["use_qalora: True"]
