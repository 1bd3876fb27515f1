"""How often a verdict of several looks is wrong, over the whole path, at the border of each claim; what looking costs.

The rates stand in docs/verdicts.md; `python -m tests.analysis.claims.test_sequential_error_rates` prints them again.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from finebench.analysis.claims.evidence import Source
from finebench.analysis.claims.judging import LookSchedule, judge_claim
from finebench.analysis.claims.model import Claim
from finebench.analysis.claims.standing import is_futile
from finebench.analysis.claims.verdicts import Verdict, corrected
from finebench.analysis.statistics.group_sequential import Levels
from finebench.analysis.statistics.interim import median_unbiased
from finebench.analysis.statistics.sample import Absent
from tests.analysis.claims.test_claim_error_rates import (
    BETTER,
    GIVEN,
    MARGIN,
    MATCHES,
    POOLED,
    RARE,
    SPREAD,
    TASKS,
    WIDE,
    Draw,
    alike_rarely,
    rare_collapse,
    sample,
    seeds_only,
    shaped,
    with_examples,
    with_holes,
)  # fmt: skip

LOOKS = (6, 9, 14, 21, 30)
OF_SPREAD = (8, 11, 15, 21, 30)


def waves(looks: Sequence[int]) -> LookSchedule:
    return LookSchedule(tuple(range(1, looks[-1] + 1)), Levels(tuple(looks)))


def drawn(draw: Draw, rng: np.random.Generator, seeds: int, tasks: Sequence[str]) -> Source:
    samples = {}
    for task in tasks:
        for name, one in zip("ab", draw(rng, seeds), strict=True):
            samples[task, 1.0, "", name] = one
    return Source(samples, {}, pd.DataFrame({"seed": []}), {}, 1.0, {})


def followed(claim: Claim, draw: Draw, rng: np.random.Generator, looks: Sequence[int], tasks: Sequence[str]) -> Verdict:
    source = drawn(draw, rng, looks[-1], tasks)
    return corrected([judge_claim(claim, list(tasks), "", source, waves(looks))])[0]


def used(one: Verdict, looks: Sequence[int]) -> int:
    """Seeds after which the study could stop: all of the claim's tasks decided, or one refuted."""
    ends = [next((s.look for s in f.path if s.supports or s.refutes), len(looks) - 1) for f in one.findings]
    return looks[max(ends)] if one.verdict == "supported" else looks[min(ends)]


BORDERS: list[tuple[str, Claim, Draw, Sequence[str], Sequence[int]]] = [
    ("supported", MATCHES, seeds_only(MARGIN), TASKS[:1], LOOKS),
    ("supported", MATCHES, seeds_only(-MARGIN, sd=0.005), TASKS[:1], LOOKS),
    ("refuted", MATCHES, seeds_only(MARGIN), TASKS[:1], LOOKS),
    ("refuted", MATCHES, seeds_only(MARGIN), TASKS, LOOKS),
    ("supported", BETTER, seeds_only(0.0), TASKS[:1], LOOKS),
    ("refuted", BETTER, seeds_only(0.0), TASKS[:1], LOOKS),
    ("refuted", BETTER, seeds_only(0.0), TASKS, LOOKS),
    ("supported", POOLED["matches"], seeds_only(MARGIN, sd=0.01), TASKS, LOOKS),
    ("supported", POOLED["better"], seeds_only(0.0), TASKS, LOOKS),
    ("supported", BETTER, shaped("t3"), TASKS[:1], LOOKS),
    ("supported", BETTER, shaped("skewed"), TASKS[:1], LOOKS),
    ("refuted", MATCHES, shaped("skewed", MARGIN), TASKS[:1], LOOKS),
    ("supported", BETTER, shaped("collapse"), TASKS[:1], LOOKS),
    ("supported", GIVEN, rare_collapse(0.0), TASKS[:1], LOOKS),
    ("supported", SPREAD, seeds_only(0.0), TASKS[:1], OF_SPREAD),
    ("refuted", SPREAD, shaped("t3"), TASKS[:1], OF_SPREAD),
    ("supported", SPREAD, shaped("collapse"), TASKS[:1], OF_SPREAD),
    ("supported", RARE, alike_rarely, TASKS[:1], LOOKS),
    ("supported", BETTER, with_holes(seeds_only(0.0), 0.3), TASKS[:1], LOOKS),
    ("supported", WIDE, with_examples(-0.08), TASKS[:1], LOOKS),
    ("supported", BETTER, with_examples(0.0), TASKS[:1], LOOKS),
]


def rate(border: int, times: int) -> float:
    """The share of `times` simulated studies that end with the wrong verdict."""
    wrong, claim, draw, tasks, looks = BORDERS[border]
    rng = np.random.default_rng(border)
    return sum(followed(claim, draw, rng, looks, tasks).verdict == wrong for _ in range(times)) / times


def bound(level: float, times: int) -> float:
    return level + 2.6 * float(np.sqrt(level * (1 - level) / times))


@pytest.mark.slow
@pytest.mark.parametrize("border", range(len(BORDERS)))
def test_wrong_verdicts_over_the_whole_path_are_rare(border: int) -> None:
    one_sided = BORDERS[border][1].says == "matches" and BORDERS[border][0] == "supported"
    assert rate(border, 1000) <= bound(0.05 if one_sided else 0.025, 1000)


def test_a_false_claim_that_is_looked_at_five_times_errs_as_one_that_is_looked_at_once() -> None:
    assert rate(4, 200) <= bound(0.025, 200)


def test_looking_without_correction_would_err_more_often() -> None:
    """What the levels are for: the same studies, each look judged as if it were the only one."""
    rng, wrong = np.random.default_rng(4), 0
    for _ in range(300):
        source = drawn(seeds_only(0.0), rng, LOOKS[-1], TASKS[:1])
        single = [replace(source, samples={k: v.of(range(1, n + 1)) for k, v in source.samples.items()}) for n in LOOKS]
        wrong += any(judge_claim(BETTER, list(TASKS[:1]), "", one).verdict == "supported" for one in single)
    assert wrong / 300 > 0.04  # 7 % in the long run, one-sided; 2.5 % is nominal


def collapsing(times: int, cost: float) -> tuple[float, float]:
    """Of two methods with equal means, one collapsing in a tenth of its runs at a cost of `cost` sd: how often it is
    called better over the path, and the mean number of seeds used."""
    constant = 0.8 - cost * 0.02
    rng, wrong, seeds = np.random.default_rng(11), 0, 0
    for _ in range(times):
        a, b = seeds_only(0.1 * (0.8 - constant) / 0.9)(rng, LOOKS[-1])
        hit = rng.random(LOOKS[-1]) < 0.1
        a = replace(a, entered=np.where(hit, constant, a.entered), collapsed=hit, constant=constant)
        samples = {(TASKS[0], 1.0, "", "a"): a, (TASKS[0], 1.0, "", "b"): replace(b, constant=constant)}
        source = Source(samples, {}, pd.DataFrame({"seed": []}), {}, 1.0, {})
        made = corrected([judge_claim(BETTER, list(TASKS[:1]), "", source, waves(LOOKS))])[0]
        wrong += made.verdict == "supported"
        seeds += used(made, LOOKS)
    return wrong / times, seeds / times


def test_no_look_decides_what_a_rate_of_collapse_could_undo() -> None:
    wrong, _ = collapsing(150, 15.0)
    assert wrong <= bound(0.06, 150)  # 39 % where looks decide by their intervals alone; at 30 seeds alone, 3 to 9 %


def test_collapses_that_cost_little_do_not_keep_a_clear_claim_waiting() -> None:
    source = drawn(seeds_only(0.06), np.random.default_rng(1), LOOKS[-1], TASKS[:1])
    held = {key: replace(one, constant=0.76) for key, one in source.samples.items()}
    made = judge_claim(BETTER, list(TASKS[:1]), "", replace(source, samples=held), waves(LOOKS))
    assert (made.verdict, used(made, LOOKS) < LOOKS[-1]) == ("supported", True)


def family(times: int) -> float:
    """The share of studies of eight false claims at their border in which any is supported."""
    claims = [replace(BETTER, id=str(number)) for number in range(8)]
    rng, wrong = np.random.default_rng(5), 0
    for _ in range(times):
        made = [judge_claim(one, list(TASKS[:1]), "", drawn(seeds_only(0.0), rng, 30, TASKS[:1]), waves(LOOKS))
                for one in claims]  # fmt: skip
        wrong += any(one.verdict == "supported" for one in corrected(made))
    return wrong / times


@pytest.mark.slow
def test_eight_false_claims_are_rarely_supported() -> None:
    assert family(400) <= bound(0.05, 400)


def test_a_claim_that_nothing_could_test_yet_counts_in_the_correction() -> None:
    """Holm's correction is over all claims from the first look on: one that is tested only later takes no verdict
    back."""
    rng = np.random.default_rng(16)
    shown = judge_claim(BETTER, list(TASKS[:1]), "", drawn(seeds_only(0.009), rng, 30, TASKS[:1]), waves(LOOKS))
    assert 0.02 < shown.p < 0.05
    none = judge_claim(RARE, list(TASKS[:1]), "", drawn(seeds_only(0.0), rng, 30, TASKS[:1]), waves(LOOKS))
    assert np.isnan(none.p)
    assert corrected([shown])[0].verdict == "supported"
    both = corrected([shown, none], {"c"})
    assert both[0].verdict == "inconclusive"
    assert both[0].p_adjusted == pytest.approx(2 * shown.p)
    assert np.isnan(both[1].p_adjusted)


def test_a_look_sees_nothing_of_later_seeds() -> None:
    """A path is the same whether later waves are there or not."""
    source = drawn(with_holes(seeds_only(0.02), 0.1), np.random.default_rng(2), 30, TASKS)
    whole = judge_claim(MATCHES, list(TASKS), "", source, waves(LOOKS))
    for number, seeds in enumerate(LOOKS, start=1):
        part = replace(source, samples={k: v.of(range(1, seeds + 1)) for k, v in source.samples.items()})
        made = judge_claim(MATCHES, list(TASKS), "", part, waves(LOOKS))
        for ours, theirs in zip(made.findings, whole.findings, strict=True):
            assert ours.path == theirs.path[:number]


def test_an_incomplete_wave_is_not_looked_at() -> None:
    source = drawn(seeds_only(0.5), np.random.default_rng(2), 9, TASKS[:1])
    key = (TASKS[0], 1.0, "", "a")
    gap = source.samples[key].of([1, 2, 3, 4, 5, 6, 7, 9])
    for why, looks in (("not run", 1), ("timeout", 2)):
        lacking = replace(source, samples=source.samples | {key: replace(gap, absent=(Absent(8, why),))})
        made = judge_claim(BETTER, list(TASKS[:1]), "", lacking, waves(LOOKS))
        assert len(made.findings[0].path) == looks
    none = replace(source, samples={k: v.of(range(1, 6)) for k, v in source.samples.items()})
    made = judge_claim(BETTER, list(TASKS[:1]), "", none, waves(LOOKS))
    assert (made.verdict, made.reason) == (
        "inconclusive",
        "its first interim analysis is at 6 seeds, which have not all ended",
    )


def test_a_failed_run_has_ended_also_where_the_plan_no_longer_names_its_seed() -> None:
    source = drawn(seeds_only(0.5), np.random.default_rng(2), 9, TASKS[:1])
    key = (TASKS[0], 1.0, "", "a")
    gap = source.samples[key].of([1, 2, 4, 5, 6, 7, 8, 9])
    row = {"task": TASKS[0], "fraction": 1.0, "budget": "", "method": "a", "stage": "", "configuration": "", "seed": 3}
    failed = replace(source, samples=source.samples | {key: gap}, runs=pd.DataFrame([row]))
    made = judge_claim(BETTER, list(TASKS[:1]), "", failed, waves(LOOKS))
    assert [step.pairs for step in made.findings[0].path] == [5, 8]


def test_what_a_look_decided_stands() -> None:
    """A claim that was supported stays so where later seeds would widen its interval over the bound."""
    rng = np.random.default_rng(3)
    early, late = 0.85 + rng.normal(0, 0.002, 6), 0.80 + rng.normal(0, 0.05, 24)
    a = replace(sample("a", np.concatenate([early, late])), constant=0.79)
    b = replace(sample("b", np.full(30, 0.8) + rng.normal(0, 0.002, 30)), constant=0.79)
    samples = {(TASKS[0], 1.0, "", one.name): one for one in (a, b)}
    source = Source(samples, {}, pd.DataFrame({"seed": []}), {}, 1.0, {})
    made = judge_claim(BETTER, list(TASKS[:1]), "", source, waves(LOOKS))
    assert (made.verdict, made.findings[0].pairs) == ("supported", 6)
    assert len(made.findings[0].path) == 5
    assert not made.findings[0].path[-1].supports


def test_a_claim_that_no_later_look_can_decide_is_told_so() -> None:
    """A difference that lies on the margin, with half of its noise in the examples, is decided neither way."""
    assert is_futile(futility(0.02))
    assert not is_futile(futility(0.0))
    assert not is_futile(futility(0.06))


@pytest.mark.parametrize("collapsed", [False, True])
def test_collapses_that_do_not_come_are_not_waited_for(collapsed: bool) -> None:
    """With none in 14 pairs, 16 more show the six that a verdict takes in fewer than a tenth of studies; where every
    third of a's runs collapses, the verdict comes."""
    a, b = seeds_only(0.0)(np.random.default_rng(1), LOOKS[-1])
    hit = np.arange(LOOKS[-1]) % 3 == 0 if collapsed else np.zeros(LOOKS[-1], bool)
    samples = {(TASKS[0], 1.0, "", "a"): replace(a, collapsed=hit), (TASKS[0], 1.0, "", "b"): b}
    source = Source(samples, {}, pd.DataFrame({"seed": []}), {}, 1.0, {})
    futile = []
    for seeds in LOOKS[:-1]:
        part = replace(source, samples={k: v.of(range(1, seeds + 1)) for k, v in samples.items()})
        futile.append(is_futile(judge_claim(RARE, list(TASKS[:1]), "", part, waves(LOOKS))))
    assert futile == ([False, False, True, True] if not collapsed else [False] * 4)
    assert judge_claim(RARE, list(TASKS[:1]), "", source, waves(LOOKS)).verdict == (
        "supported" if collapsed else "inconclusive"
    )


def test_spreads_that_no_later_look_can_tell_apart_are_not_waited_for() -> None:
    rng = np.random.default_rng(3)
    futile = [is_futile(judge_claim(SPREAD, list(TASKS[:1]), "", spread_alike(rng), waves(OF_SPREAD)))
              for _ in range(60)]  # fmt: skip
    assert 0 < sum(futile) < 60


def spread_alike(rng: np.random.Generator) -> Source:
    """Twenty-one pairs of methods that vary alike."""
    return drawn(seeds_only(0.0), rng, 21, TASKS[:1])


def futility(difference: float) -> Verdict:
    rng = np.random.default_rng(8)
    noise = rng.normal(0, 1, 21)
    noise = 0.004 * (noise - noise.mean()) / noise.std(ddof=1)
    pair = {"a": sample("a", 0.8 + difference + noise), "b": sample("b", np.full(21, 0.8))}
    samples = {(TASKS[0], 1.0, "", name): one for name, one in pair.items()}
    return judge_claim(MATCHES, list(TASKS[:1]), "", Source(samples, {}, pd.DataFrame({"seed": []}), {}, 1.0, {}),
                       waves(LOOKS))  # fmt: skip


@pytest.mark.parametrize(
    ("look", "t", "mute"), [(0, 5.5, ()), (1, 4.2, ()), (2, -3.4, ()), (4, 1.0, ()), (2, 8.0, (0, 1)), (2, -8.0, (1,))]
)
def test_half_of_the_studies_at_the_median_unbiased_estimate_go_further(
    look: int, t: float, mute: tuple[int, ...]
) -> None:
    """`mute` looks stop no study: what they held up is no further out for having come so late."""
    levels = Levels(LOOKS)
    found = median_unbiased(levels, look, t, mute)
    assert abs(found) < abs(t) / np.sqrt(LOOKS[look]) or look == len(LOOKS) - 1  # an early stop is too far out
    rng, sign, further, times = np.random.default_rng(9), np.sign(t), 0, 2_000
    values = rng.normal(abs(found), 1.0, (times, LOOKS[look]))
    for row in values:
        for number, seeds in enumerate(LOOKS[: look + 1]):
            seen = float(row[:seeds].mean() / row[:seeds].std(ddof=1) * np.sqrt(seeds))
            if number in mute:
                continue
            edge = levels.critical(number, 0.05) if number < look else sign * t
            if seen >= edge:
                further += 1
                break
            if number < look and seen <= -edge:
                break
    assert further / times == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(times))


def main(times: int = 2000) -> None:
    print("| claim | wrong verdict | tasks | over the path |\n|---|---|---:|---:|")
    for number, (wrong, claim, _, tasks, _) in enumerate(BORDERS):
        named = f"{number}: {claim.says} {claim.tasks} {claim.given}"
        print(f"| {named} | {wrong} | {len(tasks)} | {rate(number, times):.1%} |")
    for cost in (15.0, 4.0):
        wrong, seeds = collapsing(times // 2, cost)
        print(f"a collapses in a tenth, costing {cost:g} sd: wrongly better {wrong:.1%}, {seeds:.1f} seeds")
    print(f"eight false claims, any supported: {family(times // 4):.1%}")


if __name__ == "__main__":
    main()
