"""A model's files on a node: written once by whoever comes first, whole or not at all; read from Ray if they lack."""

import errno
import multiprocessing
import os
import pickle
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray
from numpy.typing import NDArray

from finebench.bench.driver.ray import model_files
from finebench.bench.driver.ray.model_files import ModelFiles, pack_files, unpack
from finebench.bench.driver.ray.rank_actors import RayFollowers
from finebench.bench.training.worker.messages import Share, Shipment
from tests.bench.small_disk import mounted

CONTENT = {"config.json": b"{}", "empty.txt": b"", "model.safetensors": bytes(range(256)) * 8000}


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A node's cache of the test's own."""
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelFiles:
    """A small model's files; what stands for a reference into Ray's memory is the array itself."""
    monkeypatch.setattr(ray, "put", lambda value: value)
    return pack_files(folder_of(tmp_path / "model"))


def folder_of(folder: Path) -> Path:
    folder.mkdir()
    for name, data in CONTENT.items():
        (folder / name).write_bytes(data)
    return folder


def given(content: Any) -> Any:
    return content


def refused(content: Any) -> Any:
    raise AssertionError("these files are here already")


def read(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def left(cache: Path) -> list[str]:
    """What stands in the cache beside locks."""
    return sorted(path.name for path in (cache / "models").iterdir() if path.suffix != ".lock")


def test_files_are_written_and_then_found(cache: Path, files: ModelFiles) -> None:
    final = unpack(files, given)
    assert read(final) == CONTENT
    assert unpack(files, refused) == final
    assert left(cache) == [files.digest]


def unpack_together(start: Any, files: ModelFiles, fetched: Any) -> None:
    """In a process of its own: begin when all do, and take so long that they meet."""

    def slow(content: Any) -> Any:
        fetched.put(1)
        time.sleep(0.2)
        return content

    start.wait(60)
    unpack(files, slow)


def test_processes_that_unpack_at_once_leave_one_entry(cache: Path, files: ModelFiles) -> None:
    """Six workers start on a node: one of them writes, and the others wait for it."""
    context = multiprocessing.get_context("spawn")
    start, fetched = context.Barrier(6), context.SimpleQueue()
    processes = [context.Process(target=unpack_together, args=(start, files, fetched)) for _ in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * 6
    assert left(cache) == [files.digest]
    assert read(cache / "models" / files.digest) == CONTENT
    count = 0
    while not fetched.empty():
        count += fetched.get()
    assert count == len(CONTENT)


def test_a_full_disk_leaves_nothing_behind(cache: Path, files: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy that was begun would keep it full for each further try."""
    write = Path.write_bytes

    def full(path: Path, data: Any) -> int:
        if path.name == "model.safetensors":
            write(path, bytes(data)[:1000])
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        unpack(files, given)
    assert left(cache) == []
    monkeypatch.undo()
    monkeypatch.setenv("FINEBENCH_CACHE", str(cache))
    assert read(unpack(files, given)) == CONTENT


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A cache on a real disk of one megabyte."""
    with mounted(tmp_path / "disk", 1) as place:
        monkeypatch.setenv("FINEBENCH_CACHE", str(place))
        yield place


def test_a_disk_that_is_really_full_leaves_nothing_behind(small_disk: Path, files: ModelFiles) -> None:
    for _ in range(2):
        with pytest.raises(OSError, match="No space left") as caught:
            unpack(files, given)
        assert caught.value.errno == errno.ENOSPC
        assert left(small_disk) == []


def cut_short(entry: Path) -> None:
    os.truncate(entry / "model.safetensors", 1000)


def without_one(entry: Path) -> None:
    (entry / "config.json").unlink()


def with_another(entry: Path) -> None:
    (entry / "adapter_config.json").write_text("{}")


@pytest.mark.parametrize("harm", [cut_short, without_one, with_another])
def test_an_entry_that_is_not_whole_is_made_again(cache: Path, files: ModelFiles, harm: Callable[[Path], None]) -> None:
    """As a power cut leaves it."""
    harm(unpack(files, given))
    assert read(unpack(files, given)) == CONTENT
    assert left(cache) == [files.digest]


def test_what_a_killed_process_left_goes_with_the_next(cache: Path, files: ModelFiles) -> None:
    """At once: half a large model may be what fills the disk."""
    half = cache / "models" / f"_{files.digest}"
    half.mkdir(parents=True)
    (half / "model.safetensors").write_bytes(b"half")
    assert read(unpack(files, given)) == CONTENT
    assert left(cache) == [files.digest]


def test_room_is_made_before_anything_is_written(
    cache: Path, files: ModelFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FINEBENCH_CACHE_GB", "0.001")
    old = cache / "models" / "old"
    old.mkdir(parents=True)
    (old / "model.safetensors").write_bytes(bytes(2_000_000))
    for path in (old / "model.safetensors", old):
        os.utime(path, (0, 0))

    def looks(content: Any) -> Any:
        assert not old.exists()
        return content

    unpack(files, looks)


def test_files_are_told_by_their_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "put", lambda value: value)
    folder = folder_of(tmp_path / "model")
    first = pack_files(folder)
    assert first.digest == pack_files(folder).digest
    assert dict(first.sizes) == {name: len(data) for name, data in CONTENT.items()}
    (folder / "config.json").write_bytes(b"[]")
    assert pack_files(folder).digest != first.digest


def test_no_file_is_copied_into_a_process_that_gets_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray maps what pickle leaves out of band; bytes it does not."""
    monkeypatch.setattr(ray, "put", lambda value: value)
    buffers: list[pickle.PickleBuffer] = []
    for content in pack_files(folder_of(tmp_path / "model")).contents.values():
        assert len(pickle.dumps(content, protocol=5, buffer_callback=buffers.append)) < 1000
    assert sum(len(one.raw()) for one in buffers) == sum(map(len, CONTENT.values()))


def test_other_ranks_get_the_drivers_references(files: ModelFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker put the whole model into its node's shared memory once more."""
    put: list[Any] = []
    monkeypatch.setattr(ray, "put", put.append)
    monkeypatch.setattr(ray.util, "get_node_ip_address", lambda: "10.0.0.1")
    followers = RayFollowers(Shipment("tiny", "folder", {}, 60.0), files, Share())
    assert followers._cargo[1] is files
    assert [type(one) for one in put] == [Shipment]


@pytest.mark.slow
def test_a_worker_maps_what_ray_holds(cache: Path, tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "model")
    ray.init(address="local", num_cpus=1, include_dashboard=False, log_to_driver=False)
    try:
        files = ray.get(ray.put(pack_files(folder)))

        def mapped(reference: Any) -> NDArray[np.uint8]:
            found: NDArray[np.uint8] = ray.get(reference)
            assert not found.flags.writeable
            return found

        assert read(unpack(files, mapped)) == CONTENT
        shipment = model_files.localise(Shipment("tiny", str(folder), {}, 60.0), files)
        assert shipment.model_folder == str(cache / "models" / files.digest)
    finally:
        ray.shutdown()
