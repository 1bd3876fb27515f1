"""What users have works as it is: kinds of files, one file to be split, class names; and what leaks is said."""

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT
from finebench.bench.data.class_labels import apart
from finebench.bench.data.facts import facts, sentence
from finebench.bench.data.leakage import check_own, leaked
from finebench.bench.data.readers import read_file
from finebench.bench.data.splits import hold_out
from finebench.bench.data.task_data import TaskData, load_task, user_task
from finebench.bench.data.tokenize import row_of
from finebench.bench.tasks import Files, HeldOut, Hub, OneFile
from finebench.bench.util.errors import DataError

ROWS = [("fine", 1), ('a "good" one', 1), ("poor", 0), ("bad", 0)]


def two(folder: Path, train: str | bytes, score: str | bytes, kind: str = "csv", **changed: Any) -> TaskData:
    """A task on two files of one kind."""
    for name, content in (("train", train), ("dev", score)):
        (folder / f"{name}.{kind}").write_bytes(content.encode() if isinstance(content, str) else content)
    return own(Files(str(folder / f"train.{kind}"), str(folder / f"dev.{kind}")), **changed)


def own(source: Files | OneFile | Hub, **changed: Any) -> TaskData:
    asked = {"text": ("text",), "label": "label", "metrics": ("accuracy",)} | changed
    return load_task(user_task("mine", source, asked["text"], asked["label"], asked["metrics"]), None)


def refused(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments, **named)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def saved(folder: Path, labels: list[Any], names: list[str] | None = None, text: str = "t") -> Path:
    """A folder that `save_to_disk` wrote; `names` make the label a ClassLabel."""
    import datasets

    kind = datasets.ClassLabel(names=names) if names else None
    made = datasets.Dataset.from_dict({"text": [f"{text} {i}" for i in range(len(labels))], "label": labels})
    (made.cast_column("label", kind) if kind else made).save_to_disk(folder)
    return folder


# kinds of files


def test_every_kind_of_file_is_the_same_data(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(ROWS, columns=["text", "label"])
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_csv(tmp_path / "b.csv.gz", index=False)
    frame.to_csv(tmp_path / "c.tsv", index=False, sep="\t")  # quoted as CSV is
    (tmp_path / "d.tsv").write_text("text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS), "utf-8")
    frame.to_json(tmp_path / "e.json", orient="records")
    frame.to_json(tmp_path / "f.json", orient="records", lines=True)
    frame.to_json(tmp_path / "g.jsonl.gz", orient="records", lines=True)
    frame.to_parquet(tmp_path / "h.parquet")
    (tmp_path / "i.parquet.gz").write_bytes(gzip.compress((tmp_path / "h.parquet").read_bytes()))
    paths = sorted(tmp_path.iterdir())
    assert len(paths) == 9
    for path in paths:
        found = own(Files(str(path), str(paths[path == paths[0]])))
        assert found.train.texts == ([text for text, _ in ROWS],), path
        assert found.train.labels.tolist() == found.score.labels.tolist() == [1, 1, 0, 0], path


def test_a_folder_of_save_to_disk(tmp_path: Path) -> None:
    train, dev = saved(tmp_path / "train", [1, 0, 1], ["neg", "pos"]), saved(tmp_path / "dev", [0, 1], ["neg", "pos"])
    found = own(Files(str(train), str(dev)))
    assert (found.label_names, found.score.labels.tolist()) == (("neg", "pos"), [0, 1])
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "dev"]}', encoding="utf-8")
    says = refused(read_file, tmp_path, ("text",))
    assert f"name one of them, such as {train}: train, dev" in says
    (dev / "state.json").write_text('{"_data_files": [{"filename": "../x"}]}', encoding="utf-8")
    assert "names no Arrow files" in refused(read_file, dev, ("text",))


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "a.csv",
            gzip.compress(b"text,label\n", mtime=0),
            "this is compressed with gzip; give it a name that ends in .gz",
        ),
        ("a.csv", b"PK\x03\x04xxxx", "a ZIP archive, as Excel workbooks are too"),
        ("a.jsonl", b"PAR1xxxx", "a Parquet file; give it a name that ends in .parquet"),
        ("a.parquet", b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        ("a.csv.gz", b"text,label\n", "not a whole gzip file"),
        ("a.csv.gz", gzip.compress(b"text,label\nfine,1\n" * 99, mtime=0)[:-20], "not a whole gzip file"),
        ("a.json", b'{"text": {"0": "a"},\n "label": {"0": 1}}', "one JSON object with 'text', 'label' inside"),
        ("a.json", b'{"data": [{"text": "a", "label": 1}]}', "one JSON object with 'data' inside; an array of objects"),
        ("a.json", b'{"text": "a",\n "label": 1,}', "row 1 (line 1): not valid JSON"),
        ("folder", None, "there is no such file or folder"),
        ("a.json", b"[1, 2]", "row 1: a row is a JSON object"),
        ("a.json", b"[]", "there are no rows"),
        ("a.tsv", b"text\tlabel\na\tb\tc\n", "row 1 (line 2): 3 fields where the header has 2"),
        ("a.tsv", b"gj04\t1\t\tOur friends\n", "the first line is the header"),
    ],
)
def test_what_a_file_is_instead(tmp_path: Path, name: str, content: bytes | None, says: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    assert says in refused(read_file, tmp_path / name, ("text",))


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ('text\tlabel\n"quoted" at both "ends"\t1\n"alone"\t0\n', '"quoted" at both "ends"'),  # as GLUE has it
        ('text\tlabel\n"a ""b"" c"\t1\nd\t0\n', 'a "b" c'),
        ('text\tlabel\n"a\nb"\t1\nd\t0\n', "a\nb"),
        ('text\tlabel\n"a\tb"\t1\nd\t0\n', "a\tb"),
        ('"text"\t"label"\n"a"\t"1"\n"b"\t"0"\n', "a"),
        ('text\tlabel\n5" disk\t1\nd\t0\n', '5" disk'),
    ],
)
def test_quotation_marks_in_a_tsv(tmp_path: Path, table: str, text: str) -> None:
    (tmp_path / "a.tsv").write_text(table, encoding="utf-8")
    assert read_file(tmp_path / "a.tsv", ("text", "label")).columns["text"][0] == text


def test_names_that_stand_twice_among_other_columns(tmp_path: Path) -> None:
    table = "x,text,x,label\n1,fine,2,a\n1,poor,2,b\n"
    assert two(tmp_path, table, table).train.texts == (["fine", "poor"],)
    rows = '{"x": 1, "x": 2, "text": "fine", "label": 1}\n{"text": "poor", "label": 0}\n'
    assert two(tmp_path, rows, rows, "jsonl").train.texts == (["fine", "poor"],)
    assert list(read_file(tmp_path / "train.csv", None).columns) == ["text", "label"]


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_one_of_two_texts_may_be_empty(tmp_path: Path, kind: str) -> None:
    rows = [("t", "b", "x"), ("", "b", "y"), ("t", "", "x")]
    csv = "a,b,label\n" + "".join(",".join(row) + "\n" for row in rows)
    names = ("a", "b", "label")
    lines = "".join(json.dumps({n: v or None for n, v in zip(names, row, strict=True)}) + "\n" for row in rows)
    table = csv if kind == "csv" else lines
    assert two(tmp_path, table, table, kind, text=("a", "b")).train.texts == (["t", "", "t"], ["b", "b", ""])
    empty = table + (",,x\n" if kind == "csv" else '{"a": "", "b": null, "label": "x"}\n')
    says = refused(two, tmp_path, empty, table, kind, text=("a", "b"))
    assert "column 'a': the text and that of column 'b' are empty" in says


# labels


def test_rows_without_a_label_are_left_out_and_said(tmp_path: Path) -> None:
    names = ["entailment", "neutral", "contradiction"]
    train = saved(tmp_path / "train", [2, -1, 0, 1, -1, 0], names)
    found = own(Files(str(train), str(saved(tmp_path / "dev", [0, 1, 2], names))))
    assert (found.label_names, found.train.labels.tolist()) == (tuple(names), [2, 0, 1, 0])
    assert found.train.numbers == [1, 3, 4, 6]
    assert f"{train}: 2 of 6 rows are left out, without a label: -1" in found.notes[0]
    (tmp_path / "plain.csv").write_text("text,label\na,-1\nb,0\nc,1\nd,2\n", encoding="utf-8")
    found = own(Files(str(tmp_path / "plain.csv"), str(train)))  # declared beside it
    assert (found.label_names, len(found.train)) == (("0", "1", "2"), 3)
    (tmp_path / "other.csv").write_bytes((tmp_path / "plain.csv").read_bytes())
    found = own(Files(str(tmp_path / "plain.csv"), str(tmp_path / "other.csv")))  # declared nowhere
    assert found.label_names == ("-1", "0", "1", "2")
    assert any(note.startswith("class -1 beside 0 to 2") for note in facts(found)["notes"])
    empty = saved(tmp_path / "test", [-1, -1], names)
    assert "row 1, column 'label': no row has a label" in refused(own, Files(str(train), str(empty)))


def test_a_label_outside_the_declared_classes(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    about = {"info": {"features": {"label": {"names": ["no", "yes"], "_type": "ClassLabel"}}}}
    table = pa.table({"text": ["a", "b"], "label": [0, 2]}).replace_schema_metadata({"huggingface": json.dumps(about)})
    parquet.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "b.csv").write_text("text,label\na,0\n", encoding="utf-8")
    says = refused(own, Files(str(tmp_path / "a.parquet"), str(tmp_path / "b.csv")))
    assert "row 2, column 'label': label 2 is none of the classes that the file declares: 0 no, 1 yes" in says


@pytest.mark.parametrize(
    ("train", "score", "classes"),
    [
        ([1.0, 0.0], ["1.0", "0.0"], ("0", "1")),
        (["1.0", "0.0"], [1, 0], ("0.0", "1.0")),
        (["1.0", "0.0"], ["1", "0"], ("0.0", "1.0")),
        ([1, 0], ["1.00", "0.00"], ("0", "1")),
        ([True, False], ["TRUE", "false"], ("False", "True")),
        (["TRUE", "false", "true"], [True, False], ("False", "True")),
        (["TRUE", "no"], ["TRUE", "no"], ("TRUE", "no")),
        (["nan", "inf"], ["nan", "inf"], ("inf", "nan")),
    ],
)
def test_labels_are_compared_by_value(tmp_path: Path, train: list[Any], score: list[Any], classes: Any) -> None:
    lines = ["".join(json.dumps({"text": "t", "label": v}) + "\n" for v in values) for values in (train, score)]
    found = two(tmp_path, *lines, kind="jsonl")
    assert (found.label_names, len(found.score)) == (classes, len(score))


def test_one_frame_as_csv_and_as_parquet(tmp_path: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"text": ["a", "b", "c"], "label": [0.0, 1.0, 1.0]})
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    for files in (("a.csv", "a.parquet"), ("a.parquet", "a.csv")):
        found = own(Files(*(str(tmp_path / name) for name in files)))
        assert found.train.labels.tolist() == found.score.labels.tolist() == [0, 1, 1]


def test_declared_names_meet_words_and_numbers(tmp_path: Path) -> None:
    declared = saved(tmp_path / "train", [1, 0, 1], ["neg", "pos"])
    turned = saved(tmp_path / "dev", [1, 0, 0], ["pos", "neg"])
    for name, rows in (("words", "a,pos\nb,neg\nc,neg\n"), ("numbers", "a,1\nb,0\nc,0\n")):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    csv = [str(tmp_path / f"{name}.csv") for name in ("words", "numbers")]
    for score, labels in ((str(turned), [0, 1, 1]), (csv[0], [1, 0, 0]), (csv[1], [1, 0, 0])):
        assert own(Files(str(declared), score)).score.labels.tolist() == labels
    assert own(Files(csv[0], str(declared))).score.labels.tolist() == [1, 0, 1]
    assert own(Files(csv[1], str(declared))).score.labels.tolist() == [1, 0, 1]


def test_numbers_that_are_names_of_classes(tmp_path: Path) -> None:
    """Stars from 1 to 3 are stored as 0 to 2; a CSV file beside them may mean either."""
    stars = str(saved(tmp_path / "train", [0, 1, 2], ["1", "2", "3"]))
    for rows, labels in (("a,1\nb,3\n", [0, 2]), ("a,0\nb,2\n", [0, 2])):
        (tmp_path / "dev.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
        assert own(Files(stars, str(tmp_path / "dev.csv"))).score.labels.tolist() == labels
    (tmp_path / "dev.csv").write_text("text,label\na,1\nb,2\n", encoding="utf-8")
    says = refused(own, Files(stars, str(tmp_path / "dev.csv")))
    assert "label 1 may be the name of a class" in says
    assert says.endswith("or a number that stands for one: 0 1, 1 2, 2 3")
    signs = str(saved(tmp_path / "signs", [0, 1, 2], ["-1", "0", "1"]))
    (tmp_path / "dev.csv").write_text("text,label\na,-1\nb,1\nc,0\n", encoding="utf-8")
    assert own(Files(signs, str(tmp_path / "dev.csv"))).score.labels.tolist() == [0, 2, 1]


@pytest.mark.parametrize("label", ["['a', 'b']", "[0, 1]", "[0 1 0]", "('a',)", "{'a', 'b'}", "[]"])
def test_lists_of_labels_are_called_multi_label(tmp_path: Path, label: str) -> None:
    table = f'text,label\nx,"{label}"\ny,"{label}"\n'
    assert "is a list: multi-label tasks are not supported" in refused(two, tmp_path, table, table)


def test_brackets_alone_are_no_list(tmp_path: Path) -> None:
    table = "text,label\nx,[other]\ny,(none)\n"
    assert two(tmp_path, table, table).label_names == ("(none)", "[other]")


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ("Yes", "yes", "'Yes' and 'yes' differ in case alone"),
        ("very good", "very  good", "differ in space alone"),
        ("caf\u00e9", "cafe\u0301", r"'caf\xe9' and 'cafe\u0301' differ in Unicode form alone"),
        ("Caf\u00e9", "cafe\u0301", "differ in case, space or form"),
    ],
)
def test_labels_that_look_alike_are_pointed_out(tmp_path: Path, one: str, other: str, says: str) -> None:
    assert says in apart(one, other)
    both = f"text,label\na,{one}\nb,{other}\nc,{one}\n"
    assert any(says.partition(" differ ")[2] in note for note in facts(two(tmp_path, both, both))["notes"])
    train = f"text,label\na,{other}\nb,else\n"
    assert apart(one, other) in refused(two, tmp_path, train, f"text,label\na,{one}\n")


# one file


def one_file(folder: Path, rows: int = 100, **changed: Any) -> TaskData:
    table = [f"text {i},{'no' if i % 4 else 'yes'},author {i % 10}" for i in range(rows)]
    (folder / "all.csv").write_text("text,label,author\n" + "\n".join(table) + "\n", encoding="utf-8")
    return own(OneFile(str(folder / "all.csv"), HeldOut(**({"share": 0.2} | changed))))


def test_one_file_is_split_stratified_and_seeded(tmp_path: Path) -> None:
    found = one_file(tmp_path)
    assert (len(found.train), len(found.score)) == (80, 20)
    assert np.bincount(found.score.labels).tolist() == [15, 5]
    assert not set(found.train.texts[0]) & set(found.score.texts[0])
    assert found.score.numbers is not None
    assert [f"text {number - 1}" for number in found.score.numbers] == found.score.texts[0]
    assert one_file(tmp_path).fingerprint == found.fingerprint
    assert one_file(tmp_path, seed=1).fingerprint != found.fingerprint


def test_groups_stay_on_one_side(tmp_path: Path) -> None:
    for seed in range(5):
        found = one_file(tmp_path, 400, group="author", seed=seed)
        authors = [{int(text.split()[1]) % 10 for text in split.texts[0]} for split in (found.train, found.score)]
        assert not authors[0] & authors[1]
        assert len(authors[1]) == 2
    assert "unknown column 'auther'; did you mean 'author'" in refused(one_file, tmp_path, group="auther")


def test_uneven_groups_come_near_to_the_share() -> None:
    rng = np.random.default_rng(0)
    groups = rng.zipf(1.5, 2000).tolist()
    labels = rng.integers(0, 3, 2000)
    train, held = hold_out(labels, False, 0.2, 3, groups)
    assert sorted([*train, *held]) == list(range(2000))
    assert not {groups[row] for row in train} & {groups[row] for row in held}
    assert 0.1 < len(held) / 2000 < 0.3


def test_rows_of_equal_texts_stay_on_one_side(tmp_path: Path) -> None:
    """The split is ours, and so would be the leak."""
    (tmp_path / "b.csv").write_text(table(*[(f"text {i // 2}", "xy"[i // 2 % 2]) for i in range(200)]), "utf-8")
    found = own(OneFile(str(tmp_path / "b.csv"), HeldOut(0.2)))
    assert (len(found.train), len(found.score)) == (160, 40)
    assert leaked(found) == 0


def test_a_share_that_leaves_too_little(tmp_path: Path) -> None:
    assert "leaves no row to score on" in refused(one_file, tmp_path, share=0.001)
    (tmp_path / "b.csv").write_text("text,label,g\n" + "a,x,1\nb,y,1\nc,y,1\n" * 5, encoding="utf-8")
    says = refused(own, OneFile(str(tmp_path / "b.csv"), HeldOut(0.2, group="g")))
    assert "group: g leaves no row to score on; give another share or seed" in says
    (tmp_path / "c.csv").write_text("text,label,g\na,x,1\nb,y,\n", encoding="utf-8")
    assert "row 2 (line 3), column 'g': the group is missing" in refused(
        own, OneFile(str(tmp_path / "c.csv"), HeldOut(0.5, group="g"))
    )


def test_held_out_rows_that_all_stand_in_train_under_other_groups(tmp_path: Path) -> None:
    """The words are about one file, not about two."""
    rows = [f"text {i % 10},{'xy'[i % 2]},{i // 10}" for i in range(100)]
    (tmp_path / "b.csv").write_text("text,label,g\n" + "\n".join(rows) + "\n", encoding="utf-8")
    says = refused(check_own, own(OneFile(str(tmp_path / "b.csv"), HeldOut(0.2, group="g"))))
    assert "the part held out of" in says
    assert "in another group" in says
    assert "hold rows out of train" not in says
    check_own(own(OneFile(str(tmp_path / "b.csv"), HeldOut(0.2))))


def test_a_class_with_one_row_left_is_said_to_be_so_beside_the_held_out_part(tmp_path: Path) -> None:
    rows = [f"text {i},x" for i in range(98)] + ["one,y", "two,y"]
    (tmp_path / "b.csv").write_text("text,label\n" + "\n".join(rows) + "\n", encoding="utf-8")
    says = refused(check_own, own(OneFile(str(tmp_path / "b.csv"), HeldOut(0.5))))
    assert "class 'y' has this one row outside the part held out of" in says


# leaks


def table(*rows: tuple[str, str]) -> str:
    return "text,label\n" + "".join(f"{text},{label}\n" for text, label in rows)


TRAIN = [("a a", "x"), ("b", "y"), ("c", "x"), ("d", "y"), ("c", "y")]


def test_leaks_and_contradictions_are_counted(tmp_path: Path) -> None:
    found = facts(two(tmp_path, table(*TRAIN), table(("e", "x"), ("a  a", "x"), ("d", "x"), ("f", "y"))))
    assert found["notes"] == [
        "2 of 4 rows to score on (50.0%) also stand among the rows to train on: "
        "scores on them are no scores on new data",
        "2 of 5 rows to train on have texts that stand there with another label too",
    ]
    assert found["train_counts"] == [2, 3]
    assert sentence("mine", found) == (
        "mine: 5 rows to train on, 4 to score on; 2 classes (train + score): x 2 + 3, y 3 + 1"
    )


def test_what_a_class_is_called_cannot_steer_a_terminal(tmp_path: Path) -> None:
    rows = table(("a", "\x1b[31mred\x1b[0m"), ("b", "x" * 500), ("c", "\x1b[31mred\x1b[0m"))
    found = facts(two(tmp_path, rows, rows))
    said = sentence("mine", found)
    assert "(train + score): red 2 + 2, xxx" in said
    assert len(said) < 300


def test_f1_s_positive_class_is_named(tmp_path: Path) -> None:
    found = facts(two(tmp_path, table(*TRAIN), table(*TRAIN), metrics=("f1",)))
    assert found["positive"] == "y"
    assert sentence("mine", found).endswith("; positive for F1: y")


@pytest.mark.parametrize(
    ("score", "says"),
    [(TRAIN[::-1], "dev.csv is a copy of"), (TRAIN[1:3], "dev.csv holds nothing but rows of")],
)
def test_a_copy_in_any_order_or_in_part_is_refused(tmp_path: Path, score: Any, says: str) -> None:
    assert says in refused(check_own, two(tmp_path, table(*TRAIN), table(*score)))
    check_own(two(tmp_path, table(*TRAIN), table(*score, ("new", "x"))))


def test_a_pair_turned_round_is_no_new_pair(tmp_path: Path) -> None:
    pairs = "a,b,label\n1,2,x\n3,4,y\n"
    found = facts(two(tmp_path, pairs, "a,b,label\n2,1,x\n5,6,y\n", text=("a", "b")))
    assert found["notes"][0].startswith("1 of 2 rows to score on")


# the command line


def study(folder: Path, data: dict[str, Any], **changed: Any) -> str:
    task = {"name": "mine", "data": data, "text": "text", "label": "label", "metric": "f1"}
    raw = {"name": "own", "tasks": [task], "methods": {"bitfit": {"lr": 1e-3}}, "budget": {"steps": 2}, "seeds": 1}
    (folder / "own.yaml").write_text(json.dumps(raw | changed), encoding="utf-8")
    return str(folder / "own.yaml")


def command(*arguments: str) -> int:
    return guarded(lambda: app([*arguments], standalone_mode=False))


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    rows = [(f"review {i}", "good" if i % 3 else "bad") for i in range(150)]
    (tmp_path / "train.csv").write_text(table(*rows), encoding="utf-8")
    (tmp_path / "dev.csv").write_text(table(*rows[:20], *((f"new {i}", "bad") for i in range(20))), encoding="utf-8")
    (tmp_path / "copy.csv").write_text(table(*rows[:20]), encoding="utf-8")
    return tmp_path


def test_plan_says_what_the_data_are(reviews: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = study(reviews, {"train": "train.csv", "validation": "dev.csv"})
    assert command("plan", name) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "2 classes (train + score): bad 50 + 27, good 100 + 13; positive for F1: good" in out
    assert "mine: 20 of 40 rows to score on (50.0%) also stand among the rows to train on" in out
    assert command("plan", name, "--json") == 0
    assert json.loads(capsys.readouterr().out)["tasks"]["mine"]["classes"] == ["bad", "good"]


@pytest.mark.parametrize(
    ("data", "changed", "says"),
    [
        ({"train": "train.csv", "validation": "copy.csv"}, {}, "copy.csv holds nothing but rows of"),
        ({"train": "train.csv", "validation": "dev.csv"}, {"fractions": [0.001]}, "no row"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_plan_refuses_the_data_that_run_refuses(
    reviews: Path, capsys: pytest.CaptureFixture[str], verb: str, data: Any, changed: Any, says: str
) -> None:
    options = [] if verb == "plan" else ["--results", str(reviews / "out")]
    assert command(verb, study(reviews, data, **changed), *options) == EXIT_BAD_INPUT
    assert says in capsys.readouterr().err
    assert not (reviews / "out").exists()


def test_run_and_report_say_what_the_data_are(reviews: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = study(reviews, {"file": "train.csv", "validation": 0.2})
    assert command("run", name, "--debug", "--results", str(reviews / "out")) == 0
    said = "mine: 120 rows to train on, 30 to score on; 2 classes (train + score): bad 40 + 10, good 80 + 20"
    said += "; positive for F1: good"
    assert said in capsys.readouterr().out.splitlines()  # a line of its own, as plan has it
    assert said in (reviews / "out/report/report.md").read_text("utf-8")
    assert json.loads((reviews / "out/plan.json").read_text("utf-8"))["tasks"]["mine"]["positive"] == "good"


def test_a_row_of_a_held_out_split_is_named_by_its_number_in_the_file(tmp_path: Path) -> None:
    found = own(OneFile(str(split_file(tmp_path)), HeldOut(0.2)))
    texts = split_file(tmp_path).read_text("utf-8").splitlines()[1:]
    for split in ("train", "score"):
        for row in (0, len(getattr(found, split)) - 1):
            number = int(row_of(found, split, row).rpartition("row ")[2])
            assert texts[number - 1].startswith(getattr(found, split).texts[0][row])


def split_file(folder: Path) -> Path:
    """A file of fifty different texts."""
    path = folder / "one.csv"
    path.write_text("text,label\n" + "".join(f"text {i} .,{i % 2}\n" for i in range(50)), encoding="utf-8")
    return path
