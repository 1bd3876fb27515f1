"""Fixtures of several rooms' tests."""

from collections.abc import Iterator

import pytest

from finebench.bench.util import doors


@pytest.fixture
def plugins_go() -> Iterator[None]:
    """A plugin that one test loads is not there for the next."""
    before = dict(doors._plugins)
    yield
    doors._plugins.clear()
    doors._plugins.update(before)
