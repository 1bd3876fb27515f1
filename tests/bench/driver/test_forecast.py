"""What `plan` says before anything runs: exact counts, also where they depend on settings, and what cannot be run."""

import contextlib
import itertools
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import threadpoolctl

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.cli.exit_codes import EXIT_BAD_INPUT
from finebench.bench.data.embedded import MODEL_DIR
from finebench.bench.driver.forecast import forecast
from finebench.bench.methods import methods
from finebench.bench.methods.cost import method_cost
from finebench.bench.models.architecture import read_architecture
from finebench.bench.scheduling.simulation.clock import START
from finebench.bench.study import estimate
from finebench.bench.study.configurations import check_methods
from finebench.bench.study.plan import Plan
from tests.bench.tiny import tiny_study

ADAPTER = {"lr": [1e-3], "variant": ["pfeiffer", "houlsby"], "reduction_factor": [8, 16]}


def plan(folder: Path, *arguments: str, **study: Any) -> int:
    about = {"name": "x", "tasks": ["mrpc"], "budget": {"steps": 1}} | study
    (folder / "x.yaml").write_text(json.dumps(about), encoding="utf-8")
    return guarded(lambda: app(["plan", str(folder / "x.yaml"), *arguments], standalone_mode=False))


def test_settings_that_change_what_is_trained_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finebench.bench.driver.forecast.has_amx", lambda: False)  # else a note says so
    found = forecast(tiny_study(methods={"adapter": ADAPTER, "lora": {"lr": [1e-3, 1e-2]}}), None)
    (note,) = found["notes"]
    h, layers = 96, 3
    low = layers * (2 * h * 6 + 6 + h)
    high = 2 * layers * (2 * h * 12 + 12 + h) + 4 * h * layers
    assert f"{low:,}" in note  # pfeiffer, reduction 16
    assert "adapter trains from " in note
    first = forecast(tiny_study(methods={"adapter": ADAPTER | {"variant": ["houlsby"], "reduction_factor": 8}}), None)
    assert first["methods"][0]["trainable_params"] - first["methods"][0]["head_params"] == high


@pytest.mark.parametrize("threads", [1, 4])
def test_a_cores_speed_is_measured_whatever_the_number_of_threads(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OMP_NUM_THREADS=1, as the Makefile has it, or all cores: a matrix product on four takes a quarter of the time."""
    ticks = itertools.count(0.0, 1 / threads)
    monkeypatch.setattr(estimate, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    pools = [{"user_api": "openmp", "num_threads": 64}, {"user_api": "blas", "num_threads": threads}]
    monkeypatch.setattr(threadpoolctl, "threadpool_info", lambda: pools)
    assert estimate.cpu_speed.__wrapped__() == pytest.approx(4 * 2 * 768**3 * estimate.EFFICIENCY)


def test_methods_say_what_can_be_set_and_where_its_defaults_are_from(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: app(["methods", "--json"], standalone_mode=False)) == 0
    listed = {row["name"].removesuffix("<TYPE>"): row for row in json.loads(capsys.readouterr().out)}
    assert listed.keys() == methods().keys()
    for name, row in listed.items():
        assert row["defaults_from"] == methods()[name].defaults_from
        assert [one["name"] for one in row["hyperparameters"]] == list(methods()[name].model_fields)
        assert all(one["meaning"] for one in row["hyperparameters"]), name
    assert guarded(lambda: app(["methods"], standalone_mode=False)) == 0
    assert "reduction_factor" in capsys.readouterr().out


def test_names_are_shown_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rich would read markup and emoji in them, and end with a traceback at a tag that closes nothing."""
    model = shutil.copytree(MODEL_DIR, tmp_path / "[v1] of a[" / "b]:x:")
    name = str(model.relative_to(tmp_path))
    with contextlib.chdir(tmp_path):
        assert plan(tmp_path, "--model", f"./{name}", tasks=["mini-cola"], methods={"head": {"lr": 1e-3}}) == 0
        assert guarded(lambda: app(["methods", "--model", f"./{name}"], standalone_mode=False)) == 0
    shown = capsys.readouterr().out
    assert shown.count(f"./{name}") == 2


@pytest.mark.parametrize("place", ["first", "in a grid", "in a search"])
def test_a_method_that_does_not_apply_is_refused_wherever_it_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], place: str
) -> None:
    """ModernBERT has no biases; GPT-2 has one for query, key and value together."""
    optuna = {"optuna": {"trials": 2}}
    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "first": ("answerdotai/ModernBERT-base", {"methods": {"bitfit": {"lr": 1e-3}}}),
        "in a grid": ("gpt2", {"methods": {"bitfit": {"lr": 1e-3, "terms": ["all", "query"]}}}),
        "in a search": ("gpt2", {"methods": {"bitfit": {"lr": 1e-3, "terms": {"choice": ["all", "query"]}}}}),
    }
    model, study = cases[place]
    code = plan(tmp_path, "--model", model, **study, **({"search": optuna} if place == "in a search" else {}))
    error = capsys.readouterr().err
    assert code == EXIT_BAD_INPUT, error
    assert error.startswith(
        f"finebench: {tmp_path / 'x.yaml'}: methods.bitfit: bitfit does not apply to models of type "
    )
    assert ("no bias terms" if place == "first" else "query, key and value share one bias") in error
    assert "methods that do: " in error


def test_values_that_do_not_go_together_are_refused_before_a_search_draws_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each of them alone is fine."""
    space = {"lr": 1e-3, "reduction_factor": {"choice": [None, 16]}, "bottleneck": {"choice": [None, 8]}}
    code = plan(tmp_path, tasks=["mini-cola"], methods={"adapter": space}, search={"optuna": {"trials": 2}})
    assert code == EXIT_BAD_INPUT
    assert "give reduction_factor or bottleneck, not both" in capsys.readouterr().err


def test_a_model_is_not_built_for_each_combination_of_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a closed form each count builds a model: one for each value, not for each combination."""
    counted: list[Any] = []
    monkeypatch.setattr(
        method_cost, "count", lambda tuned, *rest: counted.append(tuned) or method_cost.ParameterCounts(1, 1, 2)
    )
    space = {"lr": 1e-3, **{key: {"choice": [2, 4, 6, 8]} for key in ("r", "alpha")}, "dropout": {"choice": [0.0, 0.1]}}
    made = Plan(tiny_study(methods={"lora": space}, search={"optuna": {"trials": 2}}))
    check_methods(made, read_architecture(MODEL_DIR), {"mini-cola": 2}, every=True)
    assert len(counted) == 1 + 3 + 3 + 1  # the first of each, and each other value


def test_a_plan_on_slots_tells_time_and_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Six trials alike on four slots are two rounds; a machine's price is that of its cores."""
    monkeypatch.setattr("finebench.bench.driver.forecast.cpu_speed", lambda: 1e6)
    monkeypatch.setattr("finebench.bench.driver.forecast.cores", lambda: 2)
    about = {"tasks": ["mini-cola"], "methods": {"full": {"lr": [1e-3]}}, "seeds": 6}
    arguments = ["--slots", "4", "--price-per-hour", "3"]
    assert plan(tmp_path, *arguments, "--json", **about) == 0
    found = json.loads(capsys.readouterr().out)
    one, seconds = found["on_slots"], found["per_cell"][0]["seconds"]
    assert one["seconds"] == pytest.approx(START + 2 * seconds)
    assert one["bound"] == pytest.approx(6 / 4 * seconds)
    assert (one["slots"], one["machines"]) == (4, 2)
    assert one["price"] == pytest.approx(one["seconds"] / 3600 * 2 * 3)
    assert plan(tmp_path, *arguments, **about) == 0
    shown = capsys.readouterr().out
    assert f"price {one['price']:,.2f}; " in shown
    lines = shown.splitlines()
    first = lines.index("on 4 slots, 2 machines of 2 cores like these:")
    assert max(map(len, lines[first : first + 3])) < 80
    assert plan(tmp_path, "--json", **about) == 0
    assert json.loads(capsys.readouterr().out)["on_slots"] is None


def test_trials_that_ask_for_more_cores_fill_more_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four slots of two cores each; a trial takes half of its core time."""
    monkeypatch.setattr("finebench.bench.driver.forecast.cores", lambda: 4)
    wide = {"methods": {"full": {"lr": [1e-3]}}, "resources": {"cpu": 2}}
    found = forecast(tiny_study(**wide), None, slots=4)
    assert found["on_slots"]["machines"] == 2
    assert found["on_slots"]["bound"] == pytest.approx(found["per_cell"][0]["seconds"] / 2)


@pytest.mark.parametrize(
    ("resources", "slots", "machines", "share"),
    [
        ({"ranks": 4, "gpu": 0}, 1, 2, 4),  # two ranks on each machine
        ({"ranks": 3, "gpu": 0}, 2, 3, 3),
        ({"cpu": 1.5}, 4, 4, 1.5),  # a slot does not straddle machines
        ({"cpu": 0.1}, 20, 1, 0.1),
        ({"cpu": 0.1}, 21, 2, 0.1),
    ],
)
def test_ranks_and_slots_stand_on_machines(
    resources: dict[str, Any], slots: int, machines: int, share: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finebench.bench.driver.forecast.cores", lambda: 2)
    study = tiny_study(methods={"full": {"lr": [1e-3]}}, resources=resources, seeds=1)
    found = forecast(study, None, slots=slots)
    assert found["on_slots"]["machines"] == machines
    taken = found["per_cell"][0]["seconds"] / share
    assert found["on_slots"]["bound"] == pytest.approx(taken)
    assert found["on_slots"]["seconds"] == pytest.approx(START + taken)


def test_trials_that_no_machine_has_room_for_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("finebench.bench.driver.forecast.cores", lambda: 2)
    about = {"tasks": ["mini-cola"], "methods": {"full": {"lr": [1e-3]}}, "seeds": 1}
    assert plan(tmp_path, "--slots", "4", **about, resources={"cpu": 3}) == EXIT_BAD_INPUT
    assert "trials of 'full' ask for 3 CPUs on one machine, and machines like this one have 2" in flat(capsys)
    for price in ("inf", "nan"):
        assert plan(tmp_path, "--slots", "4", "--price-per-hour", price, **about) == EXIT_BAD_INPUT
        assert "--price-per-hour" in flat(capsys)
    assert plan(tmp_path, "--slots", "1", **about) == 0
    assert "on 1 slot, a machine of 2 cores like these:" in capsys.readouterr().out


def flat(capsys: pytest.CaptureFixture[str]) -> str:
    """What was said, without line breaks."""
    return " ".join(capsys.readouterr().err.split())


def test_a_plan_of_too_many_trials_is_not_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finebench.bench.scheduling.simulation.simulated_plan.MOST", 5)
    found = forecast(tiny_study(methods={"full": {"lr": [1e-3]}}, seeds=6), None, slots=4)
    assert found["on_slots"] is None
    assert "--slots: at most 5 trials are simulated, and the study has 6" in found["notes"]


def test_a_budget_of_seconds_weighs_as_what_a_core_does_in_it() -> None:
    """Beside steps, so that the longer of the two runs first."""
    plan = Plan(tiny_study(methods={"full": {"lr": [1e-3]}}, budget=[{"seconds": 100}, {"steps": 1}]))
    long, short = plan.cells()
    size = estimate.Size(100, 10, 20.0, 400.0, 2)
    made = [estimate.estimate(plan, cell, read_architecture(MODEL_DIR), size) for cell in (long, short)]
    assert estimate.weight(made[0]) == pytest.approx(100 * estimate.NOMINAL + made[0].eval_flops)
    assert estimate.weight(made[1]) == made[1].train_flops + made[1].eval_flops
    assert estimate.weight(made[0]) > estimate.weight(made[1])


def test_ranks_are_told() -> None:
    found = forecast(tiny_study(resources={"gpu": 0, "ranks": 2, "shard": "full"}), None)
    said = (
        "on several ranks, whose time is foreseen as if their messages took none: full 2 in shards, bitfit 2 in shards"
    )
    assert said in found["notes"]
