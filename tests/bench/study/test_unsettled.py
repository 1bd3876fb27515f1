"""What `plan` and the start of `run` say of claims that cannot get a verdict as planned, and what a verdict costs."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.driver.forecast import forecast, no_verdict
from finebench.bench.study.plan import Cell, Plan
from finebench.bench.study.unsettled import sentence, unsettled
from tests.bench.tiny import tiny_study

BETTER = {"id": "better", "says": "better", "a": "full", "b": "bitfit"}
LESS = BETTER | {"id": "less", "fraction": 0.5}
SATURATES = {"id": "saturates", "says": "saturates_by", "a": "full", "fraction": 0.1}


def second(plan: Plan, cell: Cell) -> float:
    return 1.0 if cell.method == "full" else 0.5


def unknown(plan: Plan, cell: Cell) -> None:
    return None


def test_a_row_has_the_trials_and_the_time_that_are_added() -> None:
    plan = Plan(tiny_study(seeds=2, claims=[BETTER, LESS]))
    few, not_run = unsettled(plan, second, cores=2)
    assert few == {
        "claims": ["better"],
        "why": "2 pairs, and a verdict needs 6",
        "set": ["seeds=6"],
        "trials": 8,
        "seconds": (4 * 1.0 + 4 * 0.5) / 2,
    }
    assert not_run["set"] == ["fractions=[0.1, 0.5]", "seeds=6"]
    assert not_run["trials"] == 8 + 12


def test_time_that_is_not_known_is_null_and_so_is_the_cost_of_changing_the_file() -> None:
    few, all_data = unsettled(Plan(tiny_study(claims=[BETTER, SATURATES])), unknown, cores=2)
    assert few["trials"] == 10
    assert few["seconds"] is None
    assert all_data["set"] == []
    assert (all_data["trials"], all_data["seconds"]) == (None, None)


def test_a_setting_that_asks_for_too_many_trials_is_no_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finebench.bench.study.plan.MAX_TRIALS", 11)
    (row,) = unsettled(Plan(tiny_study(seeds=5, claims=[BETTER])), second, cores=1)
    assert row["set"] == []
    assert row["why"] == (
        "5 pairs, and a verdict needs 6; with seeds=6, study 'tiny' asks for 12 trials; at most 11 are allowed"
    )


def test_the_sentence_ends_in_a_command_that_runs() -> None:
    (row,) = unsettled(Plan(tiny_study(claims=[LESS])), second, cores=1)
    said = sentence(row, ["finebench", "run", "my study.yaml"], "about 1 min here")
    assert said.startswith("no verdict on less as planned: fraction 0.5 is not run; 1 pair, and a verdict needs 6. ")
    command = said[said.index("finebench") : said.rindex(" (")]
    assert shlex.split(command)[2:] == ["my study.yaml", "--set", "fractions=[0.1, 0.5]", "--set", "seeds=6"]
    assert said.endswith(" (22 more trials, about 1 min here)")


def test_the_sentence_without_a_setting_names_no_command() -> None:
    (row,) = unsettled(Plan(tiny_study(seeds=6, claims=[SATURATES])), second, cores=1)
    assert sentence(row, ["finebench"]) == (
        "no verdict on saturates as planned: fraction 0.1 is all of the data that the study uses; name a smaller one"
    )


def test_a_forecast_has_them_with_the_same_estimate_of_time() -> None:
    study = tiny_study(seeds=3, claims=[BETTER])
    found = forecast(study, None)
    (row,) = found["no_verdict"]
    assert row == no_verdict(study, None)[0]
    assert row["seconds"] == pytest.approx(found["seconds"])  # 3 more seeds beside 3
    assert forecast(tiny_study(seeds=6, claims=[BETTER]), None)["no_verdict"] == []


def test_no_data_is_read_where_every_claim_can_get_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("finebench.bench.driver.forecast.load_task", lambda *_: pytest.fail("data were read"))
    assert no_verdict(tiny_study(seeds=6, claims=[BETTER]), None) == []


def written(folder: Path, **changes: Any) -> str:
    raw: dict[str, Any] = {
        "name": "x",
        "tasks": ["mini-cola"],
        "methods": {"full": {"lr": 1e-3}, "bitfit": {"lr": 5e-3}},
    }
    raw |= {"fractions": [0.1], "budget": {"steps": 2}, "training": {"evals": 1, "batch_size": 8}}
    file = folder / "x.yaml"
    file.write_text(json.dumps(raw | changes), encoding="utf-8")
    return str(file)


def test_plan_says_the_command_with_what_was_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, seeds=3, claims=[BETTER])
    asked = ["--model", "embedded", "--set", "budget={steps: 3}"]
    assert guarded(lambda: app(["plan", file, *asked], standalone_mode=False)) == 0
    (line,) = [one for one in capsys.readouterr().out.splitlines() if one.startswith("no verdict")]
    command = shlex.split(line[line.index("finebench") : line.rindex(" (")])
    assert command == ["finebench", "run", file, *asked, "--set", "seeds=6"]
    assert line.endswith("min here)")
    assert guarded(lambda: app(["plan", file, *asked, "--set", "seeds=6"], standalone_mode=False)) == 0
    assert "no verdict" not in capsys.readouterr().out


def test_run_says_it_before_the_first_trial(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "finebench.bench.cli.commands._report_again", lambda *_: ()
    )  # seconds that this test does not need
    file, results = written(tmp_path, seeds=1, claims=[BETTER]), str(tmp_path / "r")
    assert guarded(lambda: app(["run", file, "--debug", "--results", results], standalone_mode=False)) == 0
    lines = capsys.readouterr().out.splitlines()
    (said,) = [place for place, line in enumerate(lines) if line.startswith("no verdict on better as planned: 1 pair")]
    assert f"finebench run {file} --results {results} --set seeds=6 (10 more trials" in lines[said]
    assert said < next(place for place, line in enumerate(lines) if "trials done" in line)
