"""Finding models: the embedded one, folders by content, hub ids from the cache or not at all."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finebench.bench.data.embedded import MODEL_DIR
from finebench.bench.models.architecture import read_architecture
from finebench.bench.models.hub import folder_revision, known_architecture, resolve_model, shipped
from finebench.bench.util.errors import ModelError


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path_factory.mktemp("cache")))


def test_the_embedded_model_is_found_by_its_name() -> None:
    found = resolve_model("embedded")
    assert (found.folder, found.name) == (MODEL_DIR, "embedded")


def test_a_folders_revision_is_its_content(tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(MODEL_DIR, copy)
    before = resolve_model(str(copy)).revision
    assert before == folder_revision(MODEL_DIR)
    assert before.startswith("sha256:")
    (copy / "README.md").write_text("not part of the model")
    assert folder_revision(copy) == before
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    changed = folder_revision(copy)
    assert changed not in (before, folder_revision(MODEL_DIR))
    (copy / "vocab.txt").write_text("[PAD]\n")
    assert folder_revision(copy) != changed


def test_a_machine_is_sent_what_a_model_and_its_tokenizer_need(tmp_path: Path) -> None:
    """Weights once, as they count in the revision: a folder from the hub may hold them as .bin too."""
    texts = {"config.json", "merges.txt", "spiece.model", "words.tiktoken"}
    for name in (*texts, "pytorch_model-00001-of-00001.bin", "training_args.bin", "README.md"):
        (tmp_path / name).write_bytes(b"x")
    assert {path.name for path in shipped(tmp_path)} == {*texts, "pytorch_model-00001-of-00001.bin"}
    (tmp_path / "model.safetensors").write_bytes(b"x")
    assert {path.name for path in shipped(tmp_path)} == {*texts, "model.safetensors"}


@pytest.mark.parametrize("given", ["./nowhere", "/nowhere/at/all", "~/nowhere-at-all"])
def test_a_missing_folder_is_no_hub_id(given: str) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        resolve_model(given)


@pytest.mark.parametrize("given", ["a b", "a/b/c", "", "org/"])
def test_what_can_be_no_id_is_refused_without_asking(given: str) -> None:
    with pytest.raises(ModelError, match="neither a folder nor a hub id"):
        resolve_model(given)


def in_a_process(home: Path, given: str, **environment: str) -> str:
    """Resolve with a hub that nobody answers for, in a process of its own (the client reads its settings at import)."""
    code = (
        "import sys; from finebench.bench.models.hub import resolve_model\n"
        "from finebench.bench.util.errors import ModelError\n"
        "try: found = resolve_model(sys.argv[1]); print(found.revision, found.name, found.folder)\n"
        "except ModelError as error: print('ModelError', error)"
    )
    settings = {"HF_HOME": str(home), "HF_ENDPOINT": "http://127.0.0.1:9", "PATH": "/usr/bin", **environment}
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code, given], capture_output=True, text=True, env=settings, cwd=root)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_an_unreachable_hub_is_one_message_and_no_wait(tmp_path: Path) -> None:
    begin = time.monotonic()
    for settings in ({}, {"HF_HUB_OFFLINE": "1"}):
        out = in_a_process(tmp_path, "some-org/some-model", **settings)
        assert out.startswith(
            "ModelError model 'some-org/some-model' is not on this machine and the hub cannot be reached"
        )
        assert "--model" in out
    assert time.monotonic() - begin < 30


COMMIT = "c" * 40


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """The embedded model as some-org/some-model in the hub's cache, its files links into blobs, as the hub has them."""
    repository = tmp_path / "hub" / "models--some-org--some-model"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    shutil.copytree(MODEL_DIR, repository / "blobs")
    folder = repository / "snapshots" / COMMIT
    folder.mkdir(parents=True)
    for blob in (repository / "blobs").iterdir():
        (folder / blob.name).symlink_to(f"../../blobs/{blob.name}")
    return folder


def test_a_model_in_the_hubs_cache_needs_no_network(tmp_path: Path, snapshot: Path) -> None:
    for given in ("some-org/some-model", f"some-org/some-model@{COMMIT}"):
        assert in_a_process(tmp_path, given) == f"{COMMIT} some-org/some-model {snapshot}"


def shard(folder: Path) -> None:
    """Weights in two files, of which the second is not there."""
    (folder / "model.safetensors").rename(folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def lose_the_blob(folder: Path) -> None:
    """The link is there, what it names is not."""
    (folder / "model.safetensors").resolve().unlink()


def cut_short(folder: Path) -> None:
    weights = (folder / "model.safetensors").resolve()
    weights.write_bytes(weights.read_bytes()[:-100])


def lose_the_vocabulary(folder: Path) -> None:
    for name in ("tokenizer.json", "vocab.txt"):
        (folder / name).unlink()


def half_a_vocabulary(folder: Path) -> None:
    lose_the_vocabulary(folder)
    (folder / "vocab.json").write_text("{}")


@pytest.mark.parametrize(
    ("damage", "lacks"),
    [
        (shard, "model-00002-of-00002.safetensors"),
        (lose_the_blob, "no weights"),
        (cut_short, "model.safetensors"),
        (lambda folder: (folder / "config.json").unlink(), "config.json"),
        (lose_the_vocabulary, "vocabulary"),
        (half_a_vocabulary, "merges.txt"),
    ],
)
def test_half_a_model_in_the_cache_is_not_taken_for_the_whole(
    tmp_path: Path, snapshot: Path, damage: Callable[[Path], None], lacks: str
) -> None:
    damage(snapshot)
    said = in_a_process(tmp_path, "some-org/some-model")
    assert said.startswith("ModelError model 'some-org/some-model' ")
    assert str(snapshot) in said
    assert lacks in said


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, snapshot: Path) -> list[bool]:
    """Whether each call to the hub's client was local only; one that is not brings the whole model."""
    calls: list[bool] = []

    def download(*unused: Any, local_files_only: bool, **options: Any) -> str:
        calls.append(local_files_only)
        if not local_files_only:
            shutil.copytree(MODEL_DIR, snapshot, dirs_exist_ok=True)
        return str(snapshot)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    return calls


def test_the_hub_is_asked_for_what_the_cache_lacks(asked: list[bool], snapshot: Path) -> None:
    assert resolve_model("some-org/some-model").folder == snapshot
    assert asked == [True]
    lose_the_vocabulary(snapshot)
    assert resolve_model("some-org/some-model").folder == snapshot
    assert asked == [True, True, False]
    assert (snapshot / "tokenizer.json").is_file()


def test_known_shapes_need_no_network() -> None:
    for given in ("google-bert/bert-base-uncased", "bert-base-uncased", "google-bert/bert-base-uncased@main"):
        found = known_architecture(given)
        assert found is not None
        assert (found.hidden, found.layers, found.vocab) == (768, 12, 30522)
    assert known_architecture("embedded") is None
    assert known_architecture("some-org/some-model") is None


def test_a_folder_of_a_known_name_is_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gpt2").mkdir()
    (tmp_path / "gpt2" / "config.json").write_text(json.dumps({"model_type": "bert"}))
    monkeypatch.chdir(tmp_path)
    assert known_architecture("gpt2") is None


def test_the_folder_within_a_folder_is_named(tmp_path: Path) -> None:
    """sentence-transformers keeps the model itself in 0_Transformer."""
    (tmp_path / "0_Transformer").mkdir()
    (tmp_path / "0_Transformer/config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling/config.json").write_text('{"word_embedding_dimension": 384}', encoding="utf-8")
    with pytest.raises(ModelError, match=r"has no config\.json; .*/0_Transformer has one: give that as the model"):
        read_architecture(tmp_path)
