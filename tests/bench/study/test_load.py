"""Study files: what is read, and the one message for everything that can be wrong with one."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finebench.bench.driver.validate import declared
from finebench.bench.study.load import build_study, find_study, load_study, method_resources, spaces
from finebench.bench.study.parts.search import CrossedSeeds
from finebench.bench.study.parts.seeds import CONFIRM_BASE
from finebench.bench.study.schema import Study
from finebench.bench.tasks import Files, HeldOut, Hub, OneFile
from finebench.bench.util.errors import InputError, StudyError
from finebench.bench.util.safe_yaml import parse_yaml

MINIMAL: dict[str, Any] = {
    "name": "x",
    "tasks": ["mini-cola"],
    "methods": {"full": {"lr": 1e-3}},
    "budget": {"steps": 10},
}


def build(**changes: Any) -> Study:
    return build_study(MINIMAL | changes, "x.yaml", Path("."))


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


# Reading


def test_a_study_may_be_four_keys() -> None:
    study = build()
    assert study.model == "embedded"
    assert study.fractions == [1.0]
    assert study.seeds == 5
    assert study.search.grid is not None
    assert study.search.optuna is None
    assert study.trial_timeout == 3600
    assert study.retries == 2


def test_yaml_is_1_2() -> None:
    assert parse_yaml("a: 1e-5\nb: off\nc: 1.0e-5\nd: 0o17\nf: no", "x") == {
        "a": 1e-5,
        "b": "off",
        "c": 1e-5,
        "d": 15,
        "f": "no",
    }


def test_the_designs_own_example_reads(tmp_path: Path) -> None:
    (tmp_path / "a.csv").touch()
    text = """
name: doering-style
model: google-bert/bert-base-uncased
tasks: [mrpc, cola, stsb, {name: mine, data: {train: a.csv, validation: b.csv}, text: t, label: y, metric: accuracy}]
methods:
  full:    {lr: [1e-5, 2e-5, 5e-5]}
  bitfit:  {lr: [1e-4, 5e-4, 1e-3]}
  adapter: {lr: [1e-4, 3e-4, 1e-3], variant: [pfeiffer, houlsby], reduction_factor: 16}
  lora:    {lr: [3e-4, 1e-3], r: [8, 16], resources: {gpu: 0.5}}
fractions: [0.1, 0.3, 0.5, 1.0]
seeds: {init: 3, order: 3, subset: 3}
budget: [{epochs: 3, min_steps: 200}, {steps: 10}, {seconds: 60}, {flops: 1.0e15}]
search: {grid: {confirm_seeds: 5}}
select: {fraction: 0.1, at_least: 50}
training: {batch_size: 16, max_length: 128, warmup: 0.06, weight_decay: 0.01, schedule: linear, precision: auto}
resources: {cpu: 1, gpu: auto, pack: auto}
trial_timeout: 1h
retries: 2
claims:
  - {id: bitfit-matches-full, says: matches, a: bitfit, b: full, fraction: 0.3, margin: 0.01}
  - {id: adapters-vary-more, says: varies_more, a: adapter, b: full}
"""
    file = tmp_path / "d.yaml"
    file.write_text(text, encoding="utf-8")
    study = load_study(str(file))
    assert study.seeds == CrossedSeeds(init=3, order=3, subset=3)
    assert study.task_names == ["mrpc", "cola", "stsb", "mine"]
    assert [budget.fixed for budget in study.budget] == [True, True, False, False]
    own = study.tasks[3]
    assert not isinstance(own, str)
    assert own.data.train == str((tmp_path / "a.csv").resolve())
    assert own.text == ["t"]
    assert method_resources(study, "lora").gpu == 0.5
    assert method_resources(study, "full").gpu == "auto"
    assert "resources" not in spaces(study, "lora")["mrpc"].grids


@pytest.mark.parametrize("search", ["grid", {"grid": {}}, {"optuna": {"trials": 3}}, {"optuna": {"scheduler": "asha"}}])
def test_the_forms_of_search(search: Any) -> None:
    assert (build(search=search).search.optuna is None) == ("optuna" not in search)


def test_a_task_may_have_a_space_of_its_own() -> None:
    methods = {"full": {"lr": [1e-3, 2e-3], "per_task": {"mini-stsb": {"lr": [5e-4]}}}}
    study = build(tasks=["mini-cola", "mini-stsb"], methods=methods)
    found = spaces(study, "full")
    assert found["mini-cola"].grids["lr"] == (1e-3, 2e-3)
    assert found["mini-stsb"].grids["lr"] == (5e-4,)


def test_overrides(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("name: x\ntasks: [mini-cola]\nmethods: {full: {lr: 1e-3}}\nbudget: {steps: 10}\n", encoding="utf-8")
    given_overrides = ["training.batch_size=32", "fractions=[0.3, 1.0]", "methods.full.lr=[1e-4, 1e-3]"]
    study = load_study(str(file), given_overrides, model="some/model")
    assert study.training.batch_size == 32
    assert study.fractions == [0.3, 1.0]
    assert study.methods["full"]["lr"] == [1e-4, 1e-3]
    assert study.model == "some/model"


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("training.batch_size", "write key.path=value"),
        ("=3", "write key.path=value"),
        ("name.x=3", "name is not a mapping"),
        ("name.x.y=3", "name is not a mapping"),
        ("training.batchsize=3", "unknown key 'batchsize'; did you mean 'batch_size'?"),
        ("fractions=[0.3", "not valid YAML"),
    ],
)
def test_bad_overrides(tmp_path: Path, override: str, says: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("name: x\ntasks: [mini-cola]\nmethods: {full: {lr: 1e-3}}\nbudget: {steps: 10}\n", encoding="utf-8")
    assert says in refused(lambda: load_study(str(file), [override]))


# Finding


def test_a_bare_name_is_a_file_of_search_spaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_study("quickstart").name == "quickstart.yaml"


def test_the_users_own_search_spaces_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "search_spaces").mkdir()
    (tmp_path / "search_spaces" / "quickstart.yaml").write_text("name: mine\n", encoding="utf-8")
    assert find_study("quickstart").resolve().parent == tmp_path.resolve() / "search_spaces"


def test_a_name_that_is_not_there() -> None:
    assert "did you mean 'quickstart'?" in refused(lambda: find_study("quikstart"))
    message = refused(lambda: find_study("nowhere/x.yaml"))
    assert "'nowhere/x.yaml' does not exist" in message
    assert "quickstart" in message


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_bytes(b"\xff\xfe\x00name")
    assert "cannot be read" in refused(lambda: load_study(str(file)))


# What is refused: (changes to a good study, what the message says)

CLAIM = {"id": "c", "says": "better", "a": "full", "b": "bitfit"}

BAD: list[tuple[dict[str, Any], list[str]]] = [
    ({"fraction": 0.3}, ["x.yaml: ", "unknown key 'fraction'", "did you mean 'fractions'?"]),
    ({"training": {"max_length": 7}}, ["training.max_length", "greater than or equal to 8"]),
    ({"training": {"batchsize": 3}}, ["training: unknown key 'batchsize'", "did you mean 'batch_size'?"]),
    (
        {"methods": {"bitfitt": {"lr": 1e-3}}},
        ["x.yaml: methods", "unknown method 'bitfitt'", "did you mean 'bitfit'?", "full"],
    ),
    ({"methods": {"full": {"lr": 1e-3, "rank": 8}}}, ["methods.full", "unknown key 'rank'", "lr"]),
    ({"methods": {"full": {"batchsize": 8}}}, ["methods.full", "'batchsize'; did you mean 'batch_size'?", "per_task"]),
    ({"methods": {"peft:LOHA": {"warm_up": 0}}}, ["methods.peft:LOHA", "'warm_up'; did you mean 'warmup'?", "lr,"]),
    ({"methods": {"full": {"LR": 1e-4}}}, ["methods.full: unknown key 'LR'; did you mean 'lr'?"]),
    ({"methods": {"full": {"lr": 1e-4, "R": 4}}}, ["methods.full: unknown key 'R'", "lr,"]),
    ({"methods": {"full": {"lr": 1e-4, "int": 4}}}, ["methods.full: unknown key 'int'", "lr,"]),
    ({"training": {"Batch_size": 3}}, ["training: unknown key 'Batch_size'; did you mean 'batch_size'?"]),
    ({"budget": {"Steps": 10}}, ["budget", "unknown key 'Steps'; did you mean 'steps'?"]),
    ({"search": {"Optuna": {}}}, ["search: unknown key 'Optuna'; did you mean 'optuna'?"]),
    ({"methods": {"full": {"lr": "1e-4"}}}, ["methods.full.lr", "1e-4 without quotation marks"]),
    ({"methods": {"full": {"lr": ["1e-4"]}}}, ["methods.full.lr", "1e-4 without quotation marks"]),
    ({"methods": {"full": {"lr": [1e-4, -1.0]}}}, ["methods.full.lr", "greater than 0", "-1.0"]),
    ({"methods": {"full": {"lr": [1e-4, True]}}}, ["methods.full.lr", "True"]),
    ({"methods": {"full": {"lr": math.nan}}}, ["methods.full.lr"]),
    ({"methods": {"full": {"lr": None}}}, ["methods.full.lr"]),
    ({"methods": {"full": {"lr": []}}}, ["methods.full.lr: the grid is empty"]),
    ({"methods": {"full": None}}, ["methods.full"]),
    ({"methods": {}}, ["methods"]),
    ({"methods": ["full"]}, ["methods"]),
    ({"methods": {1: {"lr": 1e-3}}}, ["methods"]),
    ({"methods": {"peft:": {"lr": 1e-3}}}, ["unknown method 'peft:'", "peft:<TYPE>"]),
    (
        {"methods": {"full": {"lr": {"loguniform": [1e-5, 1e-3]}}}},
        ["methods.full.lr", "a distribution needs search: {optuna"],
    ),
    (
        {"methods": {"full": {"lr": 1e-3, "resources": {"gpus": 1}}}},
        ["methods.full.resources: unknown key 'gpus'", "did you mean 'gpu'?"],
    ),
    (
        {"methods": {"full": {"lr": 1e-3, "resources": {"GPU": 1}}}},
        ["methods.full.resources: unknown key 'GPU'; did you mean 'gpu'?"],
    ),
    (
        {"tasks": [{"name": "t", "data": {"File": "x"}, "text": "t", "label": "l", "metric": "mcc"}]},
        ["tasks[0].data: unknown key 'File'"],
    ),
    (
        {
            "tasks": [
                {
                    "name": "t",
                    "data": {"file": "x.csv", "validation": 0.2},
                    "text": "t",
                    "label": "l",
                    "metric": "acuracy",
                }
            ]
        },
        ["tasks[0].metric: unknown metric 'acuracy'", "did you mean 'accuracy'?"],
    ),
    ({"claims": [CLAIM | {"tasks": []}]}, ["claims[0].tasks", "at least one entry"]),
    (
        {"claims": [CLAIM | {"tasks": ["mini-cola", "mini-cola"]}]},
        ["claims[0].tasks", "'mini-cola' stands there twice"],
    ),
    ({"methods": {"full": {"lr": 1e-3, "resources": 1}}}, ["methods.full.resources", "a mapping is needed"]),
    ({"methods": {"full": {"lr": 1e-3, "per_task": {"cola": {}}}}}, ["methods.full.per_task", "unknown task 'cola'"]),
    ({"methods": {"full": {"lr": 1e-3, "per_task": {"mini-cola": {"lr": "x"}}}}}, ["methods.full.lr"]),
    ({"tasks": ["colla"]}, ["tasks[0]", "unknown task 'colla'", "did you mean 'cola'?"]),
    ({"tasks": []}, ["tasks"]),
    ({"tasks": "mini-cola"}, ["tasks"]),
    ({"tasks": ["mini-cola", "mini-cola"]}, ["tasks", "'mini-cola' stands twice"]),
    ({"tasks": [3]}, ["tasks[0]"]),
    ({"tasks": [{"name": "t"}]}, ["tasks[0].data: this key is missing", "tasks[0].label: this key is missing"]),
    ({"budget": {"step": 10}}, ["budget", "unknown key 'step'", "did you mean 'steps'?"]),
    ({"budget": {"steps": 10, "epochs": 1}}, ["budget", "exactly one of"]),
    ({"budget": {"steps": "10"}}, ["budget", "steps"]),
    ({"budget": []}, ["budget"]),
    ({"budget": [{"steps": 10}, {"steps": 10}]}, ["budget", "stands twice"]),
    ({"budget": 10}, ["budget"]),
    ({"fractions": [0]}, ["fractions[0]", "greater than 0", "0"]),
    ({"fractions": [1.5]}, ["fractions[0]", "less than or equal to 1", "1.5"]),
    ({"fractions": []}, ["fractions"]),
    ({"fractions": [0.3, 0.3]}, ["fractions", "0.3 stands twice"]),
    ({"fractions": [math.nan]}, ["fractions[0]"]),
    ({"seeds": 0}, ["seeds", "0"]),
    ({"seeds": -1}, ["seeds"]),
    ({"seeds": True}, ["seeds"]),
    ({"seeds": "5"}, ["seeds"]),
    ({"seeds": CONFIRM_BASE}, ["seeds", str(CONFIRM_BASE - 1)]),
    ({"seeds": {"init": 3, "oder": 3}}, ["seeds", "unknown key 'oder'", "did you mean 'order'?"]),
    ({"seeds": {"init": 0}}, ["seeds", "init"]),
    ({"search": "gird"}, ["search", "unknown key 'gird'", "did you mean 'grid'?"]),
    ({"search": {"grid": {}, "optuna": {}}}, ["search", "exactly one of grid and optuna"]),
    ({"search": {"optuna": {"sampler": "bayes"}}}, ["search.optuna.sampler", "tpe"]),
    ({"search": {"optuna": {"trial": 3}}}, ["search.optuna", "unknown key 'trial'", "did you mean 'trials'?"]),
    ({"search": None}, ["search"]),
    ({"trial_timeout": "1w"}, ["trial_timeout", "a duration is", "1w"]),
    ({"retries": -1}, ["retries"]),
    ({"resources": {"gpu": 1.5}}, ["resources.gpu", "a share between 0 and 1"]),
    ({"resources": {"pack": 0}}, ["resources.pack", "how many trials are trained together, from 1 to 64", "given: 0"]),
    ({"methods": {"full": {"lr": 1e-3, "resources": {"pack": 65}}}}, ["methods.full.resources.pack", "from 1 to 64"]),
    ({"resources": {"pack": "all"}}, ["resources.pack", "auto"]),
    ({"resources": {"gpu": "all"}}, ["resources.gpu"]),
    ({"resources": {"cpu": 0}}, ["resources.cpu"]),
    ({"select": {"fraction": 1}}, ["select.fraction", "less than 1"]),
    ({"name": "a/b"}, ["name"]),
    ({"name": "../x"}, ["name"]),
    ({"name": ""}, ["name"]),
    ({"name": 3}, ["name"]),
    ({"model": ""}, ["model"]),
    (
        {"claims": [{"id": "c", "says": "matches", "a": "full", "b": "bitfit", "margin": 0.1}]},
        ["claims[0]", "'bitfit'"],
    ),
    ({"claims": [{"id": "c", "says": "matches", "a": "full", "b": "full"}]}, ["claims[0]", "margin"]),
    ({"claims": [{"id": "c", "says": "equals", "a": "full"}]}, ["claims[0].says", "matches"]),
    (
        {"claims": [{"id": "c", "says": "saturates_by", "a": "full", "fraction": 0.3, "tasks": ["colla"]}]},
        ["claims[0]", "'colla'"],
    ),
    (
        {"methods": {"lora": {"lr": 1e-3, "r": {"uniform": [4, 16]}}}, "search": {"optuna": {}}},
        ["methods.lora.r", "whole number"],
    ),
    ({"claims": [{"id": "c", "says": "better", "a": "full", "b": "full"}]}, ["claims[0]", "itself"]),
]


@pytest.mark.parametrize(("changes", "says"), BAD, ids=[str(changes)[:60] for changes, _ in BAD])
def test_what_is_wrong_is_named(changes: dict[str, Any], says: list[str]) -> None:
    message = refused(lambda: build(**changes))
    assert message.startswith("x.yaml")
    assert [part for part in says if part not in message] == []
    assert "pydantic" not in message.lower()
    assert "https://" not in message


def test_a_claim_may_leave_its_cost_to_the_default() -> None:
    claim = {"id": "c", "says": "cheaper", "a": "full", "b": "bitfit", "factor": 2}
    study = build(methods={"full": {"lr": 1e-3}, "bitfit": {"lr": 1e-3}}, claims=[claim])
    assert study.claims[0].cost is None  # the report takes seconds of training: tests/analysis/claims/test_claims.py


@pytest.mark.parametrize("key", sorted(MINIMAL))
def test_a_missing_key_is_named(key: str) -> None:
    raw = {k: v for k, v in MINIMAL.items() if k != key}
    assert f"{key}: this key is missing" in refused(lambda: build_study(raw, "x.yaml", Path(".")))


def test_all_that_is_wrong_is_said_at_once() -> None:
    message = refused(lambda: build(fractions=[0, 0.5, 1.5], seed=3, retries=-1))
    assert [
        line for line in ("fractions[0]", "fractions[2]", "unknown key 'seed'", "retries") if line not in message
    ] == []


@pytest.mark.parametrize("raw", [None, [], "x", 3])
def test_a_study_is_a_mapping(raw: Any) -> None:
    assert "a study is a mapping" in refused(lambda: build_study(raw, "x.yaml", Path(".")))


def test_duplicate_keys_are_an_error_with_a_line() -> None:
    message = refused(lambda: parse_yaml("a: 1\nb: 2\na: 3\n", "x.yaml"))
    assert "x.yaml, line 3" in message
    assert '"a"' in message


def test_a_method_twice_is_an_error() -> None:
    assert "full" in refused(lambda: parse_yaml("methods:\n  full: {lr: 1}\n  full: {lr: 2}\n", "x.yaml"))


@pytest.mark.parametrize(
    "text", ["a: [1", "a: 'x", "\t- a", "a: b: c", "%YAML 9.9\n---\na", "!!python/object:os.system x", "--- a\n--- b"]
)
def test_broken_yaml_is_one_message(text: str) -> None:
    assert refused(lambda: parse_yaml(text, "x.yaml")).startswith("x.yaml")


def test_a_small_file_cannot_stand_for_a_huge_one() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "aliases" in refused(lambda: parse_yaml("\n".join(lines), "x.yaml"))
    assert "characters" in refused(lambda: parse_yaml("a" * 2_000_000, "x.yaml"))
    assert "x.yaml" in refused(lambda: parse_yaml("[" * 100_000, "x.yaml"))
    assert "x.yaml" in refused(lambda: parse_yaml("a: &a [*a]", "x.yaml"))


# Whatever is typed, the answer is a study or one message


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@#,? \n\t019.e+~=", max_size=40))
def test_no_text_gets_past_the_reader(text: str) -> None:
    try:
        parse_yaml(text, "x.yaml")
    except StudyError as error:
        assert str(error).startswith("x.yaml")  # noqa: PT017 — either outcome is right, a third one is not


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 2000)
    | st.floats()
    | st.sampled_from(["", "full", "1e-4", "auto", "mini-cola"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["lr", "steps", "full", "name", "a"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(Study.model_fields)), VALUES)
def test_no_value_of_any_key_escapes_as_another_error(key: str, value: Any) -> None:
    try:
        build(**{key: value})
    except InputError as error:
        assert str(error).startswith("x.yaml")  # noqa: PT017


def test_a_model_s_folder_is_relative_to_the_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As data are; a model of the command line is relative to where it is typed."""
    (tmp_path / "studies/bert").mkdir(parents=True)
    (tmp_path / "studies/a.yaml").write_text(
        "name: a\nmodel: ./bert\ntasks: [mini-cola]\nmethods: {full: {}}\nbudget: {steps: 1}\n", encoding="utf-8"
    )
    monkeypatch.chdir(tmp_path)
    assert load_study("studies/a.yaml").model == "./studies/bert"
    assert load_study("studies/a.yaml", model="./bert").model == "./bert"
    assert load_study("studies/a.yaml", ["model=./bert"]).model == "./bert"
    monkeypatch.chdir(tmp_path / "studies")
    assert load_study("a.yaml").model == "./bert"
    monkeypatch.chdir(tmp_path / "studies/bert")
    assert load_study("../a.yaml").model == "./."


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"file": "a.csv"}, r"tasks\[0\]\.data\.validation: this key is missing"),
        ({"file": "a.csv", "validation": 1.5}, r"tasks\[0\]\.data\.validation: a number less than 1 is needed"),
        (
            {"file": "a.csv", "validation": 0.2, "grup": "g"},
            r"tasks\[0\]\.data: unknown key 'grup'; did.* 'group'",
        ),
        ({"hub": "a/b/c"}, r"tasks\[0\]\.data\.hub: "),
        ({"hub": "a/b", "validation": 1.5}, r"tasks\[0\]\.data: validation is the name of a split, or a share"),
        ({"hub": "a/b", "validation": "test", "group": "author"}, r"group is for a share that is held out"),
        (
            {"hub": "a/b", "split": "x"},
            r"unknown key 'split'.*choices: config, group, hub, revision, seed, train, validation",
        ),
        ({"train": "a.csv"}, r"tasks\[0\]\.data\.validation: this key is missing"),
    ],
)
def test_ways_of_giving_data_that_are_wrong(data: dict[str, Any], says: str) -> None:
    own = {"name": "mine", "data": data, "text": "t", "label": "l", "metric": "f1"}
    raw = {"name": "a", "tasks": [own], "methods": {"full": {}}, "budget": {"steps": 1}}
    with pytest.raises(StudyError, match=says):
        build_study(raw, "a.yaml", Path("."))


@pytest.mark.parametrize(
    ("data", "source"),
    [
        ({"hub": "a/b", "validation": 0.2, "seed": 3, "group": "g"},
         Hub("a/b", None, None, {"train": "train"}, HeldOut(0.2, 3, "g"))),
        ({"hub": "a/b", "train": "all", "validation": 0.5}, Hub("a/b", None, None, {"train": "all"}, HeldOut(0.5))),
        ({"hub": "a/b", "config": "c", "revision": "r", "validation": "dev"},
         Hub("a/b", "c", "r", {"train": "train", "validation": "dev"})),
        ({"file": "/a.csv", "validation": 0.2, "seed": 3}, OneFile("/a.csv", HeldOut(0.2, 3))),
        ({"train": "/a.csv", "validation": "/b.csv"}, Files("/a.csv", "/b.csv")),
    ],
)  # fmt: skip
def test_where_a_task_s_rows_are(data: dict[str, Any], source: Any) -> None:
    own = {"name": "mine", "data": data, "text": "t", "label": "l", "metric": "f1"}
    raw = {"name": "a", "tasks": [own], "methods": {"full": {}}, "budget": {"steps": 1}}
    study = build_study(raw, "a.yaml", Path("."))
    assert declared(study.tasks[0]).source == source
    assert build_study(study.model_dump(exclude_none=True), "a.yaml", Path(".")).tasks == study.tasks
