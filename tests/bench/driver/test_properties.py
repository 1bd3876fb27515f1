"""Properties, for whatever hypothesis thinks of: studies are read or refused, plans count what they expand to, and a
results folder reads as a dictionary would, however often it is merged and written over."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from finebench.bench.driver.run import dump_study
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import compact
from finebench.bench.results.parquet_tables import decode, encode
from finebench.bench.results.schema import TABLES
from finebench.bench.study.load import build_study
from finebench.bench.study.plan import Identities, Plan
from finebench.bench.study.trial_id import Identity
from finebench.bench.util.errors import ResultsError, StudyError
from finebench.bench.util.safe_yaml import parse_yaml
from tests.bench.stored import make_record, seen, trial_id

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner), max_leaves=8
)
PLACES = ["name", "model", "tasks", "methods", "fractions", "seeds", "budget", "search", "select", "training", "claims"]
PLACES += ["resources", "trial_timeout", "retries"]


@given(st.text())
@settings(max_examples=60, deadline=None)
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        build_study(parse_yaml(text, "x.yaml"), "x.yaml", Path("."))
    except StudyError as error:
        assert str(error).startswith("x.yaml")  # noqa: PT017


@given(st.sampled_from(PLACES), JUNK)
@settings(max_examples=200, deadline=None)
def test_any_value_in_any_place_is_taken_or_refused(place: str, value: Any) -> None:
    raw = {"name": "x", "tasks": ["mini-cola"], "methods": {"full": {"lr": 1e-3}}, "budget": {"steps": 5}}
    try:
        Plan(build_study(raw | {place: value}, "x.yaml", Path("."))).to_json()
    except StudyError as error:
        assert 0 < len(str(error)) < 20_000  # noqa: PT017


def values(low: float, high: float, most: int) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(low, high), min_size=1, max_size=most, unique=True)


STUDIES = st.fixed_dictionaries(
    {
        "name": st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True),
        "tasks": st.lists(st.sampled_from(["mini-cola", "mini-mrpc", "mini-stsb"]), min_size=1, unique=True),
        "methods": st.fixed_dictionaries(
            {"full": st.fixed_dictionaries({"lr": values(1e-6, 1, 3)})},
            optional={"lora": st.fixed_dictionaries({"lr": values(1e-6, 1, 2), "r": st.just([4, 8])})},
        ),
        "fractions": values(0.01, 1, 3),
        "seeds": st.integers(1, 4)
        | st.fixed_dictionaries({key: st.integers(1, 3) for key in ("init", "order", "subset")}),
        "budget": st.lists(st.integers(1, 9).map(lambda n: {"steps": n}), min_size=1, max_size=2, unique_by=str),
    }
)


@given(STUDIES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_plan_counts_what_it_expands_to_and_a_study_survives_being_written(raw: dict[str, Any]) -> None:
    study = build_study(raw, "x.yaml", Path("."))
    assert build_study(parse_yaml(dump_study(study), "y.yaml"), "y.yaml", Path(".")) == study
    plan = Plan(study)
    known = Identities(Identity("m", "1"), {name: Identity(name, "1") for name in study.task_names})
    trials = list(plan.grid(known))
    assert plan.count() == len(trials) == len({trial.id for trial in trials}) == sum(c.planned for c in plan.counts())
    assert {trial.cell for trial in trials} == {cell.key for cell in plan.cells()}


ACTIONS = st.lists(
    st.tuples(st.sampled_from(["ok", "oom", "pruned"]), st.integers(0, 5)) | st.just(("compact", 0)), max_size=14
)


@given(ACTIONS)
@settings(max_examples=15, deadline=None)
def test_a_folder_reads_as_a_dictionary_would(actions: list[tuple[str, int]]) -> None:
    model: dict[str, tuple[str, float | None]] = {}
    with tempfile.TemporaryDirectory() as path:
        folder = ResultsFolder(path)
        folder.create()
        for hour, (what, number) in enumerate([*actions, ("ok", 9)]):
            if what == "compact":
                compact(folder)
                continue
            name = trial_id(number) + (".pruned" if what == "pruned" else "")
            if model.get(name, ("",))[0] != "ok":  # a result is never run again
                folder.write(make_record(number, what, hours=hour))
                model[name] = (what, None if what == "oom" else number / 1000)
        found = seen(path)
        assert found["rows"] == model
        best = {name.removesuffix(".pruned"): model[name] for name in sorted(model, key=_rank(model))}
        assert {one: (row["status"], row["score"]) for one, row in found["report"].items()} == best
        assert set(found["predictions"]) >= {name for name, row in model.items() if row[0] == "ok"}


def _rank(model: dict[str, tuple[str, float | None]]) -> Any:
    return lambda name: -["ok", "oom", "pruned"].index(model[name][0])  # the last one of a trial counts


@given(st.sampled_from(list(TABLES)), st.data())
@settings(max_examples=80, deadline=None)
def test_a_changed_byte_is_noticed_or_changes_nothing(table: str, data: st.DataObject) -> None:
    """In the pages, which have checksums; a file's footer has none, so that there only a crash is ruled out."""
    record = make_record(3)
    sound = {"trials": record.trials, "evals": record.evals, "predictions": record.predictions}[table]
    raw = bytearray(encode(sound))
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= 1 << data.draw(st.integers(0, 7))
    footer = len(raw) - 8 - int.from_bytes(raw[-8:-4], "little")
    try:
        rows = decode(bytes(raw), table, "x.parquet", "x.parquet").rows
    except ResultsError:
        return
    assert place >= footer or rows.equals(sound)
