"""Plugins in one process that makes several studies: edited, named in two ways, not named, faulty."""

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest

import finebench as fb
from finebench.bench.driver.run import dump_study
from finebench.bench.driver.trackers import TRACKERS
from finebench.bench.methods import methods
from finebench.bench.study.parts.claim_kinds import KINDS
from finebench.bench.study.plugins import load_given, worker_plugins
from finebench.bench.util import doors
from tests.analysis.fixtures import empty

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


pytestmark = pytest.mark.usefixtures("plugins_go")


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test works in its own folder."""
    monkeypatch.chdir(tmp_path)


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


@pytest.mark.parametrize("edited", ["", "# edited\n"])
def test_a_plugin_is_one_however_its_path_is_spelt(
    edited: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative, absolute, from another folder, through a link; also where it was edited in between."""
    Path("meth.py").write_text(METHOD)
    fb.Study(**STUDY, plugins=["meth.py"])
    Path("link.py").symlink_to("meth.py")
    Path("sub").mkdir()
    monkeypatch.chdir("sub")
    for number, spelling in enumerate([str(tmp_path / "meth.py"), "../meth.py", "../link.py"]):
        (tmp_path / "meth.py").write_text(METHOD + edited * number)
        made = fb.Study(**STUDY, plugins=[spelling])
        assert made.spec.plugins[0].hash in {plugin.hash for plugin in doors.plugins()}
    assert len(doors.plugins()) == 1


def test_files_of_one_name_in_two_folders_are_two_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here, and in a worker, which has neither folder."""
    for name in ("one", "two"):
        Path(name).mkdir()
        monkeypatch.chdir(name)
        Path("meth.py").write_text(METHOD.replace("topx", name))
        fb.Study(**STUDY | {"methods": {name: {}}}, plugins=["meth.py"])
        monkeypatch.chdir("..")
    sent = pickle.loads(pickle.dumps(doors.plugins()))
    doors._plugins.clear()
    for plugin in sent:
        doors.load_plugin(plugin)
    assert {"one", "two"} <= set(methods())


def test_a_plugin_that_clashes_is_taken_out_again() -> None:
    """The study that names it is refused; no other study is."""
    Path("meth.py").write_text(METHOD)
    Path("twin.py").write_text(METHOD + "# another text\n")
    first = fb.Study(**STUDY, plugins=["meth.py"])
    with pytest.raises(fb.InputError, match=r"'topx' is in two files: meth\.py and twin\.py; rename one of them"):
        fb.Study(**STUDY, plugins=["meth.py", "twin.py"])
    fb.Study(**STUDY | {"methods": {"bitfit": {}}})
    assert first.plan().n_trials == 1
    Path("sub").mkdir()
    Path("sub/meth.py").write_text(METHOD + "# a third text\n")
    with pytest.MonkeyPatch.context() as there:
        there.chdir("sub")
        with pytest.raises(fb.InputError, match=r"in two files: /.*/meth\.py and /.*/sub/meth\.py"):
            fb.Study(**STUDY, plugins=["meth.py"])


OTHERS = {
    "task": "from dataclasses import replace\nfrom finebench.bench.tasks import task\n"
    'TASK = replace(task("mini-cola"), name="own_task")\n',
    "metric": "from finebench.bench.metrics._info import Metric\n"
    'METRIC = Metric("own_metric", "classes", "One.", "any", lambda labels, said: float((labels == said).mean()))\n',
    "schedule": "from finebench.bench.study.schedules import Schedule\n"
    'SCHEDULE = Schedule("own_schedule", "Constant.", lambda done: 1.0)\n',
    "claim": re.findall(
        r"```python\n(.*?)```", (Path(__file__).parents[3] / "docs/extending/claim.md").read_text("utf-8"), re.DOTALL
    )[0],
    "family": "from typing import ClassVar\nfrom finebench.bench.methods import Method\n\n"
    'class Family(Method):\n    name: ClassVar[str] = "own:"\n\n    @classmethod\n    def member(cls, suffix):\n'
    '        return type(f"Own_{suffix}", (Method,), {"name": f"own:{suffix}", "__module__": "x"})\n',
}
FILES = {"train": "train.csv", "validation": "validation.csv"}
OWN_TASK = {"name": "t", "data": FILES, "text": "text", "label": "label", "metric": ["accuracy", "own_metric"]}
CLAIM = {"id": "c", "says": "wins_more", "a": "bitfit", "b": "full"}


@pytest.mark.parametrize(
    ("text", "keys", "what"),
    [
        (METHOD, {"methods": {"topx": {}}}, "method 'topx'"),
        (OTHERS["family"], {"methods": {"own:x": {}}}, "method 'own:x'"),
        (OTHERS["task"], {"tasks": ["own_task"]}, "task 'own_task'"),
        (OTHERS["metric"], {"tasks": [OWN_TASK]}, "metric 'own_metric'"),
        (OTHERS["schedule"], {"training": {"schedule": "own_schedule"}}, "schedule 'own_schedule'"),
        (OTHERS["claim"], {"claims": [CLAIM]}, "kind of claim 'wins_more'"),
    ],
)
def test_what_is_of_a_plugin_that_the_study_does_not_name_is_refused(
    text: str, keys: dict[str, Any], what: str
) -> None:
    """It was loaded for another study, or with `--plugin`: the stored study would not say what it rests on."""
    raw = STUDY | {"methods": {"bitfit": {}, "full": {}}} | keys
    Path("meth.py").write_text(text)
    made = fb.Study(**raw, plugins=["meth.py"]).spec
    words = rf"{what} is of meth\.py, which the study does not name: plugins: \[\./meth\.py\]"
    with pytest.raises(fb.InputError, match=words):
        fb.Study(**raw)
    Path("s.yaml").write_text(json.dumps(raw))
    with pytest.raises(fb.InputError, match=words):
        fb.Study.from_yaml("s.yaml", plugins=["meth.py"])
    Path("stored.yaml").write_text(dump_study(made))
    assert fb.Study.from_yaml("stored.yaml", plugins=["meth.py"]).spec == made
    fb.Study(**STUDY | {"methods": {"bitfit": {}}})


KIND = '''
from abc import abstractmethod
from finebench.analysis.claims.kinds import Kind

class _Base(Kind):
    """What several have in common."""

    @abstractmethod
    def weight(self): ...
'''
METRIC = """
from finebench.bench.metrics import Metric
METRIC = Metric("one_process", "classes", "a number", "1", lambda labels, predictions: 1.0)
"""
TRACKER = '''
from finebench.bench.driver.trackers import Tracker

class _Base(Tracker):
    """What several have in common."""
    package = "json"

class Mine(_Base):
    name = "mine"
    def log(self, record): ...
'''


def test_a_base_class_in_a_plugin_is_no_kind_of_claim_and_no_tracker() -> None:
    """It has no name of its own; a file with nothing else is refused."""
    Path("kind.py").write_text(KIND)
    Path("tracker.py").write_text(TRACKER)
    before = set(KINDS), set(TRACKERS)
    with pytest.raises(fb.InputError, match=r"plugin kind\.py: nothing in it can be used"):
        fb.Study(**STUDY | {"methods": {"bitfit": {}}}, plugins=["kind.py"])
    Path("kind.py").write_text(KIND + METRIC)
    fb.Study(**STUDY | {"methods": {"bitfit": {}}}, plugins=["kind.py", "tracker.py"])
    assert (set(KINDS), set(TRACKERS)) == (before[0], before[1] | {"mine"})


def test_a_kind_that_lacks_a_part_is_one_message_and_taken_out_again() -> None:
    """Not a traceback in every later study."""
    Path("kind.py").write_text(KIND + '    says = "half"\n')
    claims = [{"id": "c", "says": "better", "a": "bitfit", "b": "full"}]
    raw = STUDY | {"methods": {"bitfit": {}, "full": {}}, "claims": claims}
    with pytest.raises(fb.InputError, match=r"plugin kind\.py: TypeError: Can't instantiate abstract class _Base"):
        fb.Study(**raw, plugins=["kind.py"])
    assert fb.Study(**raw).spec.claims[0].says == "better"


def test_a_task_of_a_plugin_has_each_metric_once() -> None:
    """Of a main metric that falls as predictions improve, the negative is what is scored."""
    text = OTHERS["task"].replace(', name="own_task"', ', name="own_task", metrics=("log_loss", "ece", "neg_log_loss")')
    Path("meth.py").write_text(text)
    words = r"plugin meth\.py: StudyError: task 'own_task': metrics log_loss, neg_log_loss are one metric twice"
    with pytest.raises(fb.InputError, match=words):
        fb.Study(**STUDY | {"methods": {"bitfit": {}}, "tasks": ["own_task"]}, plugins=["meth.py"])


def test_one_plugin_may_be_one_path(tmp_path: Path) -> None:
    """As one override may; a folder whose plugins are not loaded says so in its notes, too."""
    Path("meth.py").write_text(METHOD)
    raw = dict(STUDY)
    stored = fb.Study(**raw, plugins=["meth.py"]).spec
    folder = empty(tmp_path / "out", plugins=[one.model_dump() for one in stored.plugins])
    folder.add(seed=1)
    where = folder.write()
    Path("stored.yaml").write_text(dump_study(stored))
    for given in ("meth.py", Path("meth.py"), ["meth.py"]):
        doors._plugins.clear()
        (note,) = fb.load(where).notes
        assert "what 'meth.py' adds to the study is not known here" in note
        assert fb.load(where, plugins=given).notes == ()
        doors._plugins.clear()
        assert fb.Study.from_yaml("stored.yaml", plugins=given).spec == stored


def test_workers_get_the_plugins_of_their_study_alone() -> None:
    """A tracker's package, or another study's, need not be there where trials are trained."""
    Path("tracker.py").write_text(TRACKER)
    Path("metric.py").write_text(METRIC)
    load_given(["tracker.py"])
    fb.Study(**STUDY | {"methods": {"bitfit": {}}}, plugins=["tracker.py"])
    made = fb.Study(**STUDY | {"methods": {"bitfit": {}}}, plugins=["metric.py"]).spec
    assert [one.file for one in worker_plugins(made)] == ["metric.py"]
