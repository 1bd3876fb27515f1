"""Every registered task is complete: a rule for all is a test over the registry."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import finebench.bench.tasks
from finebench.bench.metrics import METRICS
from finebench.bench.tasks import Embedded, Hub, Task, task, tasks

ALL = pytest.mark.parametrize("one", tasks().values(), ids=lambda one: one.name)
MAIN = {
    "cola": "mcc",
    "sst2": "accuracy",
    "mrpc": "f1",
    "qqp": "f1",
    "stsb": "pearson",
    "mnli": "accuracy",
    "mnli-mm": "accuracy",
    "qnli": "accuracy",
    "rte": "accuracy",
    "wnli": "accuracy",
    "mini-cola": "mcc",
    "mini-mrpc": "f1",
    "mini-stsb": "pearson",
}


def test_glue_and_the_generated_tasks_are_there_with_their_official_main_metric() -> None:
    assert {one.name: one.metric for one in tasks().values()} == MAIN


@ALL
def test_a_task_is_complete(one: Task) -> None:
    assert one.summary
    assert one.reference
    assert one.licence
    assert one.version >= 1
    assert 1 <= len(one.text) <= 2
    assert len({*one.text, one.label}) == len(one.text) + 1
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]*", one.name)


@ALL
def test_metrics_fit_the_kind_and_the_main_one_rises(one: Task) -> None:
    assert {METRICS[name].kind for name in one.metrics} == {one.kind}
    assert METRICS[one.metric].higher_is_better
    assert (one.labels is None) == (one.kind == "regression")
    assert not any(METRICS[name].binary for name in one.metrics) or len(one.labels or ()) == 2


@ALL
def test_a_hub_task_is_pinned_to_a_commit_and_its_size_is_known(one: Task) -> None:
    if isinstance(one.source, Hub):
        assert re.fullmatch(r"[0-9a-f]{40}", one.source.revision)
        assert set(one.source.splits) == {"train", "validation"}
        assert one.size_hint is not None
        assert one.size_hint.train > one.size_hint.score > 0
    else:
        assert isinstance(one.source, Embedded)


@ALL
def test_a_task_stands_in_a_file_of_its_own_name(one: Task) -> None:
    folder = Path(finebench.bench.tasks.__file__).parent
    assert (folder / f"{one.name.replace('-', '_')}.py").is_file()


def test_generated_tasks_have_the_shape_of_their_models() -> None:
    for name in ("cola", "mrpc", "stsb"):
        model, mini = task(name), task(f"mini-{name}")
        assert [(t.kind, t.text, t.label, t.metrics, t.labels) for t in (model, mini)].count(
            (model.kind, model.text, model.label, model.metrics, model.labels)
        ) == 2


def test_mismatched_mnli_trains_as_mnli_and_is_scored_elsewhere() -> None:
    one, other = task("mnli").source, task("mnli-mm").source
    assert isinstance(one, Hub)
    assert isinstance(other, Hub)
    assert one.config == other.config == "mnli"
    assert one.splits["train"] == other.splits["train"]
    assert one.splits["validation"] != other.splits["validation"]


def test_listing_tasks_imports_nothing_heavy() -> None:
    code = "import sys; from finebench.bench.tasks import tasks; tasks()\n"
    code += "assert not {'torch', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
