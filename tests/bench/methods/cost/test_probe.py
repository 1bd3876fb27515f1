"""The probe: whole checkpoints counted from their configs, in a child process, answers kept."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from finebench.bench.methods import method
from finebench.bench.methods.cost import method_cost, probe, probing
from finebench.bench.models.hub import known_architecture
from finebench.bench.util.errors import MethodError
from tests.bench.tiny_models import CONFIGS, tiny_architecture

TINY = {"model_type": "bert", **CONFIGS["bert"]}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path))


@pytest.mark.parametrize(
    ("model", "total"),
    [
        ("FacebookAI/roberta-base", 124_647_170),
        ("distilbert/distilbert-base-uncased", 66_955_010),
        ("google/electra-base-discriminator", 109_483_778),
        ("microsoft/deberta-v3-base", 184_423_682),
        ("albert/albert-base-v2", 11_685_122),
        ("google-bert/bert-large-uncased", 335_143_938),
        ("openai-community/gpt2", 124_441_344),
    ],
)
def test_known_checkpoints_have_their_published_size(model: str, total: int) -> None:
    arch = known_architecture(model)
    assert arch is not None
    with torch.device("meta"):
        built = probing.build_shape(arch.raw, 2)
    assert sum(parameter.numel() for parameter in built.parameters()) == total
    if arch.bert_like:
        assert method_cost.count(method("full")(), arch, 2).total == total


@pytest.mark.parametrize("name", ["full", "head", "bitfit", "adapter", "lora", "ia3", "layernorm"])
def test_probe_and_closed_form_agree(name: str) -> None:
    arch, tuned = tiny_architecture("bert"), method(name)()
    found = probe.probe(arch.raw, name, tuned.model_dump(), 2)
    assert (found.encoder, found.head, found.total) == tuple(vars(method_cost.count(tuned, arch, 2)).values())
    assert method_cost.Flops(*found.forward[:3])(160, 6400) == pytest.approx(
        method_cost.forward_flops(tuned, arch, 2)(160, 6400), rel=1e-6
    )
    assert method_cost.Flops(*found.train[:3])(160, 6400) == pytest.approx(
        method_cost.train_flops(tuned, arch, 2)(160, 6400), rel=0.03
    )


def test_answers_are_kept_whatever_the_learning_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    first = probe.probe(TINY, "vera", {"lr": 1e-3, "r": 4}, 2)
    monkeypatch.setattr(probing, "answer", lambda request: pytest.fail("asked again"))
    assert probe.probe(TINY, "vera", {"lr": 1e-2, "r": 4}, 2) == first


def test_the_method_shapes_the_answer() -> None:
    small, large = (probe.probe(TINY, "prompt", {"tokens": tokens}, 2) for tokens in (4, 8))
    assert (small.encoder, large.encoder) == (4 * 32, 8 * 32)
    assert large.train[2] > small.train[2]


def test_products_of_weights_alone_are_shared_by_the_batch() -> None:
    found = probe.probe(TINY, "dora", {}, 2)
    products = 4 * 2 * (2 * 32 * 32 * 8)  # four matrices; peft sends an identity of 32 through A, then through B
    assert found.forward[3] == products
    assert probe.probe(TINY, "lora", {}, 2).forward[3] == 0
    arch, dora = tiny_architecture("bert"), method("dora")()
    one, many = (method_cost.forward_flops(dora, arch, 2, batch_size=size).example for size in (1, 32))
    assert one - many == products * (1 - 1 / 32)


def test_tuners_that_need_real_weights_are_built_for_real() -> None:
    found = probe.probe(TINY, "peft:LOHA", {"r": 2}, 2)
    assert found.error is None
    assert found.encoder == 2 * 2 * 2 * 2 * (32 + 32)  # two layers, query and value, two factor pairs of rank 2
    assert found.train[0] > found.forward[0] > 0


def test_an_inapplicable_method_is_an_answer_with_its_reason() -> None:
    with pytest.raises(MethodError, match=r"unknown hyperparameter of peft's LOHA 'rank'; .*rank_dropout"):
        method_cost.count(method("peft:LOHA")(rank=4), tiny_architecture("bert"), 2)


@pytest.mark.slow
def test_a_process_without_torch_asks_the_child_and_restarts_one_that_has_ended() -> None:
    code = (
        "import sys; from finebench.bench.methods.cost import probe;"
        f"ask = lambda r: probe.probe({TINY!r}, 'lora', {{'r': r}}, 2).encoder;"
        "one = ask(2); probe._child()._process.kill(); probe._child()._process.wait();"
        "print(one, ask(4), 'torch' in sys.modules)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == ["512", "1024", "False"]


def test_the_child_answers_many_requests_and_prints_nothing_else() -> None:
    child = probe._Child()
    request = {"config": TINY, "method": "bitfit", "hyperparameters": {}, "num_labels": 3, "pooler": True}
    try:
        assert child.ask(request)["head"] == 3 * 32 + 3
        assert child.ask(request | {"pooler": False})["head"] == 3 * 32 + 3 + 32 * 32 + 32
        refused = child.ask(request | {"method": "adapter", "config": {"model_type": "llama", **CONFIGS["llama"]}})
        assert "does not apply to models of type 'llama'" in refused["error"]
    finally:
        child.close()


def test_a_config_that_is_no_classifier_is_refused() -> None:
    found: Any = probe.probe({"model_type": "vit"}, "full", {}, 2)
    assert "'vit' cannot be built for classification" in found.error


SEQ2SEQ = {"vocab_size": 64, "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "max_position_embeddings": 64}
SEQ2SEQ |= {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
T5 = {"vocab_size": 64, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4}
LONGFORMER = CONFIGS["bert"] | {"attention_window": [8, 8]}


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "bart", **SEQ2SEQ},
        {"model_type": "mbart", **SEQ2SEQ},
        {"model_type": "t5", "decoder_start_token_id": 0, **T5},
        {"model_type": "umt5", **T5},
        {"model_type": "longformer", **LONGFORMER},
    ],
    ids=lambda config: config["model_type"],
)
def test_models_that_look_for_their_end_token_or_have_an_own_attention_are_counted(config: dict[str, Any]) -> None:
    found = probe.probe(config, "full", {}, 2)
    assert found.error is None
    with torch.device("meta"):
        built = probing.build_shape(config, 2)
    assert found.total == sum(parameter.numel() for parameter in built.parameters())


@pytest.mark.parametrize("name", ["prompt", "peft:PROMPT_TUNING", "peft:P_TUNING"])
@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "bart", **SEQ2SEQ},
        {"model_type": "t5", "decoder_start_token_id": 0, **T5},
        {"model_type": "longformer", **LONGFORMER},
    ],
    ids=lambda config: config["model_type"],
)
def test_what_a_model_cannot_compute_is_a_reason_and_no_traceback(config: dict[str, Any], name: str) -> None:
    shape = {} if name == "prompt" else {"num_virtual_tokens": 4}
    found = probe.probe(config, name, shape, 2)
    assert found.error is not None
    assert found.error.startswith(f"{name} does not work on a {config['model_type']} model: ")


def test_a_failure_while_counting_leaves_the_child_alive() -> None:
    """Whatever the library raises: an AssertionError while the model is built, here."""
    child = probe._Child()
    request = {"config": TINY | {"pad_token_id": 64}, "method": "lora", "hyperparameters": {}, "num_labels": 2}
    try:
        assert "AssertionError" in child.ask(request | {"pooler": True})["error"]
        assert child.ask(request | {"pooler": True, "config": TINY})["error"] is None
    finally:
        child.close()


@pytest.mark.parametrize("kind", ["PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING"])
def test_a_prompt_tuner_without_a_length_is_told_which_option_it_lacks(kind: str) -> None:
    found = probe.probe(TINY, f"peft:{kind}", {}, 2)
    assert found.error == f"peft's {kind} needs num_virtual_tokens, the length of its prompt in tokens, e.g. 20"


def test_a_prompt_of_peft_takes_up_positions_of_the_text() -> None:
    tuned = method("peft:PROMPT_TUNING")(num_virtual_tokens=12)
    assert tuned.positions == 12
    assert method("peft:LOHA")().positions == 0
    with pytest.raises(MethodError, match="leave no room in 16 positions"):
        tuned.check(tiny_architecture("bert", max_position_embeddings=16))
