"""From what the user names as a model to a folder on this machine and a revision that tells its content."""

import hashlib
import json
import re
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from finebench.bench.data.embedded import MODEL_DIR
from finebench.bench.models.architecture import Architecture, from_config
from finebench.bench.models.checkpoint_checks import missing_from
from finebench.bench.util.errors import ModelError, ModelNotHere
from finebench.bench.util.places import expanded, truly
from finebench.bench.util.user_cache import cached, keep

EMBEDDED = "embedded"
_TEXTS = ("*.json", "*.txt", "*.model")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_TIMEOUT = 10.0
"""Seconds to wait for the hub's first answer."""


@dataclass(frozen=True)
class ModelRef:
    """A model on this machine: what was given, where it lies, which content it has, and what the tables call it.

    `revision` is the hub's commit, or for a folder "sha256:" and a hash of its config, tokenizer and weights.
    """

    given: str
    folder: Path
    revision: str
    name: str


def resolve_model(given: str) -> ModelRef:
    """Find a model: "embedded", a local folder, or a hub id with an optional "@revision" (this machine's cache first).

    Raises ModelError where there is no such folder, the id cannot be one, or the hub cannot be reached or does not know
    it.
    """
    if given == EMBEDDED:
        return ModelRef(given, MODEL_DIR, folder_revision(MODEL_DIR), EMBEDDED)
    path = expanded(given)
    if (given and truly(path.is_dir)) or given.startswith((".", "/", "~")):
        if not truly(path.is_dir):
            raise ModelError(f"model folder {given!r} does not exist")
        try:
            return ModelRef(given, path.resolve(), folder_revision(path.resolve()), given)
        except OSError as error:
            raise ModelError(f"model folder {given!r} cannot be read: {error}") from error
    name, _, revision = given.partition("@")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise ModelError(f"model {given!r} is neither a folder nor a hub id such as google-bert/bert-base-uncased")
    folder = _snapshot(name, revision or None)
    return ModelRef(given, folder, folder.name, name)


def known_architecture(given: str) -> Architecture | None:
    """The shape of a well-known hub model, without a network; None for any other name and for existing folders."""
    name = given.partition("@")[0]
    if truly(expanded(given).is_dir):
        return None
    known = _known_models().get(name)
    if known is None:
        return None
    raw = dict(known)
    pooler = bool(raw.pop("finebench_pooler", True))  # false where the weights bring none that was trained
    return replace(from_config(raw, f"known model {name}"), pooler=pooler)


def folder_revision(folder: Path) -> str:
    """Hash of the names and contents of a folder's config, tokenizer and weights; large files' hashes are kept."""
    digest = hashlib.sha256()
    for path in _found(folder, _TEXTS):
        digest.update(f"{path.name}:{_file_hash(path)}\n".encode())
    return f"sha256:{digest.hexdigest()[:40]}"


def shipped(folder: Path) -> list[Path]:
    """The files of a model folder that a machine needs to train: its config, all that a tokenizer may read, and its
    weights."""
    from finebench.bench.data.token_cache import TOKENIZER_FILES  # which brings locks, that a plan does without

    return _found(folder, (*_TEXTS, *(f"*{suffix}" for suffix in TOKENIZER_FILES)))


def _found(folder: Path, texts: tuple[str, ...]) -> list[Path]:
    """A folder's texts and weights, sorted: safetensors, or where there are none .bin."""
    safetensors = any(folder.glob(_WEIGHTS[0]))
    patterns = (*texts, _WEIGHTS[0] if safetensors else _WEIGHTS[1])
    return sorted({path for pattern in patterns for path in folder.glob(pattern) if path.is_file()})


def _file_hash(path: Path) -> str:
    """SHA-256 of a file; above a megabyte remembered by path, size and time of change."""
    stat = path.stat()
    key = [str(path.resolve()), stat.st_size, stat.st_mtime_ns]
    large = stat.st_size > 1 << 20
    found = cached("hashes", key) if large else None
    if isinstance(found, str):
        return found
    with path.open("rb") as file:
        value = hashlib.file_digest(file, "sha256").hexdigest()
    if large:
        keep("hashes", key, value)
    return value


def _snapshot(name: str, revision: str | None) -> Path:
    """The hub's files for this model: from this machine if they are whole here, else fetched."""
    here = ""
    try:
        folder, lacking = _look(name, revision, local=True)
        if folder is not None and not lacking:
            return folder
        here = f"; this machine's cache holds a part of it: {lacking}" if lacking else ""
        folder, lacking = _look(name, revision, local=False)
    except Exception as error:  # the client raises many kinds; all mean that the model cannot be had
        raise ModelNotHere(_unreachable(name, revision, error) + here) from error
    if folder is None or lacking:
        raise ModelNotHere(
            f"model {name!r} could not be had whole, neither from this machine's cache nor from the hub: {lacking} "
            f"(`hf download {name} --force-download` fetches it anew); a folder that holds it can be given with --model"
        )
    return folder


def _look(name: str, revision: str | None, local: bool) -> tuple[Path | None, str]:
    """The folder of a model, fetched or (`local`) as the cache has it, and what it lacks; None where there is none."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = _fetch(name, revision, local)
    except LocalEntryNotFoundError as error:
        if not local:
            raise
        part = getattr(error, "snapshot_path", None)  # the cache knows of files that it does not have
        return None, "" if part is None else f"{part} lacks {_lacking(Path(part)) or ' '.join(str(error).split())}"
    lacking = _lacking(folder)
    return folder, f"{folder} lacks {lacking}" if lacking else ""


def _lacking(folder: Path) -> str:
    return "; ".join(missing_from(folder))


def _fetch(name: str, revision: str | None, local: bool) -> Path:
    """The folder of a model's texts and weights: safetensors, or where there are none .bin."""
    from huggingface_hub import snapshot_download

    def download(patterns: tuple[str, ...]) -> Path:
        options: dict[str, Any] = {"ignore_patterns": ["*/*"], "etag_timeout": _TIMEOUT, "local_files_only": local}
        return Path(snapshot_download(name, revision=revision, allow_patterns=list(patterns), **options))

    folder = download((*_TEXTS, _WEIGHTS[0]))
    return folder if any(folder.glob(_WEIGHTS[0])) else download((*_TEXTS, _WEIGHTS[1]))


def _unreachable(name: str, revision: str | None, error: Exception) -> str:
    """One message for whatever kept the model away."""
    from huggingface_hub.errors import RepositoryNotFoundError, RevisionNotFoundError

    if isinstance(error, RevisionNotFoundError):
        return f"model {name!r} has no revision {revision!r} on the hub"
    if isinstance(error, RepositoryNotFoundError):
        return f"the hub knows no model {name!r} (or it is private: log in with `hf auth login`)"
    if isinstance(error, OSError) and error.filename:  # not the network
        return (
            f"model {name!r} cannot be kept on this machine: {error.filename}: {error.strerror}; HF_HOME=DIR chooses "
            "another folder, and a folder that holds the model can be given with --model"
        )
    return (
        f"model {name!r} is not on this machine and the hub cannot be reached ({type(error).__name__}); "
        "a folder that holds it can be given with --model"
    )


@cache
def _known_models() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(
        Path(__file__).with_name("known_models.json").read_text(encoding="utf-8")
    )
    return found | {name.partition("/")[2]: raw for name, raw in found.items()}
