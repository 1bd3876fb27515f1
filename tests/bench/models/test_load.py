"""Loading: pristine backbones, heads drawn from the trial's seed, honest counts, clear refusals."""

import copy
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification, BertModel

from finebench.bench.methods import method
from finebench.bench.methods.cost import method_cost
from finebench.bench.models.architecture import read_architecture
from finebench.bench.models.freeze_check import FreezeAudit
from finebench.bench.models.load import Backbone, load_backbone
from finebench.bench.models.parameters import (
    fresh_names,
    head_parameter_names,
    mark_fresh,
    trainable_counts,
    trained_tensors,
)
from finebench.bench.training.build_model import build
from finebench.bench.training.worker.weights import delta_bytes, put_back
from finebench.bench.util.errors import ModelError
from tests.bench.tiny_models import CONFIGS, DECODERS, OTHERS, tiny_model

EMBEDDED = Path(__file__).resolve().parents[3] / "bench" / "data" / "embedded" / "model"
HEAD = ("classifier.weight", "classifier.bias")
POOLER = ("bert.pooler.dense.weight", "bert.pooler.dense.bias")
BATCH = {"input_ids": torch.tensor([[5, 6, 7, 8]]), "attention_mask": torch.ones(1, 4, dtype=torch.long)}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone(EMBEDDED, 2, False)


def save_folder(folder: Path, model: Any) -> Path:
    """A model folder with the embedded tokenizer."""
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt"):
        shutil.copy(EMBEDDED / name, folder / name)
    return folder


def test_loads_float32_in_evaluation_mode_with_the_pretrained_encoder(backbone: Backbone) -> None:
    assert not backbone.model.training
    assert {p.dtype for p in backbone.model.parameters()} == {torch.float32}
    weights = load_file(EMBEDDED / "model.safetensors")
    own = dict(backbone.model.named_parameters())
    same = [name for name in own if name in weights or name.removeprefix("bert.") in weights]
    assert len(same) >= len(own) - 4
    assert all(torch.equal(own[n], weights[n] if n in weights else weights[n.removeprefix("bert.")]) for n in same)
    assert backbone.head_names == {"classifier.weight", "classifier.bias"}


def test_regression_has_one_output() -> None:
    found = load_backbone(EMBEDDED, 1, True)
    assert found.model(**BATCH).logits.shape == (1, 1)


def test_the_seed_draws_the_head_and_nothing_else(backbone: Backbone) -> None:
    a, b, c = (dict(build(backbone, method("full")(), seed).named_parameters()) for seed in (1, 1, 2))
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert [name for name in a if not torch.equal(a[name], c[name])] == ["classifier.weight"]
    assert a["classifier.weight"].std().item() == pytest.approx(0.02, rel=0.25)


@pytest.mark.parametrize("name", ["adapter", "lora", "vera"])
def test_methods_share_the_head_of_a_seed_and_draw_their_own_from_it(backbone: Backbone, name: str) -> None:
    head = build(backbone, method("full")(), 7).get_parameter("classifier.weight")
    one, two = (dict(build(backbone, method(name)(), seed).named_parameters()) for seed in (7, 8))
    assert torch.equal(next(p for n, p in one.items() if n.endswith("classifier.weight")), head)
    assert any(not torch.equal(one[n], two[n]) for n in one if "classifier" not in n) or name == "vera"


def test_building_leaves_the_process_and_the_backbone_alone(backbone: Backbone) -> None:
    audit = FreezeAudit(backbone.model)
    torch.manual_seed(5)
    want = torch.rand(3)
    torch.manual_seed(5)
    for name in ("full", "bitfit", "adapter", "lora"):
        model = build(backbone, method(name)(), 1)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
    assert torch.equal(torch.rand(3), want)
    assert audit.check(backbone.model) == []
    assert audit.idle(backbone.model) == sorted(n for n, p in backbone.model.named_parameters() if p.requires_grad)


def test_the_audit_sees_every_kind_of_tampering(backbone: Backbone) -> None:
    model = build(backbone, method("bitfit")(), 1)
    audit = FreezeAudit(model)
    assert audit.check(model) == []
    weight = model.get_parameter("bert.encoder.layer.0.output.dense.weight")
    with torch.no_grad():
        weight.view(-1).view(torch.int32)[17] ^= 1  # the least bit of one number
    assert audit.check(model) == ["bert.encoder.layer.0.output.dense.weight"]
    with torch.no_grad():
        weight.view(-1).view(torch.int32)[17] ^= 1
        model.get_parameter("bert.encoder.layer.0.output.dense.bias").add_(1.0)  # trained: allowed
    assert audit.check(model) == []
    model.get_buffer("bert.embeddings.position_ids")[0, 3] += 1
    assert audit.check(model) == ["bert.embeddings.position_ids"]


def test_the_audit_sees_an_even_number_of_equal_changes() -> None:
    model = torch.nn.Linear(8, 8).requires_grad_(False)
    torch.nn.init.zeros_(model.bias)
    audit = FreezeAudit(model)
    model.bias.add_(0.125)
    assert audit.check(model) == ["bias"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.complex64, torch.int8])
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_the_audit_reads_tensors_that_are_parts_of_others(dtype: torch.dtype, offset: int) -> None:
    """OSF's factors begin anywhere within a storage."""
    model = torch.nn.Module()
    model.register_buffer("part", torch.ones(40).to(dtype)[offset : offset + 21])
    audit = FreezeAudit(model)
    assert audit.check(model) == []
    model.get_buffer("part")[20] = 2
    assert audit.check(model) == ["part"]


def test_counts_tell_head_and_encoder_apart_under_pefts_copies(backbone: Backbone) -> None:
    hidden = backbone.model.config.hidden_size
    layers = backbone.model.config.num_hidden_layers
    for name, encoder in (("prompt", 4 * hidden), ("lora", layers * 2 * 8 * 2 * hidden)):
        model = build(backbone, method(name)(**({"tokens": 4} if name == "prompt" else {})), 1)
        total = sum(p.numel() for p in backbone.model.parameters()) + encoder
        assert trainable_counts(model, backbone.head_names) == (encoder, 2 * hidden + 2, total)


def test_an_encoder_without_its_pooler_draws_one_as_part_of_the_head(tmp_path: Path) -> None:
    model = tiny_model("bert")
    folder = save_folder(tmp_path, BertModel(model.config, add_pooling_layer=False))
    found = load_backbone(folder, 2, False)
    assert {"bert.pooler.dense.weight", "bert.pooler.dense.bias"} < found.head_names
    one, two = (build(found, method("head")(), seed) for seed in (1, 2))
    changed = {n for (n, p), q in zip(one.named_parameters(), two.parameters(), strict=True) if not torch.equal(p, q)}
    assert changed == {"bert.pooler.dense.weight", "classifier.weight"}
    assert one.get_parameter("bert.pooler.dense.weight").requires_grad


def test_a_pooler_that_was_never_trained_is_drawn_anew_as_part_of_the_head(tmp_path: Path) -> None:
    """Its biases are exactly zero; one value that is not, and it is kept, frozen where the method leaves it so."""
    model = BertModel(tiny_model("bert").config)
    weight = model.pooler.dense.weight.detach().clone()
    folder = save_folder(tmp_path / "untrained", model)
    found = load_backbone(folder, 2, False)
    assert found.head_names == {"classifier.weight", "classifier.bias", *POOLER}
    tuned = method("lora")()
    one = build(found, tuned, 1)
    assert one.get_parameter(POOLER[0]).requires_grad
    assert not torch.equal(one.get_parameter(POOLER[0]), weight)
    counts = method_cost.count(tuned, read_architecture(folder), 2)
    assert trainable_counts(one, found.head_names) == (counts.encoder, counts.head, counts.total)
    torch.nn.init.constant_(model.pooler.dense.bias[3:4], 1e-3)
    folder = save_folder(tmp_path / "trained", model)
    found = load_backbone(folder, 2, False)
    assert found.head_names == {"classifier.weight", "classifier.bias"}
    one = build(found, tuned, 1)
    assert not one.get_parameter(POOLER[0]).requires_grad
    assert torch.equal(one.get_parameter(POOLER[0]), weight)
    counts = method_cost.count(tuned, read_architecture(folder), 2)
    assert trainable_counts(one, found.head_names) == (counts.encoder, counts.head, counts.total)


def test_another_tasks_head_is_not_kept(tmp_path: Path) -> None:
    folder = save_folder(tmp_path, tiny_model("roberta"))
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["RobertaForSequenceClassification"]
    found = load_backbone(folder, 2, False)
    head = build(found, method("full")(), 1).get_parameter("classifier.dense.weight")
    assert not torch.equal(head, found.model.get_parameter("classifier.dense.weight"))
    assert load_backbone(folder, 3, False).model(**BATCH).logits.shape == (1, 3)


@pytest.mark.parametrize("architectures", [["BertForMultipleChoice"], ["MyOwnClassifier"], [], None])
def test_what_lies_outside_the_backbone_is_drawn_whatever_the_checkpoint_was(
    tmp_path: Path, architectures: list[str] | None
) -> None:
    """A head of the same names and shapes, trained for another task, is none of this trial's."""
    folder = save_folder(tmp_path, tiny_model("bert"))
    config = json.loads((folder / "config.json").read_text()) | {"architectures": architectures}
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    for name in HEAD:
        weights[name] = torch.full_like(weights[name], 3.0)
    weights[POOLER[1]] = torch.full_like(weights[POOLER[1]], 0.5)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    found = load_backbone(folder, 2, False)
    assert found.head_names == set(HEAD)
    one, two = (build(found, method("full")(), seed) for seed in (1, 2))
    assert not torch.equal(one.get_parameter(HEAD[0]), two.get_parameter(HEAD[0]))
    assert all(bool((one.get_parameter(name) != 3).all()) for name in HEAD)
    assert torch.equal(one.get_parameter(POOLER[1]), weights[POOLER[1]])


@pytest.mark.parametrize("kind", [*CONFIGS, *OTHERS])
def test_every_familys_head_is_drawn_whole(kind: str) -> None:
    """No value of the checkpoint's is left, and the backbone keeps all of its own."""
    model = tiny_model(kind)
    mark_fresh(model, head_parameter_names(model))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(7.0)
    found = build(Backbone(model, head_parameter_names(model), None, 0), method("full")(), 1)
    for name, parameter in found.named_parameters():
        assert bool(((parameter == 7) == (name not in fresh_names(model))).all()), name


def test_a_module_that_the_architecture_does_not_draw_draws_itself(backbone: Backbone) -> None:
    model = copy.deepcopy(backbone.model)
    model._init_weights = lambda module: None
    one, two = (build(dataclasses.replace(backbone, model=model), method("full")(), s) for s in (1, 2))
    assert not torch.equal(one.get_parameter(HEAD[0]), two.get_parameter(HEAD[0]))
    model.classifier.reset_parameters = None
    model.classifier.own = torch.nn.Parameter(torch.ones(2))
    mark_fresh(model, frozenset({"classifier.own"}))
    with pytest.raises(ModelError, match="how to draw its head anew is not known"):
        build(dataclasses.replace(backbone, model=model), method("full")(), 1)


def test_what_a_method_begins_with_does_not_depend_on_threads(backbone: Backbone) -> None:
    """ADAMSS decomposes and clusters the weights."""
    threads = torch.get_num_threads()
    digests = set()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            digests.add(FreezeAudit(build(backbone, method("peft:ADAMSS")(), 1)).digest())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert len(digests) == 1


@pytest.mark.parametrize("kind", DECODERS)
def test_decoders_read_the_last_token_of_the_text(tmp_path: Path, kind: str) -> None:
    found = load_backbone(save_folder(tmp_path, tiny_model(kind)), 2, False)
    assert found.head_names == {"score.weight"}
    ids = torch.tensor([[5, 6, 7, found.pad_id]])
    with torch.no_grad():
        padded = found.model(input_ids=ids, attention_mask=torch.tensor([[1, 1, 1, 0]])).logits
        torch.testing.assert_close(padded, found.model(input_ids=ids[:, :3]).logits)


def broken(folder: Path, what: str) -> None:
    weights = folder / "model.safetensors"
    if what == "cut":
        weights.write_bytes(weights.read_bytes()[:-1000])
    elif what == "gone":
        weights.unlink()
    elif what == "code":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "evil.Model"}}))
    elif what == "pickle":
        weights.unlink()
        torch.save({"x": Path("evil")}, folder / "pytorch_model.bin")
    elif what == "part":
        kept = {n: t for n, t in load_file(weights).items() if "layer.1." not in n}
        save_file(kept, weights, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("cut", "model.safetensors: the model cannot be loaded"),
        ("gone", "has no weights: none of model.safetensors"),
        ("code", "config.json: key 'auto_map' asks for code"),
        ("pickle", "pytorch_model.bin: the model cannot be loaded"),
        ("part", "model.safetensors: 16 weights of the encoder are missing"),
    ],
)
def test_a_damaged_folder_is_refused_with_one_message(tmp_path: Path, what: str, message: str) -> None:
    folder = save_folder(tmp_path, tiny_model("bert"))
    broken(folder, what)
    with pytest.raises(ModelError, match=message):
        load_backbone(folder, 2, False)


def test_a_bin_file_loads_when_it_holds_weights_only(tmp_path: Path) -> None:
    model = tiny_model("bert")
    folder = save_folder(tmp_path, model)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    found = load_backbone(folder, 2, False)
    name = "bert.encoder.layer.0.output.dense.weight"
    assert torch.equal(found.model.get_parameter(name), model.get_parameter(name))


def test_loading_says_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    load_backbone(EMBEDDED, 3, False)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("name", ["full", "bitfit", "adapter", "lora", "vera", "prefix", "layernorm"])
def test_a_delta_restores_the_trained_model(backbone: Backbone, tmp_path: Path, name: str) -> None:
    tuned = method(name)(**{"vera": {"r": 8}, "prefix": {"tokens": 4}}.get(name, {}))
    model = build(backbone, tuned, 3)
    with torch.no_grad():
        for tensor in trained_tensors(model).values():
            tensor.add_(torch.randn_like(tensor) * 0.1)
    path = tmp_path / "delta.safetensors"
    path.write_bytes(delta_bytes(trained_tensors(model), tuned, 3, {"task": "mini-cola"}))
    restored = put_back(path, backbone)
    with torch.no_grad():
        assert torch.equal(restored(**BATCH).logits, model.eval()(**BATCH).logits)


def test_a_foreign_delta_is_refused(backbone: Backbone, tmp_path: Path) -> None:
    path = tmp_path / "delta.safetensors"
    three = load_backbone(EMBEDDED, 3, False)
    tuned = method("head")()
    path.write_bytes(delta_bytes(trained_tensors(build(three, tuned, 1)), tuned, 1))
    with pytest.raises(ModelError, match=r"another model or number of labels; 'classifier.bias' differs"):
        put_back(path, backbone)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ModelError, match="holds no finebench delta"):
        put_back(path, backbone)
    path.write_bytes(b"nothing")
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        put_back(path, backbone)


def test_the_embedded_model_is_a_classifier_for_transformers_too() -> None:
    assert AutoModelForSequenceClassification.from_pretrained(EMBEDDED).config.model_type == "bert"
