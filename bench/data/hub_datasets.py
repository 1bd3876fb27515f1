"""Tasks from the hub, through `datasets`; imported only where a study needs the hub."""

import urllib.error
import urllib.request
from collections.abc import Sequence
from functools import cache
from typing import Any

import datasets
from datasets.exceptions import DatasetsError
from huggingface_hub.errors import HfHubHTTPError

from finebench.bench.data.rows import RawSplit
from finebench.bench.tasks import Hub, Task
from finebench.bench.util.errors import DataError

PROBE_SECONDS = 10.0
"""How long the hub may take to answer before the local cache, or an error, is the answer."""

_FAILURES = (OSError, ValueError, RuntimeError, DatasetsError, *HfHubHTTPError.__bases__)
"""What loading may raise; the last are the errors of the hub's HTTP client, which differs between its versions."""


def read_hub(task: Task, source: Hub, split: str, columns: Sequence[str]) -> RawSplit:
    """Read one split of a hub dataset at its pinned revision; raises DataError where it cannot be had.

    Without an answer from the hub `datasets` is told to work offline: it then answers from its cache at once, where it
    would otherwise try again for a long time.
    """
    name = source.splits[split]
    place = f"{source.path} ({', '.join(filter(None, (source.config, name)))})"
    before = datasets.config.HF_HUB_OFFLINE
    datasets.config.HF_HUB_OFFLINE = before or not _answers(datasets.config.HF_ENDPOINT)
    try:
        table = datasets.load_dataset(source.path, source.config, revision=source.revision, split=name)
        _check_revision(table, source)
    except _FAILURES as error:
        said = " ".join(str(error).split())[:300]
        own = "save each split with save_to_disk where there is one, and name the folders as train and validation"
        if source.held_out is not None:
            own = (
                f"save it with save_to_disk where there is one: {{file: FOLDER, validation: {source.held_out.share:g}}}"
            )
        instead = own if task.own else f"use --data DIR with DIR/{source.config}/{name}.parquet per split"
        raise DataError(
            f"task {task.name!r}: {place} cannot be had from the hub: {said}. Without a network, {instead}"
        ) from error
    finally:
        datasets.config.HF_HUB_OFFLINE = before
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        there = ", ".join(table.column_names)
        raise DataError(f"task {task.name!r}: {place} has no column {missing[0]!r}, only {there}")
    declared = {one: getattr(table.features[one], "names", None) for one in columns}  # a ClassLabel's
    classes = {one: tuple(names) for one, names in declared.items() if names}
    return RawSplit(place, {one: list(table[one]) for one in columns}, classes=classes)


@cache
def _answers(endpoint: str) -> bool:
    """Whether anything answers at the hub's address, whatever it says; asked once per process."""
    try:
        urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=PROBE_SECONDS).close()
    except urllib.error.HTTPError:
        return True
    except OSError as error:
        # a certificate that Python's own store lacks may be in the hub client's
        return "certificate" in str(error).lower()
    return True


def _check_revision(table: Any, source: Hub) -> None:
    """Offline, `datasets` takes the newest revision in its cache, whichever was asked for; refuse another."""
    files = [str(file["filename"]) for file in table.cache_files]
    pinned = source.revision
    if pinned and datasets.config.HF_HUB_OFFLINE and files and not all(pinned in name for name in files):
        raise ValueError(f"the cache holds another revision than {source.revision}: {files[0]}")
