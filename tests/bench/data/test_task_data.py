"""Built-in tasks: generated, from GLUE-shaped Parquet, and from a hub that may not be there."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from finebench.bench.data.splits import draw
from finebench.bench.data.task_data import Split, TaskData, load_task, user_task
from finebench.bench.data.tokenize import place_of, row_of
from finebench.bench.metrics import majority_score
from finebench.bench.tasks import Embedded, HeldOut, Hub, OneFile, task, tasks
from finebench.bench.util.errors import DataError
from tests.bench.real_glue import REAL, find, real


def write(path: Path, **columns: list[Any]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pa.table(columns), path)
    return path


def cola(folder: Path, name: str = "cola", validation: list[int] | None = None) -> Path:
    labels = validation or [1, 0]
    write(folder / name / "train.parquet", sentence=["a", "b", "c"], label=[0, 1, 1], idx=[0, 1, 2])
    write(folder / name / "validation.parquet", sentence=list("xyzuvw"[: len(labels)]), label=labels)
    return folder


# generated


@pytest.mark.parametrize("name", [one.name for one in tasks().values() if isinstance(one.source, Embedded)])
def test_generated_tasks_load_without_any_file(name: str) -> None:
    found = load_task(task(name), Path("/nowhere"))
    assert (len(found.train), len(found.score)) == (2400, 500)
    assert found.num_labels == (1 if found.task.kind == "regression" else 2)
    assert found.train.labels.dtype == (np.float64 if found.task.kind == "regression" else np.int64)
    assert not set(zip(*found.train.texts, strict=True)) & set(zip(*found.score.texts, strict=True))


# --data


def test_glue_shaped_parquet_is_read_from_the_folder(tmp_path: Path) -> None:
    found = load_task(task("cola"), cola(tmp_path))
    assert found.train.texts == (["a", "b", "c"],)
    assert found.train.labels.tolist() == [0, 1, 1]
    assert found.score.labels.tolist() == [1, 0]
    assert found.label_names == ("unacceptable", "acceptable")


def test_a_missing_task_names_what_is_needed_and_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_task(task("rte"), cola(tmp_path))
    message = str(caught.value)
    assert f"{tmp_path}/rte/train.parquet" in message
    assert "cola/train.parquet, cola/validation.parquet" in message


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such folder"):
        load_task(task("cola"), tmp_path / "no")


def test_an_unlabelled_split_is_refused_by_file_row_and_column(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cola/validation\.parquet, row 2, column 'label': label -1"):
        load_task(task("cola"), cola(tmp_path, validation=[1, -1]))


def test_a_label_outside_the_classes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 3, column 'label': label 2 is not a class of 'cola': 0 to 1"):
        load_task(task("cola"), cola(tmp_path, validation=[1, 0, 2]))


def test_a_missing_column_is_refused_with_a_guess(tmp_path: Path) -> None:
    write(cola(tmp_path) / "cola/train.parquet", sentense=["a"], label=[0])
    with pytest.raises(DataError, match=r"train\.parquet: unknown column 'sentence'; did you mean 'sentense'"):
        load_task(task("cola"), tmp_path)


def test_glue_as_it_is_cloned_from_the_hub(tmp_path: Path) -> None:
    """Shards, whose names end in their number and how many there are."""
    for number in range(2):
        rows: dict[str, list[Any]] = {"sentence": [f"a{number}", f"b{number}"], "label": [number, 1 - number]}
        write(tmp_path / f"cola/train-0000{number}-of-00002.parquet", **rows)
    write(tmp_path / "cola/validation-00000-of-00001.parquet", sentence=["x"], label=[1])
    found = load_task(task("cola"), tmp_path)
    assert found.train.texts == (["a0", "b0", "a1", "b1"],)
    assert found.train.labels.tolist() == [0, 1, 1, 0]
    (tmp_path / "cola/train-00000-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"there are 1 of the 2 files train-\*-of-00002\.parquet; all are needed"):
        load_task(task("cola"), tmp_path)


def mnli(folder: Path, name: str, text: str) -> None:
    write(folder / name, premise=[text, text], hypothesis=["h", "i"], label=[0, 2])


@pytest.mark.parametrize("matched", ["validation_matched", "validation"])
def test_mnli_takes_either_name_of_its_matched_split(tmp_path: Path, matched: str) -> None:
    mnli(tmp_path, "mnli/train.parquet", "t")
    mnli(tmp_path, f"mnli/{matched}.parquet", "m")
    assert load_task(task("mnli"), tmp_path).score.texts[0] == ["m", "m"]
    with pytest.raises(DataError, match="validation_mismatched"):  # never scored on the matched split in its place
        load_task(task("mnli-mm"), tmp_path)


def test_mismatched_mnli_trains_on_mnli(tmp_path: Path) -> None:
    mnli(tmp_path, "mnli/train.parquet", "t")
    mnli(tmp_path, "mnli/validation_matched.parquet", "m")
    mnli(tmp_path, "mnli/validation_mismatched.parquet", "mm")
    found = load_task(task("mnli-mm"), tmp_path)
    assert (found.train.texts[0][0], found.score.texts[0][0]) == ("t", "mm")
    mnli(tmp_path, "mnli-mm/validation.parquet", "own")
    assert load_task(task("mnli-mm"), tmp_path).score.texts[0][0] == "own"


def test_the_score_split_is_never_part_of_a_draw(tmp_path: Path) -> None:
    found = load_task(task("mini-cola"), None)
    rows = draw(found.train.labels, False, 1.0, 1, 0.1, 50, True)
    assert len(rows.fit) + len(rows.select) == len(found.train)
    scored = set(found.score.texts[0])
    assert not any(found.train.texts[0][row] in scored for row in (*rows.fit, *rows.select))


def test_the_fingerprint_sees_every_text_and_label_and_no_file_name(tmp_path: Path) -> None:
    base = load_task(task("cola"), cola(tmp_path / "one"))
    assert load_task(task("cola"), cola(tmp_path / "two")).fingerprint == base.fingerprint
    assert base.fingerprint == "fc2ef62e82f64cbb25e36ff38091b26e"
    relabelled = load_task(task("cola"), cola(tmp_path / "three", validation=[0, 1]))
    assert relabelled.fingerprint != base.fingerprint


def test_texts_do_not_run_into_each_other_in_the_fingerprint() -> None:
    from finebench.bench.data.rows import fingerprint

    labels = np.array([0, 1])
    one, other = Split((["ab", "c"],), labels), Split((["a", "bc"],), labels)
    assert fingerprint([one]) != fingerprint([other])
    assert fingerprint([one, other]) != fingerprint([other, one])


# the hub


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., Any]], None]:
    import datasets

    from finebench.bench.data import hub_datasets

    def use(load: Callable[..., Any]) -> None:
        monkeypatch.setattr(datasets, "load_dataset", load)
        monkeypatch.setattr(hub_datasets, "_answers", lambda endpoint: True)

    return use


def test_the_hub_is_asked_for_the_pinned_revision_and_the_right_splits(hub: Any) -> None:
    from datasets import Dataset

    asked: list[Any] = []

    def load(path: str, config: str, *, revision: str, split: str) -> Dataset:
        asked.append((path, config, revision, split))
        return Dataset.from_dict({"premise": [split], "hypothesis": ["h"], "label": [2], "idx": [0]})

    hub(load)
    found = load_task(task("mnli-mm"), None)
    source = found.task.source
    assert isinstance(source, Hub)
    assert asked == [("nyu-mll/glue", "mnli", source.revision, split) for split in ("train", "validation_mismatched")]
    assert found.score.texts == (["validation_mismatched"], ["h"])


def test_what_the_hub_says_is_passed_on_in_one_message(hub: Any) -> None:
    from datasets.exceptions import DatasetNotFoundError

    def load(*args: Any, **kwargs: Any) -> Any:
        raise DatasetNotFoundError("Revision 'x' doesn't exist\nfor this dataset")

    hub(load)
    with pytest.raises(DataError, match=r"task 'rte': .* Revision 'x' doesn't exist for this dataset.*--data DIR"):
        load_task(task("rte"), None)


def test_a_hub_dataset_without_the_column_is_refused(hub: Any) -> None:
    from datasets import Dataset

    hub(lambda *args, **kwargs: Dataset.from_dict({"text": ["a"], "label": [1]}))
    with pytest.raises(DataError, match="has no column 'sentence', only text, label"):
        load_task(task("cola"), None)


def test_a_data_set_of_the_hub_is_a_task_of_one_s_own(hub: Any) -> None:
    from datasets import ClassLabel, Dataset

    asked: list[Any] = []

    def load(path: str, config: str | None, *, revision: str | None, split: str) -> Dataset:
        asked.append((path, config, revision, split))
        made = Dataset.from_dict({"text": [f"{split} {i}" for i in range(4)], "label": [0, 1, -1, 2], "more": [0] * 4})
        return made.cast_column("label", ClassLabel(names=["a", "b", "c"]))

    hub(load)
    source = Hub("org/name", None, None, {"train": "train", "validation": "test"})
    found = load_task(user_task("mine", source, ["text"], "label", ["accuracy"]), Path("/nowhere"))
    assert asked == [("org/name", None, None, "train"), ("org/name", None, None, "test")]
    assert found.label_names == ("a", "b", "c")
    assert found.score.texts == (["test 0", "test 1", "test 3"],)
    assert [note.partition(" rows")[0] for note in found.notes] == [
        "org/name (train): 1 of 4", "org/name (test): 1 of 4",
    ]  # fmt: skip

    hub(lambda *args, **kwargs: (_ for _ in ()).throw(ConnectionError("no")))
    with pytest.raises(DataError, match=r"org/name \(train\) cannot be had from the hub: no\..*save_to_disk"):
        load_task(found.task, None)


def test_a_share_of_a_hub_data_set_is_held_out_as_of_a_file(hub: Any, tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset

    rows = {"text": [f"text {i}" for i in range(200)], "label": [i % 4 == 0 for i in range(200)]}
    rows["label"] = [int(one) for one in rows["label"]]
    rows["author"] = [f"a{i % 20}" for i in range(200)]
    asked: list[str] = []

    def load(path: str, config: str | None, *, revision: str | None, split: str) -> Dataset:
        asked.append(split)
        return Dataset.from_dict(rows).cast_column("label", ClassLabel(names=["no", "yes"]))

    def read(**held: Any) -> TaskData:
        source = Hub("org/name", None, None, {"train": "all"}, HeldOut(0.2, **held))
        return load_task(user_task("mine", source, ["text"], "label", ["accuracy"]), None)

    hub(load)
    found = read()
    assert asked == ["all"]
    assert (len(found.train), np.bincount(found.score.labels).tolist()) == (160, [30, 10])
    assert place_of(found, "train") == place_of(found, "score") == "task 'mine', train"
    assert row_of(found, "score", 0) == f"task 'mine', train, row {int(found.score.texts[0][0].split()[1]) + 1}"
    assert read().fingerprint == found.fingerprint != read(seed=1).fingerprint

    Dataset.from_dict(rows | {"label": ["no" if not one else "yes" for one in rows["label"]]}).to_csv(
        tmp_path / "a.csv"
    )
    same = load_task(
        user_task("mine", OneFile(str(tmp_path / "a.csv"), HeldOut(0.2)), ["text"], "label", ["accuracy"]), None
    )
    assert same.fingerprint == found.fingerprint

    grouped = read(group="author")
    authors = [{int(text.split()[1]) % 20 for text in part.texts[0]} for part in (grouped.train, grouped.score)]
    assert not authors[0] & authors[1]
    assert (len(grouped.train), len(grouped.score)) == (160, 40)
    with pytest.raises(DataError, match=r"org/name \(all\) has no column 'auther'"):
        read(group="auther")
    hub(lambda *args, **kwargs: (_ for _ in ()).throw(ConnectionError("no")))
    with pytest.raises(
        DataError, match=r"save it with save_to_disk where there is one: \{file: FOLDER, validation: 0.2\}"
    ):
        read()


def test_a_cached_copy_of_another_revision_is_refused(hub: Any, tmp_path: Path, monkeypatch: Any) -> None:
    import datasets

    datasets.Dataset.from_dict({"sentence": ["a"], "label": [1]}).save_to_disk(tmp_path / "other")
    hub(lambda *args, **kwargs: datasets.load_from_disk(tmp_path / "other"))
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match="the cache holds another revision"):
        load_task(task("cola"), None)
    revision = task("cola").source.revision  # type: ignore[union-attr]
    datasets.load_from_disk(tmp_path / "other").save_to_disk(tmp_path / revision)
    hub(lambda *args, **kwargs: datasets.load_from_disk(tmp_path / revision))
    assert load_task(task("cola"), None).train.labels.tolist() == [1]


def test_an_unreachable_hub_gives_one_message_soon(tmp_path: Path) -> None:
    code = (
        "import time, datasets, finebench.bench.data.hub_datasets\n"
        "from finebench.bench.tasks import task\nfrom finebench.bench.data.task_data import load_task\n"
        "begin = time.monotonic()\n"
        "try:\n    load_task(task('cola'), None)\n"
        "except Exception as error:\n    print(type(error).__name__, time.monotonic() - begin, error)\n"
    )
    env = os.environ | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    name, seconds, message = done.stdout.split(maxsplit=2)
    assert name == "DataError"
    assert float(seconds) < 5
    assert "--data DIR" in message
    assert len(message.splitlines()) == 1
    assert done.stderr == ""


# real data


@pytest.fixture(scope="module")
def glue() -> dict[str, TaskData]:
    return {name: load_task(task(name), REAL) for name in ("cola", "mrpc", "stsb")}


@real
def test_real_glue_has_its_published_sizes(glue: dict[str, TaskData]) -> None:
    sizes = {name: (len(one.train), len(one.score)) for name, one in glue.items()}
    assert sizes == {"cola": (8551, 1043), "mrpc": (3668, 408), "stsb": (5749, 1500)}
    for name, one in glue.items():
        hint = task(name).size_hint
        assert hint is not None
        assert (hint.train, hint.score) == sizes[name]
        assert one.num_labels == (1 if name == "stsb" else 2)


@real
def test_real_glue_has_its_published_balance(glue: dict[str, TaskData]) -> None:
    assert np.bincount(glue["cola"].train.labels).tolist() == [2528, 6023]
    assert np.bincount(glue["mrpc"].train.labels).tolist() == [1194, 2474]
    assert (glue["stsb"].train.labels.min(), glue["stsb"].train.labels.max()) == (0, 5)


@real
def test_majority_scores_of_real_glue(glue: dict[str, TaskData]) -> None:
    found = {n: majority_score(d.task.metrics, d.train.labels, d.score.labels) for n, d in glue.items()}
    assert found == pytest.approx({"cola": 0, "mrpc": 0.8122, "stsb": 0}, abs=5e-5)
    mrpc = replace(glue["mrpc"].task, metrics=("accuracy",))
    assert majority_score(mrpc.metrics, glue["mrpc"].train.labels, glue["mrpc"].score.labels) == pytest.approx(
        0.6838, abs=5e-5
    )


@real
def test_cola_s_unlabelled_test_split_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cola").mkdir()
    (tmp_path / "cola/train.parquet").symlink_to((REAL / "cola/train.parquet").resolve())
    (tmp_path / "cola/validation.parquet").symlink_to((REAL / "cola/test.parquet").resolve())
    with pytest.raises(DataError, match=r"row 1, column 'label': label -1 means that the split is not labelled"):
        load_task(task("cola"), tmp_path)


def git(*arguments: str) -> None:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", *identity, *arguments], check=True, capture_output=True)


def test_real_glue_is_found_from_a_clone_and_from_a_worktree(tmp_path: Path) -> None:
    """Beside the repository that they come from, wherever they stand themselves."""
    origin, elsewhere = tmp_path / "work/origin", tmp_path / "elsewhere"
    git("init", "-q", str(origin))
    git("-C", str(origin), "commit", "-q", "--allow-empty", "-m", "one")
    git("clone", "-q", str(origin), str(elsewhere / "clone"))
    git("-C", str(origin), "worktree", "add", "-q", str(elsewhere / "tree"))
    places = [origin, elsewhere / "clone", elsewhere / "tree"]
    assert [find(place) for place in places] == [None] * 3
    data = tmp_path / "work/shared/data/glue"
    data.mkdir(parents=True)
    assert [find(place) for place in places] == [data] * 3
    assert find(tmp_path / "no/repository") is None
    assert find(origin, named=str(tmp_path)) == tmp_path
    with pytest.raises(pytest.UsageError, match="FINEBENCH_GLUE=/nowhere: there is no such folder"):
        find(origin, named="/nowhere")
