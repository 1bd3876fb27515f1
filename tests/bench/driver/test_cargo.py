"""Workers get tokens where there are any, and texts in buffers that processes share where there are none."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finebench.bench.data.tokenize import cached_tokens
from finebench.bench.driver.cargo import Packed, load
from finebench.bench.driver.validate import Prepared
from finebench.bench.methods import longest_input, method
from finebench.bench.study.plan import Plan
from finebench.bench.training.worker.messages import Share, Shipment
from finebench.bench.training.worker.worker_cache import WorkerCache
from tests.bench.tiny import tiny_prepared, tiny_study


@pytest.fixture
def ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    """A study, and a cache of its own that holds no tokens."""
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path / "cache"))
    return tiny_prepared(tasks=["mini-mrpc"])


def shipment_of(ready: Prepared) -> Shipment:
    return Shipment("tiny", str(ready.model.folder), ready.tasks, timeout=60.0)


def cut(ready: Prepared) -> int:
    """After how many tokens the model lets inputs be cut."""
    return longest_input(ready.study.training.max_length, method("full")(lr=1e-3), ready.architecture)


def test_tokens_that_this_machine_has_go_in_place_of_texts(ready: Prepared) -> None:
    plain, longest = shipment_of(ready), cut(ready)
    task = ready.tasks["mini-mrpc"]
    made = {split: cached_tokens(task, split, ready.model.folder, longest) for split in ("train", "score")}
    sent = load(plain, ready.plan, ready.architecture, ready.defaults)
    assert set(sent.tokens) == {("mini-mrpc", "train", longest), ("mini-mrpc", "score", longest)}
    assert (sent.tasks["mini-mrpc"].train.texts, len(sent.tasks["mini-mrpc"].train)) == ((), len(task.train))
    buffers: list[pickle.PickleBuffer] = []
    private = len(pickle.dumps(sent, protocol=5, buffer_callback=buffers.append))
    assert private < 20_000 < sum(len(text) for column in task.train.texts for text in column)
    cache = WorkerCache(pickle.loads(pickle.dumps(sent)), Share())
    for split, tokens in made.items():
        mine = cache.tokens(cache.shipment.tasks["mini-mrpc"], split, longest)
        assert np.array_equal(mine.ids, tokens.ids)
        assert np.array_equal(mine.offsets, tokens.offsets)


def test_texts_go_packed_where_a_split_has_no_tokens_yet(ready: Prepared) -> None:
    task, longest = ready.tasks["mini-mrpc"], cut(ready)
    whole = cached_tokens(task, "train", ready.model.folder, longest)  # and none of the other split
    sent = load(shipment_of(ready), ready.plan, ready.architecture, ready.defaults)
    assert [list(column) for column in sent.tasks["mini-mrpc"].score.texts] == list(task.score.texts)
    buffers: list[pickle.PickleBuffer] = []
    assert len(pickle.dumps(sent, protocol=5, buffer_callback=buffers.append)) < 20_000
    cache = WorkerCache(replace(sent, tokens={}), Share())
    assert np.array_equal(cache.tokens(sent.tasks["mini-mrpc"], "train", longest).ids, whole.ids)


def test_a_search_over_tokens_of_a_methods_own_keeps_the_texts(ready: Prepared) -> None:
    """How much room is left for text is known for the ends of a range alone."""
    spaces = {"prompt": {"lr": 1e-3, "tokens": {"int": [2, 40]}}}
    methods = {"methods": spaces, "search": {"optuna": {"trials": 2, "seeds": 1}}}
    plan = Plan(tiny_study(tasks=["mini-mrpc"], **methods))
    sent = load(shipment_of(ready), plan, replace(ready.architecture, positions=64), {})
    assert len(sent.tasks["mini-mrpc"].train.texts) == 2


def test_packed_texts_are_the_texts() -> None:
    texts = ["", "caf\u00e9", "a" * 1000, "\U0001f600 x", ""]
    packed = pickle.loads(pickle.dumps(Packed(texts)))
    assert list(packed) == texts == [packed[row] for row in range(5)] == packed[:]
    assert (packed[-2], packed[1:3], len(packed), len(Packed([]))) == (texts[-2], texts[1:3], 5, 0)
    with pytest.raises(IndexError):
        packed[5]
