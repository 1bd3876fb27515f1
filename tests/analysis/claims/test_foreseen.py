"""What `plan --expect` foresees: against judged studies, in its limit cases, from a pilot's folder, and on the command
line."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finebench.analysis.claims.evidence import Source
from finebench.analysis.claims.expectations import expectations
from finebench.analysis.claims.foreseen import foresee
from finebench.analysis.claims.judging import judge_claim
from finebench.analysis.claims.model import Claim
from finebench.analysis.claims.standing import is_futile
from finebench.analysis.claims.verdicts import corrected
from finebench.analysis.statistics.holm import holm, holm_columns
from finebench.bench.cli.app import app
from finebench.bench.cli.entry import guarded
from finebench.bench.study.plan import Plan
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import InputError
from tests.analysis.claims.test_claim_error_rates import GIVEN, MATCHES, TASKS, Draw, seeds_only
from tests.analysis.claims.test_sequential_error_rates import LOOKS, drawn, waves
from tests.analysis.fixtures import Folder, empty
from tests.bench.study.test_unsettled import written
from tests.bench.tiny import tiny_study

UNTIL = {"looks": list(LOOKS), "until": "settled"}
CLAIM = {"id": "c", "says": "better", "a": "full", "b": "bitfit"}


def study(*claims: dict[str, Any], tasks: Sequence[str] = ("mini-cola",), **more: Any) -> Study:
    return tiny_study(seeds=UNTIL, claims=list(claims), tasks=list(tasks), **more)


def rows_of(found: Study) -> list[dict[str, Any]]:
    return [
        {"task": c.cell.task, "method": c.cell.method, "fraction": c.cell.fraction, "budget": c.cell.budget.canonical,
         "stage": c.stage, "trials": c.planned, "seconds": 2.0}
        for c in Plan(found).counts()
    ]  # fmt: skip


def told(found: Study, *expect: str) -> dict[str, Any]:
    return foresee(found, expectations(found, list(expect)), rows_of(found))


def test_what_is_certain_is_settled_at_the_first_look() -> None:
    made = told(study(CLAIM), "1,0.01")
    assert made["claims"][0]["verdict_by_look"] == [1.0] * 5
    assert (made["claims"][0]["supported"], made["claims"][0]["seeds"]) == (1.0, 6.0)
    assert (made["trials"], made["seconds"]) == (12.0, 24.0)
    assert told(study(CLAIM), "-1,0.01")["claims"][0]["refuted"] == 1.0


def test_a_gain_needs_its_reference_with_the_most_data_as_long_as_the_claim_is_open() -> None:
    claim = CLAIM | {"a": "bitfit", "b": "head", "fraction": 0.5, "scale": "gain", "margin": 0.5}
    methods = {name: {"lr": 1e-3} for name in ("full", "bitfit", "head")}
    found = study(claim, methods=methods, fractions=[0.5, 1.0])
    shown = expectations(found, ["0.5,0.01"])  # at its bound: mostly to the last look
    without, made = (foresee(found, shown, rows_of(found), name)["trials"] for name in (None, "full"))
    longest = LOOKS[-1] - LOOKS[0]
    assert 0.5 * longest < made - without <= longest
    assert foresee(found, shown, rows_of(found), "head")["trials"] == pytest.approx(made)


def test_what_nothing_is_said_of_runs_to_the_last_look() -> None:
    two = study(CLAIM, CLAIM | {"id": "spread", "says": "varies_more"}, tasks=["mini-cola", "mini-mrpc"])
    made = told(two, "1,0.01")
    assert made["trials"] == 2 * 2 * 30
    assert made["claims"][1]["why"] == "it is not about a mean against a stated margin"
    assert told(two, "c=1,0.01")["claims"][1]["why"] == "nothing is said of it"


def test_cells_that_no_claim_needs_stop_at_the_first_look() -> None:
    one = study(CLAIM | {"tasks": ["mini-cola"]}, tasks=["mini-cola", "mini-mrpc"])
    assert told(one, "0,1")["trials"] <= 2 * 30 + 2 * 6
    assert told(one, "1,0.01")["trials"] == 4 * 6


def test_the_correction_is_over_all_claims() -> None:
    alone = told(study(CLAIM), "c=0.8,1")["claims"][0]
    beside = told(study(CLAIM, *(CLAIM | {"id": f"n{k}"} for k in range(7))), "c=0.8,1")["claims"][0]
    assert beside["supported"] < alone["supported"] - 0.05
    assert beside["seeds"] > alone["seeds"] + 1


def test_what_is_counted_is_no_hypothesis_of_the_correction() -> None:
    """As the judged study has it: a count has no p-value."""
    counts = ("trainable_params", "encoder_params", "delta_bytes")
    exact = [{"id": cost, "says": "cheaper", "a": "bitfit", "b": "full", "factor": 2, "cost": cost} for cost in counts]
    timed = exact[0] | {"id": "timed", "cost": "train_seconds"}
    alone, beside, tested = (told(study(CLAIM, *more), "c=0.8,1")["claims"][0] for more in ([], exact, [timed]))
    assert beside == alone
    assert tested["supported"] < alone["supported"]


def test_a_collapse_that_costs_much_holds_a_claim_up() -> None:
    free, dear = (told(study(CLAIM), text)["claims"][0]["seeds"] for text in ("1,0.5", "1,0.5,10"))
    assert free < 10
    assert dear == pytest.approx(30, abs=0.1)
    given = CLAIM | {"given": "not_collapsed"}
    assert told(study(given), "1,0.5,10")["claims"][0]["seeds"] == free


def test_a_difference_on_the_margin_is_given_up_early() -> None:
    """On the margin itself most studies see, before the last look, that neither verdict is within reach."""
    made = told(study(CLAIM | {"says": "matches", "margin": 0.5}), "0.5,1")["claims"][0]
    assert made["verdict_by_look"][-1] < 0.09
    assert told(study(CLAIM | {"says": "matches", "margin": 0.2}), "0,1")["claims"][0]["seeds"] < 28


CASES: list[tuple[Claim, Draw, float, float, float]] = [
    (GIVEN, seeds_only(0.02), 0.02, 0.02, 0.0),
    (MATCHES, seeds_only(0.005, sd=0.012), 0.005, 0.012, 0.02),
]


@pytest.mark.parametrize(("claim", "draw", "effect", "sd", "margin"), CASES)
def test_studies_that_are_judged_end_as_foreseen(
    claim: Claim, draw: Draw, effect: float, sd: float, margin: float
) -> None:
    """Seeds used and verdicts of drawn studies, look after look, with the rule by which they are given up."""
    more = {"given": claim.given} if claim.given else {}
    stated = CLAIM | {"says": claim.says, **({"margin": margin} if margin else {}), **more}
    rng, ends, times = np.random.default_rng(21), [], 40
    example = draw(np.random.default_rng(0), 200)[0]
    cost = float(example.entered.mean()) - example.constant
    foreseen = told(study(stated), f"{effect},{sd},{0 if claim.given else cost}")["claims"][0]
    for _ in range(times):
        ends.append(judged(claim, drawn(draw, rng, LOOKS[-1], TASKS[:1])))
    seeds = np.array([one[0] for one in ends])
    share = float(np.mean([one[1] == "supported" for one in ends]))
    assert seeds.mean() == pytest.approx(foreseen["seeds"], abs=3.5 * float(seeds.std(ddof=1)) / times**0.5 + 0.3)
    assert share == pytest.approx(foreseen["supported"], abs=3.5 * max(0.01, share * (1 - share) / times) ** 0.5)


def judged(claim: Claim, source: Source) -> tuple[int, str]:
    """Seeds after which a study of one claim stops, and its verdict."""
    for number, seeds in enumerate(LOOKS):
        part = replace(source, samples={k: v.of(range(1, seeds + 1)) for k, v in source.samples.items()})
        (made,) = corrected([judge_claim(claim, list(TASKS[:1]), "", part, waves(LOOKS))], {claim.id})
        if made.verdict != "inconclusive" or number == len(LOOKS) - 1 or is_futile(made):
            return seeds, made.verdict
    raise AssertionError("the last look ends every study")


def test_many_corrections_at_once_are_holm_s() -> None:
    p = np.random.default_rng(1).random((5, 40)) ** 3
    assert np.array_equal(holm_columns(p), np.stack([holm(column) for column in p.T], axis=1))


def pilot(path: Path, seeds: int = 6, gap: float = 0.1, sd: float = 0.02) -> Folder:
    """A folder in which alpha is ahead of beta by `gap`, on the mean of these very seeds."""
    folder = empty(path)
    noise = np.random.default_rng(4).standard_normal(seeds)
    noise = sd * (noise - noise.mean()) / noise.std(ddof=1)
    for seed in range(1, seeds + 1):
        folder.add(method="alpha", seed=seed, score=0.8 + gap + float(noise[seed - 1]), majority=0.5)
        folder.add(method="beta", seed=seed, score=0.8, majority=0.5)
    return folder


def of_pilot(path: Path, **changes: Any) -> tuple[Study, list[dict[str, Any]]]:
    folder = pilot(path, **changes)
    row = folder.rows["trials"][0]
    claim = {"id": "c", "says": "better", "a": "full", "b": "bitfit", "given": "not_collapsed"}
    found = study(claim, fractions=[row["fraction"]])
    for trial in folder.rows["trials"]:
        trial |= {"method": "full" if trial["method"] == "alpha" else "bitfit", "task": "mini-cola"}
        trial["budget"] = found.budget[0].canonical
    folder.write()
    return found, rows_of(found)


def test_a_pilot_shows_difference_and_spread_with_what_it_knows_of_them(tmp_path: Path) -> None:
    found, rows = of_pilot(tmp_path, gap=0.02, sd=0.02)
    shown = expectations(found, [str(tmp_path)])
    (one,) = shown.of["c"]
    assert (one.effect, one.sd, one.bound) == (pytest.approx(0.02), pytest.approx(0.02), 0.0)
    assert (one.error, one.df) == (pytest.approx(0.02 / 6**0.5), 5.0)
    made = foresee(found, shown, rows)
    (claim,) = made["claims"]
    assert claim["expected"][0]["effect_low"] == pytest.approx(0.02 - 1.476 * 0.02 / 6**0.5, rel=1e-3)
    assert made["trials_low"] < made["trials"] < made["trials_high"]
    assert claim["verdict_low"] < claim["verdict_by_look"][-1]
    more, rows = of_pilot(tmp_path / "n", seeds=40, gap=0.02)
    narrow = foresee(more, expectations(more, [str(tmp_path / "n")]), rows)
    assert narrow["trials_high"] - narrow["trials_low"] < made["trials_high"] - made["trials_low"]


def test_collapses_are_of_the_method_that_had_them(tmp_path: Path) -> None:
    """Of one that collapsed in every run nobody knows what that costs it; the other's are not taken for its own."""
    found, _ = of_pilot(tmp_path, gap=-0.4)
    claim = found.claims[0].model_copy(update={"given": None})
    (one,) = expectations(found.model_copy(update={"claims": [claim]}), [str(tmp_path)]).of["c"]
    assert (one.first, one.second) == ((), ((0.0, pytest.approx(0.3)),))


def test_a_pilot_without_a_claim_s_cells_says_so(tmp_path: Path) -> None:
    found, _ = of_pilot(tmp_path)
    other = found.model_copy(update={"claims": [found.claims[0].model_copy(update={"fraction": 0.07})]})
    with pytest.raises(InputError, match=r"shows nothing of any claim: c: the pilot has no score of full on mini-cola"):
        expectations(other, [str(tmp_path)])


@pytest.mark.parametrize(
    ("expect", "said"),
    [
        (["x=0,1"], "--expect x=0,1: unknown claim 'x'; choices: c"),
        (["0,0"], "SD one above 0"),
        (["0,1,-1"], "COST one from 0 up"),
        (["0,much"], "are numbers"),
        (["0,1", "results/pilot"], "one results folder, or EFFECT,SD of claims, not both"),
        (["results/none"], "results/none"),
    ],
)  # fmt: skip
def test_expectations_that_cannot_be_are_refused(expect: list[str], said: str) -> None:
    with pytest.raises(InputError, match=said.replace("(", r"\(")):
        expectations(study(CLAIM), expect)


def plan(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = guarded(lambda: app(["plan", *words], standalone_mode=False))
    out = capsys.readouterr()
    return code, out.out, out.err


def test_plan_tells_fewest_expected_and_most_with_their_price(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, seeds=UNTIL, claims=[CLAIM])
    asked = [file, "--price-per-hour", "3600", "--expect", "1,0.01"]
    code, out, _ = plan(capsys, *asked, "--json")
    found = json.loads(out)
    waves = found["waves"]
    assert code == 0
    assert [waves[size]["trials"] for size in ("fewest", "expected", "most")] == [12, 12, 60]
    assert waves["most"]["seconds"] == pytest.approx(found["seconds"])
    assert waves["most"]["price"] == pytest.approx(found["price"]) == pytest.approx(found["seconds"])
    assert waves["expected"]["price"] == pytest.approx(waves["fewest"]["price"])
    code, out, _ = plan(capsys, *asked)
    assert "interim analyses at 6, 9, 14, 21, 30 seeds" in out
    assert "chance of a verdict by each interim analysis" in out
    assert "c on mini-cola: difference 1, standard deviation of a pair 0.01" in out


def test_plan_without_expectations_says_how_to_state_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, seeds=UNTIL, claims=[CLAIM])
    _, out, _ = plan(capsys, file)
    assert "--expect RESULTS (a pilot's), or --expect EFFECT,SD" in out
    _, out, _ = plan(capsys, file, "--json")
    assert json.loads(out)["waves"]["expected"] is None


def test_fixed_seeds_have_no_waves_to_foresee(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, seeds=6, claims=[CLAIM])
    code, _, err = plan(capsys, file, "--expect", "0,1")
    assert (code, "--expect is for seeds that come until claims are settled" in err) == (2, True)
    code, out, _ = plan(capsys, file, "--price-per-hour", "3600", "--json")
    found = json.loads(out)
    assert (found["waves"], found["price"]) == (None, pytest.approx(found["seconds"]))
