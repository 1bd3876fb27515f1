"""The embedded default: generated tasks that are fixed, clean and hard for word counts, and an encoder that helps."""

import hashlib
import json
import subprocess
import sys
from itertools import islice

import numpy as np
import pytest

from finebench.bench.data.embedded import MODEL_DIR, load_split
from finebench.bench.data.embedded.baselines import METRICS, constant, texts_of, word_counts
from finebench.bench.data.embedded.draw import Choices
from finebench.bench.data.embedded.edits import near_miss, swap_roles
from finebench.bench.data.embedded.meaning import event
from finebench.bench.data.embedded.phenomena_agreement import across_place
from finebench.bench.data.embedded.realise import forms_for, write
from finebench.bench.data.embedded.similarity import POLARITY, event_pair, grade
from finebench.bench.data.embedded.tasks import PHENOMENA, SIZES
from finebench.bench.data.embedded.text import documents, held_out
from finebench.bench.data.embedded.words import FORMS, VERBS, all_words, opposite_of, plural

TASKS = tuple(METRICS)
WORD_COUNT_LIMIT = {"mini-cola": 0.3, "mini-mrpc": 0.72, "mini-stsb": 0.7}
"""What TF-IDF with a linear model must stay under, in the task's main metric (accuracy for mini-mrpc)."""

DIGEST = """
import hashlib, json, sys
from finebench.bench.data.embedded import load_split
assert not {"torch", "transformers", "sklearn"} & set(sys.modules)
parts = [load_split(t, s) for t in ("mini-cola", "mini-mrpc", "mini-stsb") for s in ("train", "validation", "test")]
print(hashlib.sha256(json.dumps(parts).encode()).hexdigest())
"""
GOLDEN = "e518133d2e9a3e223823a387a0c9c1e958d3925c8745e774a6a38a4985afdb30"
"""Digest of all rows of generator version 1; it changes only together with GENERATOR_VERSION."""


def rows(task: str, split: str) -> list[tuple]:
    columns = load_split(task, split)
    return list(zip(*columns.values(), strict=True))


def test_every_process_generates_the_same_rows_and_no_heavy_import() -> None:
    out = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, text=True, check=True)
    parts = [load_split(task, split) for task in TASKS for split in SIZES]
    here = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    assert out.stdout.strip() == here == GOLDEN


@pytest.mark.parametrize("task", TASKS)
def test_columns_are_glue_shaped(task: str) -> None:
    texts = ["sentence"] if task == "mini-cola" else ["sentence1", "sentence2"]
    for split, size in SIZES.items():
        columns = load_split(task, split)
        assert list(columns) == [*texts, "label", "idx"]
        assert columns["idx"] == list(range(size))
        assert {len(values) for values in columns.values()} == {size}
        kinds = {type(label) for label in columns["label"]}
        assert kinds == ({float} if task == "mini-stsb" else {int})


def test_returned_lists_are_copies() -> None:
    load_split("mini-cola", "test")["sentence"].clear()
    assert len(load_split("mini-cola", "test")["sentence"]) == SIZES["test"]


def test_unknown_task_or_split_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="mini-sst"):
        load_split("mini-sst", "train")
    with pytest.raises(KeyError, match="dev"):
        load_split("mini-cola", "dev")


@pytest.mark.parametrize("task", TASKS)
def test_no_sentence_stands_twice(task: str) -> None:
    texts = [
        text
        for split in SIZES
        for columns in [load_split(task, split)]
        for n in texts_of(columns)
        for text in columns[n]
    ]
    assert len(set(texts)) == len(texts)


def test_pretraining_text_holds_no_validation_or_test_sentence() -> None:
    forbidden = held_out()
    assert len(forbidden) == 5 * (SIZES["validation"] + SIZES["test"])
    seen = {text for document in islice(documents(0), 20_000) for text in (document.first, document.second)}
    assert not seen & forbidden


def test_pretraining_stream_is_seeded() -> None:
    assert list(islice(documents(3), 50)) == list(islice(documents(3), 50)) != list(islice(documents(4), 50))


@pytest.mark.parametrize(("task", "low", "high"), [("mini-cola", 0.5, 0.62), ("mini-mrpc", 0.6, 0.7)])
def test_classes_are_about_balanced(task: str, low: float, high: float) -> None:
    for split in SIZES:
        assert low <= np.mean(load_split(task, split)["label"]) <= high


def test_grades_use_the_whole_scale() -> None:
    labels = np.array(load_split("mini-stsb", "train")["label"])
    counts, _ = np.histogram(labels, bins=5, range=(0, 5))
    assert labels.min() == 0.0
    assert labels.max() == 5.0
    assert counts.min() > len(labels) * 0.08
    assert np.allclose(labels * 5, np.round(labels * 5))


@pytest.mark.parametrize("task", TASKS)
def test_word_counts_do_not_solve_the_task(task: str) -> None:
    main = next(iter(word_counts(task).values()))
    assert main < WORD_COUNT_LIMIT[task]


def test_tfidf_is_a_fair_opponent() -> None:
    """It does learn what words can tell: better than the constant on grades and acceptability."""
    for task in ("mini-cola", "mini-stsb"):
        assert next(iter(word_counts(task).values())) > next(iter(constant(task).values())) + 0.05


def test_minimal_pairs_differ() -> None:
    draw = Choices(5)
    for phenomenon in PHENOMENA:
        pairs = [phenomenon(draw) for _ in range(200)]
        assert all(good != bad for good, bad in pairs), phenomenon.__name__
        assert len({good for good, _ in pairs}) > 150, phenomenon.__name__


def test_agreement_is_with_the_head_noun() -> None:
    good, bad = across_place(Choices(9))
    same = [a == b for a, b in zip(good.split(), bad.split(), strict=True)]
    assert same.count(False) == 1


@pytest.mark.parametrize("seed", range(5))
def test_writing_covers_every_form(seed: int) -> None:
    draw = Choices(seed)
    said = event(draw)
    for form in forms_for(said):
        text = write(said, draw, form)
        assert text[0].isupper()
        assert text.endswith(".")


def test_inflection() -> None:
    assert [plural(n) for n in ("child", "lady", "boss", "boy", "thief")] == [
        "children",
        "ladies",
        "bosses",
        "boys",
        "thieves",
    ]
    assert (FORMS["grin"].past, FORMS["hit"].ing, FORMS["make"].ing, FORMS["carry"].third) == (
        "grinned", "hitting", "making", "carries",
    )  # fmt: skip


def test_opposites_are_mutual() -> None:
    for group in VERBS.values():
        for concept in group:
            other = opposite_of(concept, group)
            assert other is None or opposite_of(other, group) == concept


def test_grade_limits() -> None:
    draw = Choices(11)
    for _ in range(300):
        one, two = event_pair(draw)
        assert grade(one, one) == pytest.approx(5.0)
        assert 0 <= grade(one, two) <= 5
        assert grade(one, two) == pytest.approx(grade(two, one))


def test_grade_of_a_denial_and_of_swapped_roles() -> None:
    draw = Choices(12)
    said = event(draw, "social", reported=0.0)
    denied = type(said)(**{**vars(said), "negated": not said.negated})
    assert grade(said, denied) == pytest.approx(5.0 * POLARITY)
    swapped = next(s for s in (swap_roles(event(draw, "giving", 0.0), draw) for _ in range(5)) if s)
    assert grade(swapped, swap_roles(swapped, draw) or swapped) < 4.0


def test_near_misses_change_the_meaning() -> None:
    draw = Choices(13)
    for _ in range(300):
        said = event(draw)
        assert near_miss(said, draw)[0] != said


def test_model_folder_is_small_and_plain() -> None:
    files = {path.name: path.stat().st_size for path in MODEL_DIR.iterdir()}
    assert sum(files.values()) <= 6_000_000
    assert set(files) == {"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json", "vocab.txt"}
    assert "auto_map" not in json.loads((MODEL_DIR / "config.json").read_text(encoding="utf-8"))


def test_model_loads_offline_with_its_pooler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    transformers = pytest.importorskip("transformers")
    model, info = transformers.AutoModelForSequenceClassification.from_pretrained(
        MODEL_DIR, num_labels=2, output_loading_info=True
    )
    assert set(info["missing_keys"]) == {"classifier.weight", "classifier.bias"}
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL_DIR)
    batch = tokenizer("The doctor sleeps.", "A physician slept.", return_tensors="pt")
    assert set(batch) == {"input_ids", "token_type_ids", "attention_mask"}
    assert batch["token_type_ids"][0].tolist() == [0] * 6 + [1] * 5
    assert model(**batch).logits.shape == (1, 2)


def test_vocabulary_covers_the_text() -> None:
    transformers = pytest.importorskip("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL_DIR)
    assert all(len(tokenizer.tokenize(word)) == 1 for word in all_words())
    texts = [text for task in TASKS for row in rows(task, "validation") for text in row if isinstance(text, str)]
    texts.append("Its own words, such as 'xylophones', are spelt in pieces (42 of them)!")
    ids = tokenizer(texts)["input_ids"]
    assert not any(tokenizer.unk_token_id in row for row in ids)
    assert max(map(len, ids)) <= tokenizer.model_max_length


@pytest.mark.slow
@pytest.mark.parametrize(("task", "margin"), [("mini-cola", 0.3), ("mini-mrpc", 0.15), ("mini-stsb", 0.25)])
def test_pretraining_matters(task: str, margin: float) -> None:
    """Full fine-tuning, 300 steps, two seeds: pretrained beats random initialisation and TF-IDF by a margin."""
    from finebench.bench.data.embedded.evidence import RECIPES, Trainer

    trainer = Trainer(task)
    found = {}
    for recipe in RECIPES:
        if recipe.title.endswith("all parameters"):
            _, scored = trainer.measure(recipe, steps=300, seeds=2)
            found[recipe.pretrained] = float(np.mean([next(iter(values.values())) for values in scored]))
    assert found[True] > found[False] + margin
    assert found[True] > next(iter(word_counts(task).values())) + margin / 2
