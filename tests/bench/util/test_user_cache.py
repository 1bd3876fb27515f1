"""The cache folder: its limit, what goes first, what never goes."""

import os
import time
from pathlib import Path

import pytest

from finebench.bench.util.errors import InputError
from finebench.bench.util.user_cache import OLD, limit, trim, used

MB = 1_000_000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of the test's own."""
    monkeypatch.setenv("FINEBENCH_CACHE", str(tmp_path))
    return tmp_path


def entry(cache: Path, name: str, days: float, megabytes: int = 1) -> Path:
    """A folder of tokens that was last used so many days ago."""
    made = cache / "tokens" / name
    made.mkdir(parents=True)
    (made / "ids.npy").write_bytes(b"x" * megabytes * MB)
    since(made, days)
    return made


def since(path: Path, days: float) -> None:
    at = time.time() - days * 86400
    for one in [path, *(path.rglob("*") if path.is_dir() else [])]:
        os.utime(one, (at, at))


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "tokens").iterdir())


def test_what_was_used_longest_ago_goes_first(cache: Path) -> None:
    for name, days in (("a", 9.0), ("b", 5.0), ("c", 3.0)):
        entry(cache, name, days)
    used(cache / "tokens" / "a")
    removed = trim(2 * MB)
    assert (removed.entries, removed.bytes, removed.left) == (1, MB, 2 * MB)
    assert left(cache) == ["a", "c"]


def test_within_the_limit_nothing_goes(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        entry(cache, name, 30)
    assert trim().entries == 0
    monkeypatch.setenv("FINEBENCH_CACHE_GB", "0.001")
    assert trim().entries == 1
    assert len(left(cache)) == 1


def test_what_a_run_may_be_using_stays_whatever_the_limit(cache: Path) -> None:
    entry(cache, "a", 0.5)
    assert trim(0).left == MB
    assert left(cache) == ["a"]


def test_what_is_half_made_goes_once_it_is_old_and_locks_with_their_entries(cache: Path) -> None:
    for name, days in (("_new", 0.5), ("_old", 2.0), ("kept", 2.0)):
        entry(cache, name, days)
    for name in ("kept.lock", "gone.lock"):
        (cache / "tokens" / name).touch()
        since(cache / "tokens" / name, 2.0)
    trim()
    assert left(cache) == ["_new", "kept", "kept.lock"]


def test_answers_are_entries_too(cache: Path) -> None:
    (cache / "preflights").mkdir()
    answer = cache / "preflights" / "ab.json"
    answer.write_text("1")
    since(answer, 2 * OLD / 86400)
    assert trim(0).entries == 1
    assert not answer.exists()


@pytest.mark.parametrize("text", ["much", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINEBENCH_CACHE_GB", text)
    with pytest.raises(InputError, match=f"FINEBENCH_CACHE_GB='{text}': a number of gigabytes is needed"):
        limit()
