"""Closed forms against built models: parameters on the meta device, FLOPs against torch's own counter."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import AutoConfig, AutoModelForSequenceClassification

from finebench.bench.methods import Method, longest_input, method, methods
from finebench.bench.methods.cost import method_cost
from finebench.bench.models.architecture import Architecture, from_config
from finebench.bench.models.hub import known_architecture
from finebench.bench.models.parameters import head_parameter_names, mark_fresh, pooler_names, trainable_counts
from finebench.bench.util.errors import MethodError
from tests.bench.tiny_models import tiny_architecture

BASE = "google-bert/bert-base-uncased"
SHAPES = [
    {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80, "vocab_size": 99},
    {
        "hidden_size": 64,
        "num_hidden_layers": 5,
        "num_attention_heads": 8,
        "intermediate_size": 256,
        "type_vocab_size": 1,
    },
    {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536},
]
CONFIGURATIONS: list[tuple[str, dict[str, Any]]] = [
    (name, {}) for name in methods() if not name.endswith(":") and name not in ("prefix", "prompt", "vera", "dora")
] + [
    ("bitfit", {"terms": "query"}),
    ("bitfit", {"terms": "attention_output+output"}),
    ("adapter", {"bottleneck": 5}),
    ("adapter", {"reduction_factor": 4, "train_layer_norm": True}),
    ("adapter", {"variant": "houlsby"}),
    ("adapter", {"variant": "houlsby", "train_layer_norm": False}),
    ("adapter", {"variant": "parallel", "reduction_factor": 8}),
    ("lora", {"target": "intermediate+output", "r": 3}),
    ("lora", {"target": "attention_output"}),
    ("lora", {"target": "query+key+value+attention_output+intermediate+output", "r": 16}),
]


def architecture(shape: dict[str, Any]) -> Architecture:
    defaults = {"vocab_size": 120, "max_position_embeddings": 64, "type_vocab_size": 2}
    return from_config({"model_type": "bert"} | defaults | shape, "test")


def built(tuned: Method, arch: Architecture, num_labels: int, device: str = "meta") -> tuple[Any, frozenset[str]]:
    options = {key: value for key, value in arch.raw.items() if key != "model_type"}
    config = AutoConfig.for_model(arch.model_type, num_labels=num_labels, **options)
    with torch.device(device):
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager")
    if not arch.pooler:
        mark_fresh(model, pooler_names(model))
    names = head_parameter_names(model)
    return tuned.apply(model), names


@pytest.mark.parametrize(
    ("name", "options", "num_labels", "trained"),
    [
        ("full", {}, 2, 109_483_778),
        ("head", {}, 2, 1_538),
        ("bitfit", {}, 2, 104_450),
        ("bitfit", {}, 1, 103_681),
        ("bitfit", {"terms": "query+intermediate"}, 2, 46_080 + 768 + 1_538),
        ("adapter", {"reduction_factor": 16}, 2, 896_066),
        ("adapter", {"variant": "houlsby", "bottleneck": 64}, 2, 2_417_666),
        ("lora", {"r": 8, "target": "query+value"}, 2, 296_450),
        ("ia3", {}, 2, 56_834),
    ],
)
def test_published_counts_on_bert_base(name: str, options: dict[str, Any], num_labels: int, trained: int) -> None:
    """Both ways: in closed form, and from the model built on the meta device."""
    arch = known_architecture(BASE)
    assert arch is not None
    tuned = method(name)(**options)
    counted = method_cost.count(tuned, arch, num_labels)
    assert counted.encoder + counted.head == trained
    model, names = built(tuned, arch, num_labels)
    assert trainable_counts(model, names) == (counted.encoder, counted.head, counted.total)


@pytest.mark.parametrize("pooler", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS)
def test_counts_are_those_of_the_built_model(
    name: str, options: dict[str, Any], shape: dict[str, Any], pooler: bool
) -> None:
    arch, tuned = replace(architecture(shape), pooler=pooler), method(name)(**options)
    assert method_cost.closed_form(tuned, arch) is not None
    counted = method_cost.count(tuned, arch, 3)
    model, names = built(tuned, arch, 3)
    assert trainable_counts(model, names) == (counted.encoder, counted.head, counted.total)


@pytest.mark.parametrize("pooler", [True, False])
@pytest.mark.parametrize("shape", SHAPES[:2])
@pytest.mark.parametrize(("name", "options"), CONFIGURATIONS)
def test_flops_are_those_of_torchs_counter(
    name: str, options: dict[str, Any], shape: dict[str, Any], pooler: bool
) -> None:
    """On a small BERT on the CPU, a batch of four inputs of 24 tokens."""
    arch, tuned = replace(architecture(shape), pooler=pooler), method(name)(**options)
    model, _ = built(tuned, arch, 2, "cpu")
    ids = torch.ones((4, 24), dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        logits = model(input_ids=ids).logits
        forward = counter.get_total_flops()
        logits.sum().backward()
    tokens, squares = ids.numel(), 4 * 24**2
    assert method_cost.forward_flops(tuned, arch, 2)(tokens, squares) == pytest.approx(forward, rel=1e-6)
    assert method_cost.train_flops(tuned, arch, 2)(tokens, squares) == pytest.approx(
        counter.get_total_flops(), rel=0.03
    )


def test_the_published_rule_of_thumb() -> None:
    """Backward over forward on BERT-base at 128 tokens: full 2.00, BitFit 1.027, LoRA on query and value 1.009."""
    arch = known_architecture(BASE)
    assert arch is not None
    for name, ratio in (("full", 2.0), ("bitfit", 1.027), ("lora", 1.009), ("head", 0.0)):
        tuned = method(name)()
        forward = method_cost.forward_flops(tuned, arch, 2)(128, 128**2)
        assert method_cost.train_flops(tuned, arch, 2)(128, 128**2) / forward - 1 == pytest.approx(ratio, abs=0.003)


def test_unequal_lengths_cost_their_squares() -> None:
    flops = method_cost.Flops(token=2.0, square=3.0, example=0.0)
    assert flops(10, 52) == 2.0 * 10 + 3.0 * 52
    assert method_cost.Flops(0.0, 0.0, 5.0)(4 * 8, 4 * 64) == 20.0
    assert method_cost.Flops(0.0, 0.0, 5.0)(0, 0) == 0.0


def test_a_method_that_does_not_apply_is_not_counted() -> None:
    arch = known_architecture("answerdotai/ModernBERT-base")
    assert arch is not None
    with pytest.raises(MethodError, match="no bias terms"):
        method_cost.count(method("bitfit")(), arch, 2)


_POSITIONS = [
    *("bert", "electra", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod", "camembert"),
    *("data2vec-text", "longformer", "mpnet", "ibert", "esm", "luke", "markuplm", "lilt", "layoutlmv3"),
]


@pytest.mark.parametrize(("kind", "padding"), [*((kind, 1) for kind in _POSITIONS), ("roberta", 0), ("roberta", 3)])
def test_the_longest_input_is_what_the_model_has_positions_for(kind: str, padding: int) -> None:
    """One more token and the model has none."""
    shape = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 64}
    sizes = {"vocab_size": 64, "max_position_embeddings": 20, "pad_token_id": padding, "attention_window": 4}
    own = {"entity_vocab_size": 8, "default_language": "en_XX"}  # Luke's and X-MOD's; LayoutLMv3's:
    own |= {"coordinate_size": 8, "shape_size": 8, "visual_embed": False}
    config = AutoConfig.for_model(kind, num_labels=2, **shape, **sizes, **own)
    model = AutoModelForSequenceClassification.from_config(config).eval()
    most = from_config(config.to_dict(), kind).max_tokens
    assert most is not None
    if padding == 1:  # what a config that does not name it stands for
        unnamed = {key: value for key, value in config.to_dict().items() if key != "pad_token_id"}
        assert from_config(unnamed, kind).max_tokens == most
    for length, fits in ((most, True), (most + 1, False)):
        ids = torch.full((1, length), 5)
        with torch.no_grad(), nullcontext() if fits else pytest.raises((IndexError, RuntimeError)):
            model(input_ids=ids, attention_mask=torch.ones_like(ids))


@pytest.mark.parametrize("name", ["prefix", "prompt"])
def test_a_methods_own_tokens_take_their_room_of_the_text(name: str) -> None:
    """Where the model's positions are fewer than what is asked for."""
    tuned = method(name)(tokens=5)  # type: ignore[call-arg]
    arch = tiny_architecture("bert")
    assert tuned.positions == 5
    assert longest_input(128, tuned, arch) == 64 - 5
    assert longest_input(16, tuned, arch) == 16
    assert longest_input(128, method("full")(), arch) == 64
