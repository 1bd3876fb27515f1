"""Input from strangers: nothing that comes with it is run, and each is refused in one message of readable length."""

import json
import os
import pickle
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from finebench.analysis.load.read import load_results
from finebench.analysis.report.write import write_report
from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT, EXIT_FAILED_TRIALS
from finebench.bench.data.arrow_files import MOST_ROWS
from finebench.bench.data.readers import read_file
from finebench.bench.models.hub import resolve_model
from finebench.bench.models.load import load_backbone
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.schema import TRIALS
from finebench.bench.results.verify import verify
from finebench.bench.study.load import load_study
from finebench.bench.study.plan import Plan
from finebench.bench.training.worker.weights import load_delta, read_about
from finebench.bench.util.errors import DataError, InputError, ModelError, StudyError
from tests.bench.stored import fill, make_record, take_stock

MOST_SECONDS = 20.0


class Payload:
    """Leaves a mark where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, (str(self.mark),))


def test_the_payload_would_leave_its_mark(tmp_path: Path) -> None:
    """Otherwise the tests below would show nothing."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "mark")))
    assert (tmp_path / "mark").exists()


# ---- model folders


@pytest.fixture(scope="module")
def embedded() -> Path:
    """A sound model folder to be spoilt."""
    return resolve_model("embedded").folder


def edit_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickled_weights(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"bert.embeddings.word_embeddings.weight": Payload(mark)}, folder / "pytorch_model.bin")


def bare_pickle(folder: Path, mark: Path) -> None:
    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(mark)))


def custom_code(folder: Path, mark: Path) -> None:
    (folder / "evil.py").write_text(f"import os\nos.mkdir({str(mark)!r})\nclass Model: pass\n")
    edit_config(folder, auto_map={"AutoModelForSequenceClassification": "evil.Model", "AutoConfig": "evil.Model"})


def custom_code_within(folder: Path, mark: Path) -> None:
    custom_code(folder, mark)
    edit_config(folder, auto_map=None, text_config={"auto_map": {"AutoModel": "evil.Model"}})


def custom_tokenizer(folder: Path, mark: Path) -> None:
    custom_code(folder, mark)
    edit_config(folder, auto_map=None)
    tokenizer = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Model", "evil.Model"]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))


def write(name: str, text: str) -> Callable[[Path, Path], Any]:
    return lambda folder, mark: (folder / name).write_text(text)


FOLDERS: dict[str, tuple[Callable[[Path, Path], Any], str]] = {
    "a pickle in .bin": (pickled_weights, "cannot be loaded"),
    "a pickle named .safetensors": (bare_pickle, "cannot be loaded"),
    "auto_map": (custom_code, "auto_map"),
    "auto_map within": (custom_code_within, "auto_map"),
    "kernels from the hub": (lambda f, m: edit_config(f, attn_implementation="someone/kernel"), "attn_implementation"),
    "an adapter": (write("adapter_config.json", '{"base_model_name_or_path": "/etc"}'), "holds an adapter"),
    "hidden size 10^8": (lambda f, m: edit_config(f, hidden_size=10**8), "describes a model of about"),
    "hidden size 10^400": (lambda f, m: edit_config(f, hidden_size=10**400), "hidden_size: a number up to"),
    "10^9 layers": (lambda f, m: edit_config(f, num_hidden_layers=10**9), "num_hidden_layers: a number up to"),
    "vocabulary 10^7": (lambda f, m: edit_config(f, vocab_size=10**7), "describes a model of about"),
    "config of 11 MB": (write("config.json", '{"model_type": "bert", "x": "' + "a" * 11_000_000 + '"}'), "more than"),
    "config nested 10^5 deep": (write("config.json", "[" * 100_000), "not valid JSON"),
    "config that is a list": (write("config.json", "[]"), "model_type"),
    "config of half a surrogate": (write("config.json", '{"model_type": "\\ud800"}'), ""),
    "a model type of a path": (lambda f, m: edit_config(f, model_type="../../x"), ""),
    "no numbers": (lambda f, m: edit_config(f, hidden_size="x", num_attention_heads=0), ""),
    "labels as a list": (lambda f, m: edit_config(f, id2label=[1, 2]), ""),
    "tokenizer.json cut": (write("tokenizer.json", '{"version": "1.0", "model": {'), "cannot be loaded"),
    "tokenizer.json of another shape": (write("tokenizer.json", '{"model": {"type": "BPE", "vocab": 3}}'), "cannot"),
    "tokenizer.json nested": (write("tokenizer.json", "[" * 100_000), "cannot be loaded"),
    "a tokenizer class of one's own": (custom_tokenizer, ""),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_hostile_model_folder_runs_nothing(case: str, tmp_path: Path, embedded: Path) -> None:
    folder = Path(shutil.copytree(embedded, tmp_path / "model"))
    spoil, says = FOLDERS[case]
    spoil(folder, tmp_path / "mark")
    begin = time.process_time()
    if says:
        with pytest.raises(ModelError) as caught:
            load_backbone(folder, 2, False)
        assert says in str(caught.value)
        assert len(str(caught.value)) < 2000
    else:  # loaded without what is odd, or refused
        try:
            load_backbone(folder, 2, False)
        except ModelError as error:
            assert len(str(error)) < 2000  # noqa: PT017
    assert not (tmp_path / "mark").exists()
    assert time.process_time() - begin < MOST_SECONDS


@pytest.mark.parametrize(
    "about",
    ["null", "3", "{", "[" * 50_000, '{"method": "full"}',
     '{"method": "full", "version": 1, "hyperparameters": {"x": 1}, "init_seed": 0, "about": {"trial": "{}"}}'],
)  # fmt: skip
def test_a_hostile_delta(about: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"finebench": about})
    with pytest.raises(ModelError):
        load_delta(path, "embedded")
    path.write_bytes(pickle.dumps(Payload(tmp_path / "mark")))
    with pytest.raises(ModelError, match="cannot be read as safetensors"):
        read_about(path)
    assert not (tmp_path / "mark").exists()


# ---- results folders


def spoil_row(**changes: Any) -> Callable[[Path], Any]:
    """A row that a stranger wrote."""

    def spoil(root: Path) -> None:
        row = make_record(1).trial | changes
        pq.write_table(pa.Table.from_pylist([row], schema=TRIALS), root / "trials/x.parquet")

    return spoil


def spoil_time(microseconds: int) -> Callable[[Path], Any]:
    """A time that Python's dates do not reach."""

    def spoil(root: Path) -> None:
        rows = make_record(1).trials
        column = pa.array([microseconds], pa.int64()).cast(TRIALS.field("finished_at").type)
        spoilt = rows.set_column(TRIALS.get_field_index("finished_at"), TRIALS.field("finished_at"), column)
        pq.write_table(spoilt, root / "trials/x.parquet")

    return spoil


def extension_type(root: Path) -> None:
    """The type that pyarrow used to unpickle."""
    mark = root / "mark"
    field = pa.field("trial_id", pa.binary(), metadata={
        b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": pickle.dumps(Payload(mark))
    })  # fmt: skip
    table = make_record(1).trials
    spoilt = table.set_column(0, field, pa.array([b"a"]))
    pq.write_table(spoilt.replace_schema_metadata({b"pandas": pickle.dumps(Payload(mark))}), root / "trials/x.parquet")


RESULTS: dict[str, Callable[[Path], Any]] = {
    "an id that is a path": spoil_row(trial_id="../../escaped"),
    "an absolute id": spoil_row(trial_id="/tmp/escaped"),
    "an id with NUL": spoil_row(trial_id="a\0b"),
    "a task that is a path": spoil_row(task="../../escaped", method="../escaped", study="/escaped"),
    "terminal escapes": spoil_row(task="\x1b]0;owned\x07"),
    "a script": spoil_row(task="<script>alert(1)</script>", model="<img src=x onerror=alert(1)>"),
    "hyperparameters nested 10^5 deep": spoil_row(hyperparameters='{"a":' * 100_000),
    "a number of 10^5 digits": spoil_row(hyperparameters='{"lr": ' + "9" * 100_000 + "}"),
    "a budget that is none": spoil_row(budget='{"steps": "x"}'),
    "an unknown method": spoil_row(method="os.system"),
    "seed 2^63 - 1": spoil_row(seed=2**63 - 1),
    "fraction NaN": spoil_row(fraction=float("nan")),
    "a pickling extension type": extension_type,
    "a pickle": lambda root: (root / "trials/x.parquet").write_bytes(pickle.dumps(Payload(root / "mark"))),
    "a study that is a pickle": lambda root: (root / "study.yaml").write_bytes(pickle.dumps(Payload(root / "mark"))),
    "a study that runs Python": lambda root: (root / "study.yaml").write_text(
        "!!python/object/apply:os.mkdir ['mark']"
    ),
    "a study of 300 kB": lambda root: (root / "study.yaml").write_text("a: " + "x" * 300_000),
    "a time in the year 300000": spoil_time(2**63 - 1),
    "a time before the first one": spoil_time(-(2**62)),
    "a plan of strange cells": lambda root: (root / "plan.json").write_text('{"cells": [{"task": {}}]}'),
    "a plan nested 10^5 deep": lambda root: (root / "plan.json").write_text("[" * 100_000),
    "a driver of another shape": lambda root: (root / "_driver.json").write_text('{"pid": "x", "at": []}'),
    "a device for a file": lambda root: (root / "trials/zero.parquet").symlink_to("/dev/zero"),
    "a folder for a file": lambda root: (root / "trials/dir.parquet").mkdir(),
    "a link to a secret": lambda root: (root / "trials/link.parquet").symlink_to("/etc/passwd"),
    "10,000 empty names": lambda root: [(root / f"evals/{n}.parquet").touch() for n in range(300)],
}


@pytest.mark.parametrize("case", RESULTS)
def test_a_hostile_results_folder(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read, reported on, checked, compacted and taken over: nothing runs, and nothing is written outside it."""
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "deep/r"
    fill(root, range(1))
    RESULTS[case](root)
    begin = time.process_time()
    outside = {path for path in tmp_path.rglob("*") if root not in path.parents}
    folder = ResultsFolder(str(root))
    for call in (
        lambda: list(folder.rows({})),
        lambda: load_results(str(root)).evals,
        lambda: verify(folder).to_json(),
        lambda: take_stock(folder),
    ):
        try:
            call()
        except InputError as error:
            assert 0 < len(str(error)) < 5000  # noqa: PT017
    for name in ("status", "compact", "verify"):
        code = guarded(lambda name=name: app([name, str(root)], standalone_mode=False))
        assert code in (0, 2, 3)
    assert not (root / "mark").exists()
    assert {path for path in tmp_path.rglob("*") if root not in path.parents} == outside
    assert not Path("/tmp/escaped").exists()
    assert time.process_time() - begin < MOST_SECONDS


ROWS: dict[str, dict[str, Any]] = {
    "a budget that is none": {"budget": '{"steps": "x"}'},
    "an unknown method": {"method": "os.system"},
    "a hyperparameter that is none": {"hyperparameters": '{"lr": 0.1, "__class__": "x"}'},
    "a hyperparameter of another kind": {"hyperparameters": '{"lr": [{"a": 1}]}'},
    "no hyperparameters": {"hyperparameters": "{}"},
    "fraction NaN": {"fraction": float("nan")},
    "fraction -1": {"fraction": -1.0},
    "a task that is a path": {"task": "../../x"},
    "seed -1": {"seed": -1},
    "seed 2^63 - 1": {"seed": 2**63 - 1},
}


@pytest.mark.parametrize("case", ROWS)
def test_a_hostile_row_is_not_run_again(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`rerun` refuses it, or says that it came to something else."""
    folder = fill(tmp_path / "r", ())
    record = make_record(1)
    record.trial.update({"method": "full", "task": "mini-cola", "fraction": 0.1, "budget": '{"steps": 1}'} | ROWS[case])
    folder.write(record)
    arguments = ["rerun", folder.root, record.trial["trial_id"]]
    assert guarded(lambda: app(arguments, standalone_mode=False)) in (EXIT_BAD_INPUT, EXIT_FAILED_TRIALS)
    said = capsys.readouterr()
    assert len(said.err) < 2000
    assert "NOT bit-equal" in said.out or said.err.startswith("finebench: ")


@pytest.mark.slow
@pytest.mark.parametrize("case", RESULTS)
def test_a_hostile_results_folder_is_reported_on_and_compared_or_refused(case: str, tmp_path: Path) -> None:
    """What a stranger's folder is opened with first."""
    root = tmp_path / "deep/r"
    fill(root, range(2))
    fill(tmp_path / "sound", range(2))
    RESULTS[case](root)
    for arguments in (["report", str(root)], ["compare", str(tmp_path / "sound"), str(root)]):
        code = guarded(lambda arguments=arguments: app(arguments, standalone_mode=False))
        assert code in (0, EXIT_BAD_INPUT)
    assert not (root / "mark").exists()
    assert {one.name for one in tmp_path.iterdir()} == {"deep", "sound"}
    assert {one.name for one in (tmp_path / "deep").iterdir()} == {"r"}


def test_hostile_names_are_escaped_in_the_report(tmp_path: Path) -> None:
    root = tmp_path / "r"
    names = {"task": "<script>alert(1)</script>", "method": "=cmd|'/c calc'!A1", "model": r"\input{/etc/passwd}"}
    folder = fill(root, ())
    for number in range(2):
        row = make_record(number)
        row.trial.update(names)
        folder.write(row)
    (root / "plan.json").unlink()  # which would say that such trials are no part of the study
    write_report(str(root))
    page = (root / "report/index.html").read_text()
    assert "<script>alert" not in page
    for path in (root / "report/tables").glob("*.csv"):
        assert not any(cell.startswith("=") for line in path.read_text().splitlines() for cell in line.split(","))
    for path in (root / "report/tables").glob("*.tex"):
        assert r"\input" not in path.read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"r"}


# ---- study files

HEAD = "name: x\ntasks: [mini-cola]\nbudget: {steps: 1}\n"
FULL = "methods: {full: {lr: 0.1}}\n"
OWN = "{name: %s, data: {train: a, validation: b}, text: t, label: l, metric: accuracy}"


def flow(values: Iterable[object]) -> str:
    """A YAML list in one line."""
    return f"[{', '.join(map(str, values))}]"


def laughs() -> str:
    """Nine lists of ten references each to the one before."""
    levels = [f"{b}: &{b} {flow([f'*{a}'] * 10)}\n" for a, b in pairwise("abcdefghi")]
    return f"a: &a {flow('x' * 10)}\n" + "".join(levels)


def merges() -> str:
    """The same by merge keys, which a parser expands while it reads."""
    levels = [f"a{n + 1}: &a{n + 1} {{<<: {flow([f'*a{n}'] * 9)}}}\n" for n in range(40)]
    return "a0: &a0 {k: 1}\n" + "".join(levels)


def billion() -> str:
    """A grid of 10^9 trials in a small file."""
    lr, factors = flow(n / 2000 for n in range(1, 1001)), flow(range(1, 10_001))
    return f"{HEAD}seeds: 100\nmethods: {{adapter: {{lr: {lr}, reduction_factor: {factors}}}}}\n"


def cells() -> str:
    """More cells than can be gone through."""
    tasks = flow(OWN % f"t{n}" for n in range(1000))
    budgets = flow(f"{{steps: {n}}}" for n in range(1, 3000))
    return f"name: x\ntasks: {tasks}\nbudget: {budgets}\nfractions: {flow(n / 5000 for n in range(1, 5000))}\n{FULL}"


STUDIES: dict[str, tuple[str, str]] = {
    "billion laughs": (laughs(), "once aliases are expanded"),
    "merge keys": (merges(), "once aliases are expanded"),
    "an alias of itself": ("a: &a [*a]", "an alias stands inside"),
    "nested 10^5 deep": ("[" * 100_000, "nested more than 50 deep"),
    "a file of 1 MB": ("a: " + "x" * 1_000_000, "at most"),
    "a number of 10^5 digits": ("seeds: " + "9" * 100_000, "a number of 100,000 characters"),
    "a hexadecimal number": ("seeds: 0x" + "f" * 100_000, "a number of"),
    "a Python object": ("!!python/object/apply:os.mkdir [mark]", "python/object"),
    "10^9 trials": (billion(), "asks for 1,000,000,000 trials"),
    "10^10 cells": (cells(), "trials; at most"),
    "a name that is a path": (HEAD.replace("name: x", "name: ../x") + FULL, "name: "),
    "a task name that is a path": (f"name: x\nbudget: {{steps: 1}}\ntasks: [{OWN % '../x'}]\n{FULL}", "tasks[0].name"),
    "a value of 200 kB": (HEAD + "methods: {full: {lr: " + "x" * 200_000 + "}}", "methods.full.lr"),
    "a set in a grid": (HEAD + "methods: {full: {lr: !!set {a}}}", "plain values"),
    "a date": ("name: 2020-99-99", "not valid YAML"),
    "bytes that are no text": ("\udcff", "cannot be read"),
}


@pytest.mark.parametrize("case", STUDIES)
def test_a_hostile_study(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text, says = STUDIES[case]
    path = tmp_path / "x.yaml"
    path.write_bytes(text.encode("utf-8", errors="surrogateescape"))
    begin = time.process_time()
    with pytest.raises(StudyError) as caught:
        Plan(load_study(str(path)))
    assert says in str(caught.value)
    assert len(str(caught.value)) < 10_000
    assert time.process_time() - begin < MOST_SECONDS
    assert [one.name for one in tmp_path.iterdir()] == ["x.yaml"]


def test_a_grid_of_a_billion_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(STUDIES["10^9 trials"][0])
    code = (
        "import resource, sys\nresource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
        "from finebench.bench.cli.app import app\nfrom finebench.bench.cli.entry import guarded\n"
        "sys.exit(guarded(lambda: app(sys.argv[1:], standalone_mode=False)))"
    )
    command = [sys.executable, "-c", code, "plan", str(tmp_path / "x.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == EXIT_BAD_INPUT, done.stderr
    assert "asks for 1,000,000,000 trials" in done.stderr


# ---- data files


DATA: dict[str, tuple[str, bytes, str]] = {
    "JSON nested 10^5 deep": ("x.jsonl", b'{"a": ' + b"[" * 100_000, "row 1 (line 1): not valid JSON"),
    "a number of 10^5 digits": ("x.jsonl", b'{"a": ' + b"9" * 100_000 + b"}", "row 1 (line 1): not valid JSON"),
    "a quotation mark never closed": ("x.csv", b"a\n" + b'"' * 99_999, "row 1 (line 2): not valid CSV"),
    "text that is not UTF-8": ("x.csv", b"a\nb\n\xff\n", "UTF-8"),
    "no Parquet": ("x.parquet", b"PAR1" + b"\xff" * 100 + b"PAR1", "not a readable Parquet file"),
    "a pickle": ("x.pkl", b"cos\nmkdir\n", "x.pkl"),
}


@pytest.mark.parametrize("case", DATA)
def test_hostile_data(case: str, tmp_path: Path) -> None:
    name, content, says = DATA[case]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        read_file(path, ["a"])
    assert str(path) in str(caught.value)
    assert says in str(caught.value)
    assert len(str(caught.value)) < 2000


def test_a_small_parquet_file_that_stands_for_a_huge_one(tmp_path: Path) -> None:
    """Repeated values cost a few bytes in the file, and 8 each in memory."""
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": pa.nulls(MOST_ROWS + 1, pa.int8())}), path)
    assert path.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"x\.parquet: 20,000,001 rows; at most 20,000,000 are read"):
        read_file(path, ["a"])


def test_parquet_that_python_cannot_hold(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"a": pa.array([2**62], pa.timestamp("us"))}), path)
    with pytest.raises(DataError, match=r"x\.parquet"):
        read_file(path, ["a"])
    text = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
    pq.write_table(pa.table({"a": text}), path)
    with pytest.raises(DataError, match=r"x\.parquet"):
        read_file(path, ["a"])
