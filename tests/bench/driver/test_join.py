"""Shards run apart and merged are what one run makes; contradictions are refused; a killed merge goes on."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from finebench.analysis.compare.report import write_comparison
from finebench.analysis.report.write import write_report
from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.show import status
from finebench.bench.data.embedded import MODEL_DIR
from finebench.bench.driver.join import _check_different, join
from finebench.bench.driver.options import RunOptions
from finebench.bench.driver.run import run_study
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.merge import compact
from finebench.bench.results.record import Record
from finebench.bench.results.schema import TABLES
from finebench.bench.results.verify import verify
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.study.shards import Shard
from finebench.bench.util.errors import InputError, ResultsError
from finebench.bench.util.storage import Store
from tests.bench.stored import fill, make_record, seen, trial_id
from tests.bench.tiny import tiny_study

SEEDS: dict[str, Any] = {"seeds": 3, "budget": {"steps": 2}, "training": {"evals": 1, "batch_size": 8}}
SEARCH: dict[str, Any] = SEEDS | {
    "methods": {"head": {"lr": {"loguniform": [1e-3, 1e-1]}}, "bitfit": {"lr": {"loguniform": [1e-4, 1e-1]}}},
    "seeds": 1,
    "search": {"optuna": {"trials": 3, "parallel": 1, "confirm_seeds": 2}},
}


def run(folder: Path, shard: str | None = None, keep: str = "none", **changes: Any) -> int:
    """Run a tiny study, or a shard of it; returns how many trials ran."""
    options = RunOptions(str(folder), debug=True, keep=keep, shard=None if shard is None else Shard.parse(shard))
    made = run_study(tiny_study(**changes), options, lambda scheduler: Observer(), lambda trial, reason, runs: None)
    return sum(made.statuses.values())


def held(folder: Path) -> dict[str, Any]:
    """All that a folder's readers see, times apart, and what its plan says."""
    compact(ResultsFolder(str(folder)))
    plan = ResultsFolder(str(folder)).plan() or {}
    apart = {"parallel", "data", "model_folder"}
    return seen(folder) | {"plan": {key: value for key, value in plan.items() if key not in apart}}


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study run whole and, beside it, in two shards."""
    base = tmp_path_factory.mktemp("shards")
    assert run(base / "whole", keep="all", **SEEDS) == 6
    assert run(base / "a", "1/2", keep="all", **SEEDS) == 3
    assert run(base / "b", "2/2", keep="all", **SEEDS) == 3
    return base


def test_two_shards_merged_are_one_run(two: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    made = join([str(two / "a"), str(two / "b")], str(out))
    assert (list(made.copied.values()), made.trials) == ([3, 3], 6)
    assert held(out) == held(two / "whole")
    checked = verify(ResultsFolder(str(out)))
    assert checked.problems == checked.notes == []
    assert checked.ids == checked.trials == checked.planned == 6
    compared = write_comparison(str(two / "whole"), str(out)).document()
    assert compared["trials"] == {"in_both": 6, "bit_equal": 6}
    kept = [{path.name: path.read_bytes() for path in (two / f / "deltas").iterdir()} for f in (out, "a", "b")]
    assert len(kept[0]) == 6
    assert kept[0] == kept[1] | kept[2]
    assert run(out, **SEEDS) == 0


def test_a_shards_report_and_status_say_that_it_is_one(two: Path, tmp_path: Path) -> None:
    shard = shutil.copytree(two / "a", tmp_path / "a")
    said = status(str(shard))
    assert (said["planned"], said["ok"], said["pending"]) == (6, 3, 3)
    assert "shard 1/2" in said["notes"][0]
    assert "shard 1/2" in write_report(str(shard)).state[0]
    join([str(two / "a"), str(two / "b")], str(tmp_path / "out"))
    assert status(str(tmp_path / "out"))["notes"] == []
    assert not any("shard" in line for line in write_report(str(tmp_path / "out")).state)


def test_shards_one_after_the_other_in_one_folder_are_one_run(two: Path, tmp_path: Path) -> None:
    assert [run(tmp_path / "r", shard, **SEEDS) for shard in ("1/3", "3/3", "1/3", "2/3")] == [2, 2, 0, 2]
    assert ResultsFolder(str(tmp_path / "r")).plan()["shards"] == ["1/3", "3/3", "2/3"]  # type: ignore[index]
    assert held(tmp_path / "r")["rows"] == held(two / "whole")["rows"]


def test_a_shard_of_a_search_is_whole_cells(tmp_path: Path) -> None:
    """Each cell's suggestions are those of a run in one folder, and what it confirms too."""
    run(tmp_path / "whole", **SEARCH)
    parts = [tmp_path / "a", tmp_path / "b"]
    for number, folder in enumerate(parts, 1):
        run(folder, f"{number}/2", **SEARCH)
        assert len({row["method"] for row in ResultsFolder(str(folder)).rows()}) == 1
    join([str(one) for one in parts], str(tmp_path / "out"))
    assert held(tmp_path / "out") == held(tmp_path / "whole")
    assert run(tmp_path / "out", **SEARCH) == 0


def test_a_merge_again_changes_nothing(two: Path, tmp_path: Path) -> None:
    sources = [str(two / "a"), str(two / "b")]
    join(sources, str(tmp_path / "out"))
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    made = join(sources, str(tmp_path / "out"))
    assert (list(made.copied.values()), made.trials) == ([0, 0], 6)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_shards_may_come_one_by_one(two: Path, tmp_path: Path) -> None:
    out = str(tmp_path / "out")
    assert join([str(two / "b")], out).trials == 3
    assert "shard 2/2" in status(out)["notes"][0]
    assert join([str(two / "a")], out).copied == {str(two / "a"): 3}
    assert held(tmp_path / "out") == held(two / "whole")


class Killed(BaseException):
    """The process is gone: nothing is cleaned up by whoever catches errors."""


def killed_after(monkeypatch: pytest.MonkeyPatch, calls: int, do: Callable[[], object]) -> bool:
    """Do something that ends at its n-th change to a folder; whether it was killed."""
    left = [calls]

    def counted(name: str) -> None:
        real = getattr(Store, name)

        def call(self: Store, *arguments: Any) -> None:
            if not arguments[0].startswith(("_driver", "_running")):
                left[0] -= 1
                if left[0] < 0:
                    raise Killed
            real(self, *arguments)

        patch.setattr(Store, name, call)

    with monkeypatch.context() as patch:
        counted("write_bytes")
        counted("delete")
        try:
            do()
        except Killed:
            return True
    return False


@pytest.mark.slow
def test_a_merge_killed_at_any_moment_goes_on(two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, sources, moments = held(two / "whole"), [str(two / "a"), str(two / "b")], 0
    while True:
        out = tmp_path / str(moments)
        if not killed_after(monkeypatch, moments, lambda out=out: join(sources, str(out))):  # type: ignore[misc]
            break
        if list(out.glob("trials/*")):
            seen(out)  # no reader meets a trial twice, or half of one
        join(sources, str(out))
        assert held(out) == whole
        assert verify(ResultsFolder(str(out))).problems == []
        moments += 1
    assert moments > 15


def test_a_killed_merge_does_not_take_a_shard_for_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the folders the next merge is of."""
    sources = [fill(tmp_path / name, numbers) for name, numbers in (("a", [1, 2]), ("b", [3, 4]))]
    for number, one in enumerate(sources, 1):
        one.write_json(
            "plan.json", json.loads((Path(one.root) / "plan.json").read_text()) | {"shards": [f"{number}/2"]}
        )
    moments, both = 0, [one.root for one in sources]
    while True:
        outs = [ResultsFolder(str(tmp_path / f"{moments}-{one}")) for one in range(2)]
        if not any(killed_after(monkeypatch, moments, lambda out=out: join(both, out.root)) for out in outs):  # type: ignore[misc]
            break
        for one, out in zip(sources, outs, strict=True):
            trials = join([one.root], out.root).trials
            plan = out.plan()
            assert plan is not None
            assert plan["shards"] or trials == 4, f"after {moments} changes, then {one.uri}"
            join(both, out.root)
            assert status(out.root)["notes"] == []
        moments += 1
    assert moments > 8


def own_data(folder: Path, text: str = "good") -> dict[str, Any]:
    """A study of one's own data and model, at a place of this machine's own."""
    folder.mkdir()
    for name, rows in (("train", 40), ("validation", 8)):
        lines = [f"{text} {name} {k},yes" if k % 2 else f"bad {name} {k},no" for k in range(rows)]
        (folder / f"{name}.csv").write_text("\n".join(["text,label", *lines]))
    shutil.copytree(MODEL_DIR, folder / "model")
    data = {name: str(folder / f"{name}.csv") for name in ("train", "validation")}
    task = {"name": "own", "data": data, "text": "text", "label": "label", "metric": "accuracy"}
    return SEEDS | {"tasks": [task], "model": str(folder / "model"), "fractions": [1.0]}


def test_own_data_and_a_model_s_folder_may_lie_elsewhere_on_each_machine(tmp_path: Path) -> None:
    assert run(tmp_path / "a", "1/2", **own_data(tmp_path / "alice")) == 3
    assert run(tmp_path / "b", "2/2", **own_data(tmp_path / "bob")) == 3
    shutil.rmtree(tmp_path / "alice")  # they may be on neither
    shutil.rmtree(tmp_path / "bob")
    assert join([str(tmp_path / "a"), str(tmp_path / "b")], str(tmp_path / "out")).trials == 6
    assert verify(ResultsFolder(str(tmp_path / "out"))).problems == []
    run(tmp_path / "other", "2/2", **own_data(tmp_path / "carol", text="fair"))
    with pytest.raises(ResultsError, match="another version of task 'own'"):
        join([str(tmp_path / "a"), str(tmp_path / "other")], str(tmp_path / "out2"))
    changed = own_data(tmp_path / "dan")
    (tmp_path / "dan" / "model" / "config.json").write_text((MODEL_DIR / "config.json").read_text() + " ")
    run(tmp_path / "model", "2/2", **changed)
    with pytest.raises(ResultsError, match="another version of the model"):
        join([str(tmp_path / "a"), str(tmp_path / "model")], str(tmp_path / "out3"))


def test_a_result_is_taken_for_a_failure(tmp_path: Path) -> None:
    """Wherever the failure stands, in a source or in the folder merged into, alone or in a segment."""
    fill(tmp_path / "failed", [1, 2, 3], "error")
    fill(tmp_path / "good", [1, 2])
    for order in (["failed", "good"], ["good", "failed"]):
        out = tmp_path / "-".join(order)
        join([str(tmp_path / one) for one in order], str(out))
        assert {name: row[0] for name, row in seen(out)["rows"].items()} == {
            trial_id(1): "ok", trial_id(2): "ok", trial_id(3): "error"
        }  # fmt: skip
    into, segments = fill(tmp_path / "into", [1, 2, 3], "error"), fill(tmp_path / "segments", [1, 2, 3], "error")
    compact(segments)
    for folder in (into, segments):
        assert join([str(tmp_path / "good")], folder.root).copied == {str(tmp_path / "good"): 2}
        assert seen(folder.root) == seen(tmp_path / "failed-good")


def test_half_a_trial_in_the_folder_merged_into_is_replaced(tmp_path: Path) -> None:
    """A killed run has left other predictions, without their row."""
    good, into = fill(tmp_path / "good", [1, 2]), fill(tmp_path / "into", [5])
    other: Record = make_record(9)
    rows = other.predictions.set_column(0, "trial_id", [[trial_id(1)] * len(other.predictions)])
    from finebench.bench.results.parquet_tables import encode

    into.write_bytes(f"predictions/{trial_id(1)}.parquet", encode(rows.cast(TABLES["predictions"])))
    join([good.root], into.root)
    assert seen(into.root)["predictions"][trial_id(1)] == [1.0] * 5
    assert sorted(seen(into.root)["rows"]) == sorted(map(trial_id, (1, 2, 5)))


def test_two_results_of_a_trial_are_refused(tmp_path: Path) -> None:
    one, two = fill(tmp_path / "one", [1, 2]), fill(tmp_path / "two", [3])
    two.write(make_record(2, score=0.75))
    with pytest.raises(ResultsError, match=f"{trial_id(2)}: score 0.002 in .*one, 0.75 in .*two"):
        join([one.root, two.root], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    with pytest.raises(ResultsError, match="contradict each other"):
        join([two.root], one.root)
    assert sorted(seen(one.root)["rows"]) == sorted(map(trial_id, (1, 2)))


def test_equal_results_of_a_trial_are_one_also_where_a_score_is_nan(tmp_path: Path) -> None:
    folders = [fill(tmp_path / name, []) for name in ("one", "two")]
    for folder in folders:
        folder.write(make_record(1, score=float("nan")))
    assert join([folder.root for folder in folders], str(tmp_path / "out")).trials == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seeds": 4}, "seeds: 3 there, 4 here"),
        ({"fractions": [0.2]}, r"fractions: \[0.1\] there, \[0.2\] here"),
        ({"methods": {"full": {"lr": [1e-3]}, "bitfit": {"lr": [6e-3]}}}, "methods: .* there, .* here"),
        ({"training": {"evals": 1, "batch_size": 8, "precision": "bf16"}}, "training"),
    ],
)
def test_other_studies_are_refused(two: Path, tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    run(tmp_path / "other", "1/2", **SEEDS | changes)
    with pytest.raises(ResultsError, match=f"hold different studies: .*{says}"):
        join([str(two / "a"), str(tmp_path / "other")], str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_what_a_machine_gives_its_trials_may_differ(two: Path, tmp_path: Path) -> None:
    other: dict[str, Any] = {"resources": {"cpu": 1, "gpu": 0}, "retries": 5, "trial_timeout": "2h"}
    other["methods"] = {"full": {"lr": [1e-3], "resources": {"cpu": 1}}, "bitfit": {"lr": [5e-3]}}
    run(tmp_path / "b", "2/2", **SEEDS | other)
    assert join([str(two / "a"), str(tmp_path / "b")], str(tmp_path / "out")).trials == 6


@pytest.mark.parametrize("key", ["tasks", "model", "precision"])
def test_other_data_weights_or_precision_are_refused(two: Path, tmp_path: Path, key: str) -> None:
    folder = shutil.copytree(two / "b", tmp_path / "b")
    plan = json.loads((folder / "plan.json").read_text())
    if key == "precision":
        plan["precision"] = "bf16"
    elif key == "tasks":
        plan["identities"][0]["tasks"]["mini-cola"] = "other"
    else:
        plan["identities"][0]["model"] = "other"
    (folder / "plan.json").write_text(json.dumps(plan))
    with pytest.raises(ResultsError, match=r"/a.*/b" if key == "precision" else r"/b cannot be merged with .*/a"):
        join([str(two / "a"), str(folder)], str(tmp_path / "out"))


def test_a_cell_that_two_folders_searched_differently_is_refused(tmp_path: Path) -> None:
    one, two = fill(tmp_path / "one", [1]), fill(tmp_path / "two", [2])
    one.write_json("search/cell/000000.json", {"number": 0, "params": {"lr": 0.1}})
    two.write_json("search/cell/000000.json", {"number": 0, "params": {"lr": 0.2}})
    with pytest.raises(ResultsError, match="both searched the cell cell"):
        join([one.root, two.root], str(tmp_path / "out"))
    two.write_json("search/cell/000000.json", {"number": 0, "params": {"lr": 0.1}})
    two.write_json("search/cell/000001.json", {"number": 1, "params": {"lr": 0.3}})
    join([one.root, two.root], str(tmp_path / "out"))
    assert len(list((tmp_path / "out" / "search" / "cell").iterdir())) == 2


def test_one_calibration_is_left(tmp_path: Path) -> None:
    one, two = fill(tmp_path / "one", [1]), fill(tmp_path / "two", [2])
    one.write_json(
        "calibration.json", {"steps_per_second": {"x": 1.0}, "packs": {"p": {"1": 1}}, "gpu_memory_bytes": None}
    )
    two.write_json(
        "calibration.json", {"steps_per_second": {"y": 2.0}, "packs": {"p": {"1": 2}}, "gpu_memory_bytes": 8}
    )
    join([one.root, two.root], str(tmp_path / "out"))
    made = json.loads((tmp_path / "out" / "calibration.json").read_text())
    assert made == {"steps_per_second": {"x": 1.0, "y": 2.0}, "packs": {"p": {"1": 1}}, "gpu_memory_bytes": 8}
    two.write_json("calibration.json", {"steps_per_second": {"x": 2.0}})
    with pytest.raises(ResultsError, match="budget of seconds"):
        join([one.root, two.root], str(tmp_path / "out2"))


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    good, bad = fill(tmp_path / "good", [1]), fill(tmp_path / "bad", [2])
    (tmp_path / "bad" / "evals" / f"{trial_id(2)}.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ResultsError, match=r"bad/evals/.*sets it aside"):
        join([good.root, bad.root], str(tmp_path / "out"))
    with pytest.raises(ResultsError, match="does not exist or holds no study"):
        join([good.root, str(tmp_path / "nowhere")], str(tmp_path / "out"))
    with pytest.raises(InputError, match="named twice"):
        join([good.root, str(tmp_path / "x" / ".." / "good")], str(tmp_path / "out"))
    with pytest.raises(InputError, match="named twice"):
        join([good.root], good.root)
    assert not (tmp_path / "out").exists()


def test_the_commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    study = {"name": "x", "tasks": ["mini-cola"], "methods": {"head": {"lr": 1e-2}}, "budget": {"steps": 2}, "seeds": 2}
    Path("x.yaml").write_text(json.dumps(study))

    def said(*words: str, code: int = 0) -> str:
        assert guarded(lambda: app(list(words), standalone_mode=False)) == code
        shown = capsys.readouterr()
        return shown.out + shown.err

    for number in (1, 2):
        assert f"x, shard {number}/2: model" in said("run", "x.yaml", "--debug", "--shard", f"{number}/2")
    folders = ("results/x-1of2", "results/x-2of2")
    assert "results/x-1of2: 1 trials copied" in said("merge", *folders, "--into", "results/x")
    assert json.loads(said("merge", *folders, "--into", "results/x", "--json")) == {
        "into": "results/x", "trials": 2, "copied": {"results/x-1of2": 0, "results/x-2of2": 0}, "notes": []
    }  # fmt: skip
    assert "results/x: sound" in said("verify", "results/x")
    assert "from 1/4 to 4/4" in said("run", "x.yaml", "--shard", "3/2", code=2)
    assert "x.yaml: --shard 1/3: the study has 2 parts" in said("run", "x.yaml", "--debug", "--shard", "1/3", code=2)


def test_one_path_on_two_servers_is_two_folders() -> None:
    """And on one server however that is written."""
    one, two = (ResultsFolder(f"s3://b/x?endpoint_override=http://h{n}:9000&region=r") for n in (1, 2))
    _check_different([one, two])
    again = ResultsFolder("s3://b/x/?endpoint_override=h1:9000&scheme=http")
    with pytest.raises(InputError, match="named twice"):
        _check_different([one, two, again])


def test_seeds_until_settled_are_merged_into_nothing(tmp_path: Path) -> None:
    """One folder neither; and nothing is written."""
    waves: dict[str, Any] = {"seeds": {"looks": [6, 9], "until": "settled"}, "methods": {"full": {}, "head": {}}}
    claims = [{"id": "c", "says": "better", "a": "full", "b": "head"}]
    options = RunOptions(str(tmp_path / "a"), debug=True, limit=1)
    study = tiny_study(claims=claims, **waves)
    run_study(study, options, lambda scheduler: Observer(), lambda trial, reason, runs: None)
    with pytest.raises(ResultsError, match="seeds until settled"):
        join([str(tmp_path / "a")], str(tmp_path / "into"), lambda text: None)
    assert not (tmp_path / "into").exists()
