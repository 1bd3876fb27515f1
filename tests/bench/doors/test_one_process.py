"""Plugins in one process that makes several studies: edited, named in two ways, not named, faulty."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import finebench as fb
from finebench.bench.util import doors

METHOD = '''
from finebench.bench.methods import Method

class TopX(Method):
    """Trains the head."""
    name = "topx"
    def apply(self, model):
        return model
'''
STUDY: dict[str, Any] = {
    "name": "s",
    "tasks": ["mini-cola"],
    "methods": {"topx": {"lr": [1e-3]}},
    "fractions": [0.1],
    "seeds": 1,
    "budget": {"steps": 2},
}


@pytest.fixture(autouse=True)
def _nothing_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A plugin that one test loads is not there for the next; each test works in its own folder."""
    monkeypatch.chdir(tmp_path)
    before = dict(doors._plugins)
    yield
    doors._plugins.clear()
    doors._plugins.update(before)


def test_a_study_whose_plugin_has_changed_since_is_not_run() -> None:
    """The code that is loaded is another than the study names."""
    Path("ed.py").write_text(METHOD)
    first = fb.Study(**STUDY, plugins=["ed.py"])
    Path("ed.py").write_text(METHOD + "# edited\n")
    second = fb.Study(**STUDY, plugins=["ed.py"])
    words = r"Study\('s'\): plugin 'ed\.py' has changed since this study was made; make it anew"
    with pytest.raises(fb.InputError, match=words):
        first.run("out")
    with pytest.raises(fb.InputError, match=words):
        first.plan()
    assert not Path("out").exists()
    assert second.plan().n_trials == 1
