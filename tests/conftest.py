"""The order in which test files start, and fixtures of several rooms' tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import Lock, claim
from finebench.bench.util import doors

DEAREST = (
    "bench/driver/ray/test_faults", "bench/driver/ray/test_sweep", "bench/driver/test_run", "bench/driver/test_remote",
    "bench/driver/ray/test_workarounds", "analysis/report/test_browser", "bench/doors/test_doors",
)  # fmt: skip
"""Files of minutes. Each runs in one process (`--dist loadfile`): one that started last would leave the others idle."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The dearest files first; the order of the rest, and of the tests within a file, stays."""
    here = Path(__file__).parent
    ranks = {here / f"{name}.py": rank for rank, name in enumerate(DEAREST)}
    if gone := [str(path) for path in ranks if not path.exists()]:
        raise pytest.UsageError(f"{__file__}: DEAREST names files that are not there: {', '.join(gone)}")
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.fixture
def plugins_go() -> Iterator[None]:
    """A test begins without plugins, and those that it loads are not there for the next."""
    before = dict(doors._plugins)
    doors._plugins.clear()
    yield
    doors._plugins.clear()
    doors._plugins.update(before)


@pytest.fixture
def lock(tmp_path: Path) -> Iterator[Lock]:
    """A results folder in a driver's hands."""
    folder = ResultsFolder(str(tmp_path))
    folder.create()
    with claim(folder, lambda text: None) as held:
        yield held
