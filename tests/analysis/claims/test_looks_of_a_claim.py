"""What several looks at a claim say together: of which of them its numbers are, and what they wait for."""

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from finebench.analysis.claims.evidence import Source, cells_of
from finebench.analysis.claims.evidence_collapse import collapses
from finebench.analysis.claims.judging import judge_claim, unread_looks
from finebench.analysis.claims.model import Claim, Finding, InterimResult
from finebench.analysis.claims.standing import fixed_since, is_futile, standing, told
from finebench.analysis.claims.verdict_words import pairs
from finebench.analysis.claims.verdicts import Verdict, corrected, untested
from finebench.analysis.claims.waves import stays, together
from finebench.analysis.report import looks
from finebench.analysis.statistics.group_sequential import Levels
from finebench.analysis.statistics.spread_ratio import mean_deviations, spread_ratio
from finebench.analysis.uncertainty.across_tasks import reference_scales
from finebench.bench.study.waves import asked_of
from tests.analysis.claims.test_claim_error_rates import BETTER, GIVEN, POOLED, SPREAD, sample
from tests.analysis.claims.test_sequential_error_rates import LOOKS, OF_SPREAD, waves
from tests.bench.tiny import tiny_study

COST = Claim("cost", "cheaper", "a", "b", factor=2)


def verdict(claim: Claim, p: float, word: str = "supported") -> Verdict:
    found = Finding("alpha", 0.1, 0.05, 0.15, 0.95, "t", 9, p, 1.0, word == "supported", False, bound=0.0)
    return Verdict(claim, word, found, (found,), p, 1.0, "")  # type: ignore[arg-type]


def samples(a: np.ndarray, b: np.ndarray, constant: float = 0.5, **other: np.ndarray) -> Source:
    """Scores of two methods on one task, with the constant predictor's."""
    made = {
        ("alpha", 1.0, "", name): replace(sample(name, one), constant=constant)
        for name, one in {"a": a, "b": b}.items()
    }
    made |= {("alpha", 1.0, "", name): replace(sample(name, one), constant=constant) for name, one in other.items()}
    return Source(made, {}, pd.DataFrame({"seed": []}), {key: constant for key in made}, 1.0, {})


@pytest.mark.parametrize("p", [0.001, 0.2, math.nan])
def test_what_is_judged_once_takes_no_verdict_of_a_look_back(p: float) -> None:
    """A claim on costs is tested on whatever was measured by now: its p-value may rise as well as fall."""
    shown, cost = corrected([verdict(BETTER, 0.02), verdict(COST, p)], {"c"})
    assert (shown.verdict, shown.p_adjusted) == ("supported", pytest.approx(0.04))
    if p == p:
        assert cost.p_adjusted == pytest.approx(2 * p if p < 0.02 else max(0.04, p))


def test_its_numbers_are_those_of_the_look_that_the_correction_lets_decide() -> None:
    """Two looks pass by their own intervals; the second has the smaller p-value, and so decides after a correction."""
    early = Finding("alpha", 0.3, 0.05, 0.55, 0.95, "t", 6, 0.04, 1.0, True, False, bound=0.0)
    late = replace(early, estimate=0.2, low=0.15, high=0.25, pairs=9, p=0.001)
    made = together(GIVEN, [early, late], Levels((6, 9, 14)))
    assert (made.estimate, made.pairs, made.p, made.decided_at) == (0.2, 9, 0.001, 1)
    turned = replace(late, supports=False, refutes=True, p=1.0, p_against=0.001)  # what was decided stands
    assert together(GIVEN, [early, turned], Levels((6, 9, 14))).decided_at == 0


def test_what_an_early_look_knew_exactly_stands() -> None:
    """Two methods that were one computation on the first seeds, and then not: a look takes nothing back."""
    exact = Finding("alpha", 0.0, 0.0, 0.0, 1.0, "", 6, math.nan, math.nan, True, False, exact=True)
    later = Finding("alpha", 0.01, -0.1, 0.12, 0.95, "t", 9, 0.6, 0.9, False, False, bound=0.02)
    assert together(GIVEN, [exact, later], Levels((6, 9, 14))) is exact


def test_the_correction_is_over_as_many_claims_at_every_look() -> None:
    """Whether a claim's difference is exact may change with the seeds; one that a test may be made of counts."""
    exact = Finding("alpha", 0.0, 0.0, 0.0, 1.0, "", 6, math.nan, math.nan, True, False, exact=True)
    known = Verdict(replace(BETTER, id="known"), "supported", exact, (exact,), math.nan, math.nan, "")
    shown, same = corrected([verdict(BETTER, 0.04), known], {"c", "known"})
    assert (shown.verdict, shown.p_adjusted) == ("inconclusive", pytest.approx(0.08))
    assert same.verdict == "supported"
    assert corrected([verdict(BETTER, 0.04), known])[0].verdict == "supported"  # of a single look it is a count


def test_looks_of_a_task_that_is_known_exactly_and_of_one_that_is_not() -> None:
    step = InterimResult(0, 6, 0.0, -0.1, 0.1, 0.95, 0.2, 0.2, False, False, False)
    exact = Finding("alpha", 0.0, 0.0, 0.0, 1.0, "", 6, math.nan, math.nan, True, False, exact=True)
    open_ = Finding("beta", 0.0, -0.1, 0.1, 0.95, "", 9, 0.2, 0.2, False, False, path=(step, replace(step, look=1)))
    one = Verdict(BETTER, "inconclusive", open_, (exact, open_), 0.2, 0.2, "")
    assert (told(one, one, waves((6, 9, 14)), None, False) or {})["taken"] == 2


def test_its_pairs_are_those_of_the_task_that_decides() -> None:
    row = {"task": "beta", "pairs": 15, "per_task": [{"task": "alpha", "pairs": 15}, {"task": "beta", "pairs": 21}]}
    assert pairs(row) == 21
    assert pairs(row | {"task": None}) == 15


@pytest.mark.parametrize("seeds", [8, 9])
def test_a_gain_is_looked_at_once_its_reference_has_the_wave_too(seeds: int) -> None:
    """The reference's score is the unit: one that is not there whole would move with whichever run ended first."""
    rng = np.random.default_rng(0)
    a, b, full = (0.8 + shift + rng.normal(0, 0.005, 9) for shift in (0.0, 0.001, 0.1))
    source = samples(a, b, full=full[:seeds])
    source = replace(source, gains={("alpha", ""): 0.4}, references={("alpha", ""): "full"})
    claim = replace(POOLED["matches"], scale="gain", margin=0.1)
    assert cells_of(claim, ["alpha"], "", source)[-1] == ("alpha", 1.0, "", "full")
    made = judge_claim(claim, ["alpha"], "", source, waves((6, 9)))
    assert len(made.findings[0].path) == (1 if seeds < 9 else 2)
    assert cells_of(POOLED["matches"], ["alpha"], "", source) == [("alpha", 1.0, "", "a"), ("alpha", 1.0, "", "b")]


def test_the_reference_is_the_method_that_trains_most_whichever_cells_are_there() -> None:
    columns = ["task", "budget", "fraction", "method", "trainable_params", "majority", "score"]
    rows = [("alpha", "", 0.3, "full", 9, 0.5, 0.8), ("alpha", "", 1.0, "bitfit", 2, 0.5, 0.7)]
    assert reference_scales(pd.DataFrame(rows, columns=columns)) == {("alpha", ""): (0.5, 0.8, "full")}
    rows.append(("alpha", "", 1.0, "full", 9, 0.5, 0.9))
    assert reference_scales(pd.DataFrame(rows, columns=columns)) == {("alpha", ""): (0.5, 0.9, "full")}


def narrow(rng: np.random.Generator, rate: float, cost: float) -> Source:
    """Two methods of equal mean deviation, of which a varies less where it does not collapse; sd of b: 0.01."""
    deviation = 0.01 * math.sqrt(2 / math.pi)  # of b; a's is the healthy runs' and the collapses' together
    healthy = max(0.0, (deviation - rate * cost * 0.01) / (1 - rate)) / deviation
    a, b = 0.8 + healthy * rng.normal(0, 0.01, 30), 0.8 + rng.normal(0, 0.01, 30)
    hit, constant = rng.random(30) < rate, 0.8 - cost * 0.01
    found = samples(np.where(hit, constant, a), b, constant)
    key = ("alpha", 1.0, "", "a")
    return replace(found, samples=found.samples | {key: replace(found.samples[key], collapsed=hit)})


def errs(times: int, rate: float, cost: float, single: bool = False) -> float:
    """How often a is wrongly said to vary less, over the path or at the only look."""
    rng, wrong = np.random.default_rng(4), 0
    for _ in range(times):
        at = None if single else waves(OF_SPREAD)
        wrong += judge_claim(SPREAD, ["alpha"], "", narrow(rng, rate, cost), at).verdict == "refuted"
    return wrong / times


@pytest.mark.slow
@pytest.mark.parametrize(("rate", "cost"), [(0.05, 10.0), (0.08, 6.0), (0.10, 4.0)])
def test_looks_at_a_spread_err_no_more_than_one_look_where_a_method_rarely_collapses(rate: float, cost: float) -> None:
    alone, path = errs(400, rate, cost, single=True), errs(400, rate, cost)
    assert path <= alone + 2.6 * math.sqrt(2 * alone * (1 - alone) / 400)


def test_an_early_look_decides_no_spread_that_a_collapse_could_undo() -> None:
    rng = np.random.default_rng(2)
    b = 0.8 + rng.normal(0, 0.02, 30)
    a = 0.8 + 0.05 * (b[::-1] - 0.8)
    far, near = (judge_claim(SPREAD, ["alpha"], "", samples(a, b, c), waves(OF_SPREAD)) for c in (0.3, 0.795))
    assert (far.verdict, near.verdict) == ("refuted", "refuted")
    assert any(step.held for step in far.findings[0].path)
    assert far.findings[0].decided_at == 4  # the last look asks for no more than the only one of a fixed study
    assert not any(step.held for step in near.findings[0].path)
    given = judge_claim(replace(SPREAD, given="not_collapsed"), ["alpha"], "", samples(a, b, 0.3), waves(OF_SPREAD))
    assert not any(step.held for step in given.findings[0].path)


def test_a_collapse_in_every_run_would_add_its_distance_in_mean_deviations() -> None:
    """With a known rate: the mean deviation of runs of which a share lies `cost` deviations away."""
    rng = np.random.default_rng(1)
    a, b = 0.8 + rng.normal(0, 0.02, 40), 0.8 + rng.normal(0, 0.01, 40)
    parts = [(a, b)]
    found = spread_ratio(parts)
    assert mean_deviations(parts) == [(float(found.u.mean()), float(found.v.mean()))]
    collapsed = a.copy()
    collapsed[:8] = 0.3
    grown = spread_ratio([(collapsed, b)]).value / found.value
    foreseen = 1 + 0.2 * (float(a.mean()) - 0.3) / float(found.u.mean())
    assert foreseen == pytest.approx(grown, rel=0.06)
    second = (rng.normal(0, 1, 40), rng.normal(0, 2, 40))
    ones, tens = (mean_deviations([(a, b), (by * second[0], by * second[1])]) for by in (1, 10))
    assert tens[0] == pytest.approx(ones[0])
    assert tens[1] == pytest.approx([10 * one for one in ones[1]])
    assert all(math.isnan(one) for one in mean_deviations([(b, b)])[0])  # in step: no ratio


def test_spreads_hold_on_either_side() -> None:
    sides = (
        collapses(("alpha", 1.0, "", "a"), replace(sample("a", np.full(8, 0.8)), collapsed=np.zeros(8, bool)), 0.01),
        collapses(("alpha", 1.0, "", "b"), replace(sample("b", np.full(8, 0.8)), collapsed=np.zeros(8, bool)), 0.01),
    )
    found = Finding("alpha", 3.0, 2.0, 5.0, 0.95, "", 8, 0.01, 1.0, True, False, bound=1.0, collapses=sides)
    assert not stays(SPREAD, found)
    assert stays(SPREAD, replace(found, estimate=20.0))
    lower = replace(found, estimate=0.05, supports=False, refutes=True)
    assert not stays(SPREAD, replace(lower, estimate=0.5))
    assert stays(SPREAD, lower)
    assert stays(replace(SPREAD, given="not_collapsed"), found)


def test_no_run_in_a_wave_is_no_fault() -> None:
    """Every run of the first seeds failed, and later ones are there."""
    none = sample("a", np.zeros(0))
    found = collapses(("alpha", 1.0, "", "a"), none, 1.0)
    assert (found.runs, found.upper) == (0, 1.0)
    assert math.isnan(found.cost)


def test_claims_that_can_get_no_verdict_buy_no_seeds() -> None:
    source = samples(np.full(6, 0.8), np.full(6, 0.7))
    places, none = [(["alpha"], "")], untested(BETTER, "no common scale")
    assert standing([none], places, source, {"c"}, False).settled == {"c": "without a verdict"}
    found = replace(verdict(BETTER, 0.5, "inconclusive"))
    assert standing([found], places, source, {"c"}, False).open == ("c",)
    assert standing([found], places, source, {"c"}, False, {"c"}).settled == {"c": "without a verdict"}


def test_pairs_that_never_come_are_not_waited_for() -> None:
    """With given: not_collapsed. At least six healthy pairs are needed: with none in 14, few of 16 more will be."""
    rng = np.random.default_rng(3)
    source = samples(0.8 + rng.normal(0, 0.01, 30), 0.8 + rng.normal(0, 0.01, 30))
    key = ("alpha", 1.0, "", "a")
    futile = {}
    for name, hit in (("always", np.ones(30, bool)), ("every other", np.arange(30) % 2 == 0)):
        own = source.samples | {key: replace(source.samples[key], collapsed=hit)}
        seen = [{key: one.of(range(1, n + 1)) for key, one in own.items()} for n in LOOKS[:-1]]
        made = [judge_claim(GIVEN, ["alpha"], "", replace(source, samples=one), waves(LOOKS)) for one in seen]
        futile[name] = [is_futile(one) for one in made]
    assert futile["always"] == [False, False, True, True]
    assert futile["every other"][:2] == [False, False]


def test_a_study_in_waves_that_cannot_be_read_gets_no_verdict_of_a_single_look() -> None:
    claim = {"id": "c", "says": "better", "a": "bitfit", "b": "full"}
    study = tiny_study(seeds={"looks": [6, 8], "until": "settled"}, claims=[claim])
    read = study.model_dump(mode="json", exclude_none=True)
    assert unread_looks(read) == ""
    assert "cannot read the study" in unread_looks(read | {"of_a_later_version": 1})
    fixed = read | {"seeds": 8, "of_a_later_version": 1}
    assert unread_looks(fixed) == ""
    assert "too narrow" in unread_looks(fixed | {"search": {"grid": {"confirm_seeds": {"most": 9}}}})


def test_a_study_that_was_in_waves_and_is_fixed_now_says_so() -> None:
    assert "error rate is not known" in fixed_since(verdict(BETTER, 0.01)).reason
    assert "error rate" not in fixed_since(verdict(COST, 0.01)).reason


def test_a_note_is_no_part_of_what_is_looked_at() -> None:
    claim = {"id": "c", "says": "better", "a": "bitfit", "b": "full"}
    given = [
        tiny_study(seeds={"most": 9, "until": "settled"}, claims=[one])
        for one in (claim, claim | {"note": "mended"}, claim | {"margin": 0.1})
    ]
    plain, noted, other = map(asked_of, given)
    assert plain == noted != other
    methods = {"full": {"lr": [1e-3], "resources": {"pack": 2}}, "bitfit": {"lr": [5e-3]}}
    placed = tiny_study(seeds={"most": 9, "until": "settled"}, claims=[claim], methods=methods)
    assert asked_of(placed) == plain  # nor is what its trials are given of a machine


def test_a_report_amid_waves_is_no_extension() -> None:
    record = [looks.Rendering(10, 10, "a", ""), looks.Rendering(16, 20, "b", "")]
    (said,) = looks.said(record, waves=True)
    assert said.startswith("The study was looked at while it ran")
    assert "interim analyses allow for that" in said
