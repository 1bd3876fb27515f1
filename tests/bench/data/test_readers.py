"""A user's own files are read right, or refused with one message that names the file, the row and the column."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from finebench.bench.data.readers import read_file
from finebench.bench.data.task_data import TaskData, load_task, user_task
from finebench.bench.tasks import Files
from finebench.bench.util.errors import DataError, StudyError

GOOD = "text,label\nfine,yes\npoor,no\n"


def load(
    folder: Path,
    train: str | bytes = GOOD,
    validation: str | bytes = GOOD,
    *,
    kind: str = "csv",
    text: tuple[str, ...] = ("text",),
    label: str = "label",
    metrics: tuple[str, ...] = ("accuracy",),
) -> TaskData:
    paths = [folder / f"{name}.{kind}" for name in ("train", "dev")]
    for path, content in zip(paths, (train, validation), strict=True):
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_task(user_task("mine", Files(*map(str, paths)), text, label, metrics), None)


def refused(folder: Path, **given_: Any) -> str:
    with pytest.raises(DataError) as caught:
        load(folder, **given_)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


def rows(*lines: dict[str, Any]) -> str:
    return "\n".join(json.dumps(line) for line in lines)


# CSV


def test_a_plain_file(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert found.train.texts == (["fine", "poor"],)
    assert found.label_names == ("no", "yes")
    assert found.train.labels.tolist() == [1, 0]
    assert found.train.labels.dtype == np.int64
    assert found.num_labels == 2


def test_quotation_marks_commas_and_newlines_within_fields(tmp_path: Path) -> None:
    hard = 'text,label\r\n"a, ""b""\r\nc",yes\r\n"5"" pipe",no\r\nodd " mark,no\r\n'
    found = load(tmp_path, hard)
    assert found.train.texts[0] == ['a, "b"\r\nc', '5" pipe', 'odd " mark']


def test_a_byte_order_mark_blank_lines_and_no_last_newline(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufefftext,label\n\nfine,yes\n\npoor,no").train.texts[0] == ["fine", "poor"]


def test_very_long_fields(tmp_path: Path) -> None:
    import csv

    before = csv.field_size_limit()
    long = "word " * 100_000
    assert load(tmp_path, f"text,label\n{long},yes\npoor,no\n").train.texts[0][0] == long
    assert csv.field_size_limit() == before


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=20).filter(str.strip)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=8))
def test_whatever_a_csv_writer_writes_is_read_back(tmp_path_factory: Any, table: list[tuple[str, str]]) -> None:
    import csv

    path = tmp_path_factory.mktemp("round") / "t.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("a", "b"), *table])
    found = read_file(path, ("a", "b"))
    assert list(zip(found.columns["a"], found.columns["b"], strict=True)) == table


def test_row_and_line_differ_once_a_field_holds_a_newline(tmp_path: Path) -> None:
    message = refused(tmp_path, train='text,label\n"one\ntwo",yes\nthree,\n')
    assert message == f"{tmp_path}/train.csv, row 2 (line 4), column 'label': the label is missing"


def test_a_missing_label_of_white_space(tmp_path: Path) -> None:
    assert "dev.csv, row 1 (line 2), column 'label': the label is missing" in refused(
        tmp_path, validation="text,label\nfine,  \n"
    )


@pytest.mark.parametrize("word", ["nan", "NaN"])
def test_a_written_out_nan_is_a_missing_label(tmp_path: Path, word: str) -> None:
    assert "the label is missing" in refused(tmp_path, train=GOOD + f"x,{word}\n")


def test_an_empty_text(tmp_path: Path) -> None:
    message = refused(tmp_path, train=GOOD + ' "",yes\n'.lstrip())
    assert "train.csv, row 3 (line 4), column 'text': the text is empty" in message


def test_a_missing_column_is_guessed(tmp_path: Path) -> None:
    message = refused(tmp_path, label="labl")
    assert "train.csv: unknown column 'labl'; did you mean 'label'? choices: label, text" in message


def test_another_separator_is_noticed(tmp_path: Path) -> None:
    assert "separated by ';'" in refused(tmp_path, train="text;label\nfine;yes\n")


@pytest.mark.parametrize(("row", "n"), [("a,b,c", 3), ("a", 1)])
def test_a_ragged_row(tmp_path: Path, row: str, n: int) -> None:
    assert f"train.csv, row 3 (line 4): {n} fields where the header has 2" in refused(tmp_path, train=GOOD + row + "\n")


def test_a_quotation_mark_that_is_never_closed(tmp_path: Path) -> None:
    message = refused(tmp_path, train=GOOD + '"open,yes\nx,no\n')
    assert "train.csv, row 3 (line 4): not valid CSV" in message
    assert "never closed" in message


def test_text_after_a_closing_quotation_mark(tmp_path: Path) -> None:
    assert "row 3 (line 4): not valid CSV" in refused(tmp_path, train=GOOD + '"a" b,yes\n')


def test_duplicate_header_names(tmp_path: Path) -> None:
    message = refused(tmp_path, train="text,label,text\na,yes,b\n")
    assert "column 'text' stands more than once" in message


def test_bytes_that_are_not_utf_8(tmp_path: Path) -> None:
    assert "train.csv, line 2: byte 0xe9 at offset 14 is not UTF-8" in refused(
        tmp_path, train=b"text,label\ncaf\xe9,yes\n"
    )
    assert "begins like UTF-16" in refused(tmp_path, train=GOOD.encode("utf-16"))


@pytest.mark.parametrize(
    ("content", "says"), [("", "the file is empty"), (" \n\n", "empty"), ("text,label\n", "no rows")]
)
def test_a_file_without_rows(tmp_path: Path, content: str, says: str) -> None:
    assert says in refused(tmp_path, train=content)


def test_a_missing_file_and_an_unknown_type(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file"):
        read_file(tmp_path / "no.csv", ("a",))
    with pytest.raises(
        DataError, match=r"unknown file type '\.xlsx'.*choices: \.csv, \.json, \.jsonl, \.parquet, \.tsv"
    ):
        read_file(tmp_path / "no.xlsx", ("a",))
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(DataError, match=r"one split that save_to_disk wrote \(with a state.json\); it holds no files"):
        read_file(tmp_path / "folder.csv", ("a",))


# classes


def test_a_class_that_only_validation_has(tmp_path: Path) -> None:
    message = refused(tmp_path, validation="text,label\nfine,yes\npoor,maybe\n")
    assert "dev.csv, row 2 (line 3), column 'label': no row of train has this label" in message
    assert "unknown class 'maybe'" in message
    assert "choices: no, yes" in message


def test_numbers_are_ordered_by_value_and_kept_as_written(tmp_path: Path) -> None:
    table = "text,label\na,10\nb,9\nc,-1\n"
    found = load(tmp_path, table, table)
    assert found.label_names == ("-1", "9", "10")
    assert found.train.labels.tolist() == [2, 1, 0]


def test_two_spellings_of_one_number(tmp_path: Path) -> None:
    message = refused(tmp_path, train="text,label\na,1\nb,0\nc,1.0\n")
    assert "row 3 (line 4), column 'label': labels '1' and '1.0' are the same number" in message


def test_only_one_class(tmp_path: Path) -> None:
    message = refused(tmp_path, train="text,label\na,yes\nb,yes\n", validation="text,label\na,yes\n")
    assert "train.csv, column 'label': all 2 labels are equal" in message


def test_f1_of_three_classes_suggests_macro_f1(tmp_path: Path) -> None:
    table = "text,label\na,x\nb,y\nc,z\n"
    message = refused(tmp_path, train=table, validation=table, metrics=("f1", "accuracy"))
    assert "metric 'f1' is for two classes" in message
    assert "has 3 (x, y, z); metrics for more: macro_f1" in message


@pytest.mark.parametrize("values", [(1, 0), (1.0, 0.0), (True, False)])
@pytest.mark.parametrize("csv_first", [True, False])
def test_a_csv_beside_a_file_that_has_types(tmp_path: Path, values: tuple[Any, Any], csv_first: bool) -> None:
    """A CSV file holds no types: its 1 is the other file's 1."""
    spelt = [str(value if isinstance(value, bool) else int(value)) for value in values]
    plain, typed = tmp_path / "plain.csv", tmp_path / "typed.jsonl"
    plain.write_text(f"text,label\na,{spelt[0]}\nb,{spelt[1]}\n", encoding="utf-8")
    typed.write_text(rows({"text": "c", "label": values[0]}, {"text": "d", "label": values[1]}), encoding="utf-8")
    files = (plain, typed) if csv_first else (typed, plain)
    found = load_task(user_task("mine", Files(*map(str, files)), ("text",), "label", ("accuracy",)), None)
    assert found.label_names == tuple(sorted(spelt))
    assert found.train.labels.tolist() == found.score.labels.tolist() == [1, 0]


def test_types_do_not_mix_within_validation(tmp_path: Path) -> None:
    train = rows({"text": "a", "label": 1}, {"text": "b", "label": 0})
    mixed = rows({"text": "c", "label": 1}, {"text": "d", "label": "0"})
    assert "row 2 (line 2), column 'label'" in refused(tmp_path, train=train, validation=mixed, kind="jsonl")


# JSONL


def test_jsonl_with_booleans_integers_and_strings(tmp_path: Path) -> None:
    for values, names in (
        ((True, False), ("False", "True")),
        ((10, 9), ("9", "10")),
        (("b", "a"), ("a", "b")),
        ((1.0, 0.0), ("0", "1")),
    ):
        table = rows(*({"text": "t", "label": value} for value in values))
        found = load(tmp_path, table, table, kind="jsonl")
        assert found.label_names == names
        assert found.train.labels.tolist() == [1, 0]


def test_jsonl_lines_end_at_newlines_only(tmp_path: Path) -> None:
    table = '{"text": "a\u2028b", "label": 1}\r\n\n{"text": "c", "label": 0}'
    assert load(tmp_path, table, table, kind="jsonl").train.texts[0] == ["a\u2028b", "c"]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"text": "a"', "row 2 (line 3): not valid JSON"),
        ("[1]", "row 2 (line 3): a row is a JSON object"),
        ('{"text": "a", "text": "b", "label": 1}', "key 'text' stands twice"),
        ('{"txt": "a", "label": 1}', "row 2 (line 3): unknown column 'text'; did you mean 'txt'?"),
        ('{"text": 5, "label": 1}', "row 2 (line 3), column 'text': 5 is not a text but of type int"),
        ('{"text": null, "label": 1}', "column 'text': the text is missing"),
        ('{"text": "\\ud800", "label": 1}', "not valid Unicode"),
        ('{"text": "a", "label": null}', "row 2 (line 3), column 'label': the label is missing"),
        ('{"text": "a", "label": NaN}', "the label is missing"),
        ('{"text": "a", "label": 0.5}', "label 0.5 is not a class; for scores use a metric of regression"),
        ('{"text": "a", "label": "1"}', "label '1' is of type str, where row 1 has 0 of type int"),
        ('{"text": "a", "label": true}', "label True is of type bool, where row 1 has 0 of type int"),
        ('{"text": "a", "label": [1]}', "label [1] is a list: multi-label tasks are not supported"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_jsonl_that_is_refused(tmp_path: Path, line: str, says: str) -> None:
    train = '{"text": "x", "label": 0}\n\n' + line + '\n{"text": "y", "label": 1}\n'
    assert says in refused(tmp_path, train=train, validation=rows({"text": "t", "label": 0}), kind="jsonl")


# Parquet


def table_file(path: Path, **columns: Any) -> bytes:
    parquet.write_table(pa.table(columns), path)
    return path.read_bytes()


def test_parquet_reads_as_csv_does(tmp_path: Path) -> None:
    label = pa.array(["yes", "no"]).dictionary_encode()
    content = table_file(tmp_path / "t", text=["fine", "poor"], label=label, more=[1, 2])
    found = load(tmp_path, content, content, kind="parquet")
    assert found.fingerprint == load(tmp_path).fingerprint
    assert found.label_names == ("no", "yes")


def test_parquet_that_is_refused(tmp_path: Path) -> None:
    assert "not a readable Parquet file" in refused(tmp_path, train=b"PAR1 no", kind="parquet")
    null = table_file(tmp_path / "t", text=["a", "b"], label=[1, None])
    message = refused(tmp_path, train=null, validation=null, kind="parquet")
    assert "train.parquet, row 2, column 'label': the label is missing" in message
    other = table_file(tmp_path / "t", text=["a"], lable=[1])
    assert "unknown column 'label'; did you mean 'lable'" in refused(tmp_path, train=other, kind="parquet")


# regression and pairs


def test_a_pair_with_scores(tmp_path: Path) -> None:
    table = "a,b,score\nx,y,1.5\nz,w,2\n"
    found = load(tmp_path, table, table, text=("a", "b"), label="score", metrics=("spearman", "rmse"))
    assert (found.task.kind, found.num_labels, found.label_names) == ("regression", 1, ())
    assert found.train.texts == (["x", "z"], ["y", "w"])
    assert found.train.labels.dtype == np.float64
    assert found.train.labels.tolist() == [1.5, 2]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ("good", "label 'good' is not a number"),
        ("nan", "label 'nan' is not finite"),
        ("inf", "label 'inf' is not finite"),
        ("1e999", "is not finite"),
        ("1_000", "label '1_000' is not a number"),
        ("", "the label is missing"),
    ],
)
def test_a_target_that_is_not_a_number(tmp_path: Path, value: str, says: str) -> None:
    message = refused(tmp_path, train=f"text,label\na,1\nb,{value}\n", metrics=("pearson",))
    assert "train.csv, row 2 (line 3), column 'label': " in message
    assert says in message


def test_a_truth_value_is_no_score(tmp_path: Path) -> None:
    table = rows({"text": "a", "label": 1}, {"text": "b", "label": True})
    assert "label True is not a number" in refused(
        tmp_path, train=table, validation=table, kind="jsonl", metrics=("pearson",)
    )


def test_equal_targets_cannot_be_learnt(tmp_path: Path) -> None:
    flat = "text,label\na,1\nb,1\n"
    assert "all 2 labels are equal" in refused(tmp_path, train=flat, validation=flat, metrics=("pearson",))


# the declaration


def declare(**changed: Any) -> Any:
    given_ = {"name": "mine", "text": ["text"], "label": "label", "metrics": ["accuracy"]} | changed
    files = Files("a.csv", "b.csv")
    return user_task(given_["name"], files, given_["text"], given_["label"], given_["metrics"])


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"metrics": ["acuracy"]}, "task 'mine': unknown metric 'acuracy'; did you mean 'accuracy'"),
        ({"metrics": ["accuracy", "pearson"]}, "do not mix: accuracy (classification), pearson (regression)"),
        (
            {"metrics": ["ece", "mcc"]},
            "a constant predictor gets the best ece there is, so it cannot be the main metric",
        ),
        ({"metrics": []}, "metric is a name or a list"),
        ({"metrics": ["mcc", "mcc"]}, "list of different names"),
        ({"metrics": ["log_loss", "neg_log_loss"]}, "log_loss, neg_log_loss are one metric twice"),
        ({"name": "mrpc"}, "a built-in task has this name"),
        ({"text": ["a", "a"]}, "text is one or two columns, none twice and none the label"),
        ({"text": ["label"]}, "none the label"),
        ({"text": ["a", "b", "c"]}, "text is one or two columns"),
    ],
)
def test_a_bad_declaration(changed: dict[str, Any], says: str) -> None:
    with pytest.raises(StudyError) as caught:
        declare(**changed)
    assert says in str(caught.value)


def test_a_good_declaration_reads_no_file() -> None:
    found = declare(metrics=["pearson", "mse"])
    assert (found.kind, found.metric, found.text) == ("regression", "pearson", ("text",))


def test_one_file_for_both_splits_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(GOOD)
    (tmp_path / "link.csv").symlink_to(tmp_path / "a.csv")
    with pytest.raises(DataError, match="nothing would be held out"):
        load_task(user_task("mine", Files(*map(str, tmp_path.glob("*.csv"))), ["text"], "label", ["mcc"]), None)
