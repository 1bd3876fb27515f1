"""How often a verdict is wrong, by simulation at the very border of each claim: at most about 5 % either way.

The rates stand in docs/verdicts.md; `python -m tests.analysis.claims.test_claim_error_rates` prints them again.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from finebench.analysis.claims.evidence import Source
from finebench.analysis.claims.evidence_collapse import changes
from finebench.analysis.claims.judging import judge_claim
from finebench.analysis.claims.model import Claim
from finebench.analysis.claims.verdicts import Verdict, corrected
from finebench.analysis.load.expected import Key
from finebench.analysis.statistics.design import design
from finebench.analysis.statistics.reselect import Choice
from finebench.analysis.statistics.sample import Absent, Sample
from finebench.bench.metrics import METRICS
from finebench.bench.study.parts.seeds import crossed

TASKS = ("alpha", "beta", "gamma")
MARGIN = 0.02
CONSTANT = 0.5
"""Score of the constant predictor."""

Draw = Callable[[np.random.Generator, int], tuple[Sample, Sample]]


def sample(
    name: str, entered: np.ndarray, predictions: np.ndarray | None = None, n: int = 0, seeds: np.ndarray | None = None
) -> Sample:
    """One configuration's runs; of accuracy, where there are predictions of labels that are all 1."""
    given = {} if predictions is None else {"examples": np.arange(n), "labels": np.ones(n), "predictions": predictions}
    given |= {"weighted": METRICS["accuracy"].weighted} if given else {}
    why, own = "" if given else "no predictions", np.arange(1, entered.size + 1) if seeds is None else seeds
    return Sample(name, "accuracy", own, entered, np.zeros(entered.size, bool), why=why, constant=CONSTANT, **given)


def shaped(kind: str, shift: float = 0.0, sd: float = 0.02) -> Draw:
    """Scores with heavy tails or skew, half of whose variance a seed shares between methods; or that collapse, alike
    for both, in a tenth of the runs."""

    def noise(rng: np.random.Generator, n: int) -> np.ndarray:
        if kind == "t3":
            return rng.standard_t(3, n) / np.sqrt(3)
        return 1 - rng.exponential(size=n) if kind == "skewed" else rng.normal(size=n)

    def draw(rng: np.random.Generator, seeds: int) -> tuple[Sample, Sample]:
        common = noise(rng, seeds)
        a, b = (0.8 + sd * (common + noise(rng, seeds)) / np.sqrt(2) for _ in "ab")
        if kind == "collapse":
            a, b = (np.where(rng.random(seeds) < 0.1, CONSTANT, one) for one in (a, b))
        return sample("a", a + shift), sample("b", b)

    return draw


def rarely(more: float) -> Draw:
    """a collapses in `more` of its runs, or b does; neither else."""

    def draw(rng: np.random.Generator, seeds: int) -> tuple[Sample, Sample]:
        hit, none = rng.random(seeds) < abs(more), np.zeros(seeds, bool)
        made = [sample(name, 0.8 + rng.normal(0, 0.01, seeds)) for name in "ab"]
        both = [hit, none] if more > 0 else [none, hit]
        a, b = (replace(one, collapsed=mask) for one, mask in zip(made, both, strict=True))
        return a, b

    return draw


def alike_rarely(rng: np.random.Generator, seeds: int) -> tuple[Sample, Sample]:
    """Either collapses in a third of its runs."""
    a, b = (replace(sample(name, np.full(seeds, 0.8)), collapsed=rng.random(seeds) < 1 / 3) for name in "ab")
    return a, b


def crossing(shape: tuple[int, int, int], shift: float = 0.0) -> Draw:
    """Crossed seeds of two methods, each with effects of its own of every source, and some noise."""
    codes = np.array(sorted(seed.code for seed in crossed(*shape)))
    of = design(codes)

    def scores(rng: np.random.Generator) -> np.ndarray:
        made = rng.normal(0, 0.005, codes.size)
        for number, column in zip(of.counts, of.levels.T, strict=True):
            made += rng.normal(0, 0.01, number)[column]
        return made

    def draw(rng: np.random.Generator, seeds: int) -> tuple[Sample, Sample]:
        return sample("a", 0.8 + shift + scores(rng), seeds=codes), sample("b", 0.8 + scores(rng), seeds=codes)

    return draw


def with_holes(draw: Draw, worst: float) -> Draw:
    """a lacks the `worst` share of its runs, the lowest: those that timed out on its hard seeds."""

    def drawn(rng: np.random.Generator, seeds: int) -> tuple[Sample, Sample]:
        a, b = draw(rng, seeds)
        kept = np.sort(np.argsort(a.entered)[round(worst * seeds) :])
        gone = tuple(Absent(int(seed), "timeout") for seed in np.setdiff1d(a.seeds, a.seeds[kept]))
        return replace(sample("a", a.entered[kept], seeds=a.seeds[kept]), absent=gone), b

    return drawn


def seeds_only(shift: float, ratio: float = 1.0, sd: float = 0.02) -> Draw:
    """Normal scores, half of whose variance a seed shares between methods; a is shifted and `ratio` times as wide."""

    def draw(rng: np.random.Generator, seeds: int) -> tuple[Sample, Sample]:
        shared = rng.normal(0, sd, seeds)
        a, b = ((shared + rng.normal(0, sd, seeds)) / np.sqrt(2) for _ in "ab")
        return sample("a", 0.8 + shift + ratio * a), sample("b", 0.8 + b)

    return draw


def with_examples(shift: float, n: int = 300) -> Draw:
    """Seeds and examples drawn at random: a probit model in which the population accuracies are 0.8 + shift and 0.8."""

    def draw(rng: np.random.Generator, seeds: int) -> tuple[Sample, Sample]:
        common = rng.normal(0, np.sqrt(0.5), n)
        made = []
        for name, accuracy in (("a", 0.8 + shift), ("b", 0.8)):
            latent = common + rng.normal(0, np.sqrt(0.2), n) + rng.normal(0, np.sqrt(0.02), (seeds, 1))
            latent = latent + rng.normal(0, np.sqrt(0.28), (seeds, n)) + stats.norm.ppf(accuracy)
            right = (latent > 0).astype(np.float64)
            made.append(sample(name, right.mean(axis=1), right, n))
        return made[0], made[1]

    return draw


def tuned(shift: float, a: Sequence[float], b: Sequence[float], lucky: float = 0.0, repeated: bool = True) -> Draw:
    """Each method's learning rate chosen on the seeds that score it, by a noisier select score.

    `a` and `b` are their true scores by learning rate, a's `shift` higher: with equal lists, or where all of a list are
    one number, the methods chosen differ by `shift` on average. A seed's effect is shared by the learning rates and,
    half of it, by the methods. `lucky`: sd of what a run has by luck in its select score and its score at once.
    `repeated` False: the verdict is not told that there was a choice.
    """

    def draw(rng: np.random.Generator, seeds: int) -> tuple[Sample, Sample]:
        shared, made = rng.normal(0, 0.01, seeds), []
        for name, given, more in (("a", a, shift), ("b", b, 0.0)):
            true = np.array(given)[:, None] + more + shared + rng.normal(0, 0.01, seeds)
            true = true + rng.normal(0, lucky, true.shape)
            scores, select = true + rng.normal(0, 0.01, true.shape), true + rng.normal(0, 0.03, true.shape)
            best = int(select.mean(axis=1).argmax())
            one, choice = sample(name, scores[best]), Choice(select, scores, best)
            made.append(replace(one, choice=choice) if repeated and len(given) > 1 else one)
        return made[0], made[1]

    return draw


def verdict(claim: Claim, rng: np.random.Generator, draw: Draw, seeds: int, tasks: Sequence[str]) -> Verdict:
    """One simulated study's verdict on one claim, before correction over claims."""
    samples: dict[Key, Sample] = {}
    for task in tasks:
        for name, one in zip("ab", draw(rng, seeds), strict=True):
            samples[task, 1.0, "", name] = one
    return judged(claim, tasks, Source(samples, {}, pd.DataFrame(), {}, 1.0, {}))


def judged(claim: Claim, tasks: Sequence[str], source: Source) -> Verdict:
    return judge_claim(claim, list(tasks), "", source)


def rates(claim: Claim, draw: Draw, seeds: int, tasks: Sequence[str], times: int) -> tuple[float, float]:
    """Shares of `times` simulated studies that call the claim supported, and refuted."""
    rng = np.random.default_rng(seeds + len(tasks))
    made = [corrected([verdict(claim, rng, draw, seeds, tasks)])[0].verdict for _ in range(times)]
    return made.count("supported") / times, made.count("refuted") / times


MATCHES = Claim("c", "matches", "a", "b", margin=MARGIN)
WIDE = Claim("c", "matches", "a", "b", margin=0.08)  # 300 examples cannot tell less apart
BETTER = Claim("c", "better", "a", "b")
SPREAD = Claim("c", "varies_more", "a", "b")
RARE = Claim("c", "collapses_more", "a", "b")
POOLED = {"matches": Claim("c", "matches", "a", "b", margin=MARGIN, tasks="pooled"),
          "better": Claim("c", "better", "a", "b", tasks="pooled"),
          "varies_more": Claim("c", "varies_more", "a", "b", tasks="pooled")}  # fmt: skip

CLOSE, EQUAL = (0.80, 0.79, 0.78), (0.80, 0.80, 0.80)
"""True scores by learning rate: the choice wavers, and costs something; it wavers, and costs nothing."""

BORDERS: list[tuple[str, Claim, Draw, Sequence[str], int]] = [
    # (which verdict would be wrong, claim, truth at the border, tasks, simulated studies)
    ("supported", MATCHES, seeds_only(MARGIN), TASKS[:1], 1500),
    ("supported", MATCHES, seeds_only(-MARGIN, sd=0.005), TASKS[:1], 1500),
    ("supported", POOLED["matches"], seeds_only(MARGIN, sd=0.01), TASKS, 1500),
    ("refuted", MATCHES, seeds_only(MARGIN), TASKS[:1], 1500),
    ("refuted", MATCHES, seeds_only(MARGIN), TASKS, 1500),
    ("supported", BETTER, seeds_only(0.0), TASKS[:1], 1500),
    ("refuted", BETTER, seeds_only(0.0), TASKS[:1], 1500),
    ("refuted", BETTER, seeds_only(0.0), TASKS, 1500),
    ("supported", POOLED["better"], seeds_only(0.0), TASKS, 1500),
    ("supported", SPREAD, seeds_only(0.0), TASKS[:1], 1500),
    ("refuted", SPREAD, seeds_only(0.0), TASKS, 1500),
    ("supported", POOLED["varies_more"], seeds_only(0.0), TASKS, 1500),
    ("supported", SPREAD, shaped("t3"), TASKS[:1], 1500),
    ("refuted", SPREAD, shaped("skewed"), TASKS[:1], 1500),
    ("supported", SPREAD, shaped("collapse"), TASKS[:1], 1500),
    ("supported", BETTER, shaped("t3"), TASKS[:1], 1500),
    ("supported", BETTER, shaped("skewed"), TASKS[:1], 1500),
    ("supported", BETTER, shaped("collapse"), TASKS[:1], 1500),
    ("refuted", MATCHES, shaped("skewed", MARGIN), TASKS[:1], 1500),
    ("supported", BETTER, crossing((3, 3, 3)), TASKS[:1], 1500),
    ("supported", BETTER, crossing((3, 3, 2)), TASKS[:1], 500),
    ("refuted", BETTER, crossing((5, 5, 5)), TASKS[:1], 1500),
    ("supported", MATCHES, crossing((5, 3, 3), MARGIN), TASKS[:1], 1500),
    ("supported", BETTER, with_holes(seeds_only(0.0), 0.3), TASKS[:1], 1500),
    ("supported", MATCHES, with_holes(seeds_only(-MARGIN), 0.3), TASKS[:1], 1500),
    ("supported", RARE, alike_rarely, TASKS[:1], 1500),
    ("refuted", RARE, alike_rarely, TASKS[:1], 1500),
    ("supported", WIDE, with_examples(-0.08), TASKS[:1], 600),
    ("supported", BETTER, with_examples(0.0), TASKS[:1], 600),
    ("refuted", BETTER, with_examples(0.0), TASKS[:1], 600),
    ("supported", MATCHES, tuned(MARGIN, CLOSE, CLOSE), TASKS[:1], 1500),
    ("refuted", MATCHES, tuned(MARGIN, CLOSE, CLOSE), TASKS[:1], 1500),
    ("supported", BETTER, tuned(0.0, CLOSE, CLOSE), TASKS[:1], 1500),
    ("refuted", BETTER, tuned(0.0, CLOSE, CLOSE), TASKS[:1], 1500),
    ("supported", MATCHES, tuned(-MARGIN, EQUAL, EQUAL[:1]), TASKS[:1], 1500),
    ("supported", BETTER, tuned(0.0, EQUAL, EQUAL[:1], lucky=0.02), TASKS[:1], 1500),
    ("refuted", MATCHES, tuned(MARGIN, EQUAL, EQUAL[:1], lucky=0.02), TASKS[:1], 1500),
]

UNTOLD = [  # the same border where the verdict is not told of the choice: what repeating it is for
    ("supported", MATCHES, tuned(MARGIN, CLOSE, CLOSE, repeated=False), TASKS[:1], 1500),
    ("refuted", MATCHES, tuned(MARGIN, CLOSE, CLOSE, repeated=False), TASKS[:1], 1500),
    ("supported", BETTER, tuned(0.0, CLOSE, CLOSE, repeated=False), TASKS[:1], 1500),
]


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [6, 10])
@pytest.mark.parametrize("border", range(len(BORDERS)))
def test_wrong_verdicts_at_the_border_are_rare(border: int, seeds: int) -> None:
    wrong, claim, draw, tasks, times = BORDERS[border]
    supported, refuted = rates(claim, draw, seeds, tasks, times)
    rate = supported if wrong == "supported" else refuted
    assert rate <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / times)


def same_seeds(claim: Claim, seeds: int, share: float, times: int) -> float:
    """How often a false claim pooled over three tasks is supported where `share` of a seed's variance is common to
    them."""
    rng, wrong = np.random.default_rng(3), 0
    for _ in range(times):
        common, samples = rng.normal(0, np.sqrt(share), seeds), {}
        for task in TASKS:
            moved = common + rng.normal(0, np.sqrt(1 - share), seeds)
            samples[task, 1.0, "", "a"] = sample("a", 0.8 + 0.02 * moved)
            samples[task, 1.0, "", "b"] = sample("b", np.full(seeds, 0.8))
        source = Source(samples, {}, pd.DataFrame(), {}, 1.0, {})
        wrong += corrected([judged(claim, TASKS, source)])[0].verdict == "supported"
    return wrong / times


GIVEN = Claim("c", "better", "a", "b", given="not_collapsed")


def rare_collapse(ahead: float) -> Draw:
    """a collapses in a tenth of its runs, at a cost of 15 sd; in the others it is `ahead`."""

    def draw(rng: np.random.Generator, seeds: int) -> tuple[Sample, Sample]:
        a, b = seeds_only(ahead)(rng, seeds)
        hit = rng.random(seeds) < 0.1
        return replace(a, entered=np.where(hit, CONSTANT, a.entered), collapsed=hit), b

    return draw


def unforeseen(seeds: int, times: int) -> tuple[float, float, float]:
    """Of two methods with equal means, one of which collapses in a tenth of its runs: how often it is called better, in
    which share of those studies the verdict names a rate of collapse that the runs do not exclude, and how often
    `given: not_collapsed` is wrong where the runs that did not collapse are alike.
    """
    rng, wrong, told = np.random.default_rng(seeds), 0, 0
    for _ in range(times):
        made = verdict(BETTER, rng, rare_collapse(0.1 * (0.8 - CONSTANT) / 0.9), seeds, TASKS[:1])
        if made.verdict == "supported":
            wrong += 1
            told += changes(BETTER, made.findings[0], "supported")[0] < made.findings[0].collapses[0].upper
    return wrong / times, told / max(1, wrong), rates(GIVEN, rare_collapse(0.0), seeds, TASKS[:1], times)[0]


@pytest.mark.parametrize("seeds", [6, 10])
def test_a_rare_collapse_is_in_no_interval_and_the_verdict_says_so(seeds: int) -> None:
    wrong, told, given = unforeseen(seeds, 300)
    assert wrong > 0.1  # most such studies see no collapse
    assert told == 1.0
    assert given <= 0.025 + 2.6 * np.sqrt(0.025 * 0.975 / 300)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_tasks_that_share_the_seed_are_no_independent_pairs(share: float) -> None:
    assert same_seeds(POOLED["better"], 6, share, 600) <= 0.025 + 2.6 * np.sqrt(0.025 * 0.975 / 600)


@pytest.mark.slow
@pytest.mark.parametrize("wrong", UNTOLD, ids=lambda one: f"{one[1].says}-{one[0]}")
def test_without_repeating_the_choice_they_are_not(wrong: tuple[str, Claim, Draw, Sequence[str], int]) -> None:
    word, claim, draw, tasks, _ = wrong
    assert rates(claim, draw, 6, tasks, 600)[word == "refuted"] > 0.05


def test_a_choice_repeated_widens_a_verdicts_interval() -> None:
    """The long tests' ground in one study: the same draws, told of the choice and not."""
    told, untold = (
        verdict(MATCHES, np.random.default_rng(2), tuned(0.0, CLOSE, CLOSE, repeated=told), 6, TASKS[:1]).findings[0]
        for told in (True, False)
    )
    assert told.estimate == untold.estimate
    assert told.high - told.low > untold.high - untold.low
    assert (told.test.endswith("choice repeated"), "choice" in untold.test) == (True, False)
    assert told.p >= untold.p


@pytest.mark.slow
def test_true_and_false_claims_are_found_out() -> None:
    for claim, true, false in (
        (MATCHES, seeds_only(0.0, sd=0.01), seeds_only(0.05, sd=0.01)),
        (BETTER, seeds_only(0.03), seeds_only(-0.03)),
        (SPREAD, seeds_only(0.0, 6.0), seeds_only(0.0, 1 / 6)),
        (BETTER, crossing((5, 5, 5), 0.05), crossing((5, 5, 5), -0.05)),
        (RARE, rarely(0.9), rarely(-0.9)),
    ):
        assert rates(claim, true, 10, TASKS[:1], 300)[0] > 0.8
        assert rates(claim, false, 10, TASKS[:1], 300)[1] > 0.8


@pytest.mark.slow
@pytest.mark.parametrize("claims", [5, 10])
def test_a_study_of_many_false_claims_supports_any_in_one_of_twenty(claims: int) -> None:
    rng = np.random.default_rng(claims)
    draw, times, hits, raw = seeds_only(0.0), 1000, 0, 0
    for _ in range(times):
        alone = [verdict(BETTER, rng, draw, 8, TASKS[:1]) for _ in range(claims)]
        raw += any(one.verdict == "supported" for one in alone)
        hits += any(one.verdict == "supported" for one in corrected(alone))
    assert hits / times <= 0.05 + 2.6 * np.sqrt(0.05 * 0.95 / times)
    assert raw / times > 0.08  # what it would be without correction


def main() -> None:
    """Print every rate."""
    for told, borders in ((True, BORDERS), (False, UNTOLD)):
        for wrong, claim, draw, tasks, times in borders:
            found = [
                f"{rates(claim, draw, s, tasks, times)[wrong == 'refuted']:.3f}"
                for s in (8 if claim.says == "varies_more" else 6, 10)
            ]
            noise = draw.__qualname__.split(".")[0] + ("" if told else ", choice left out")
            print(f"{claim.says:14} {claim.tasks:7} {len(tasks)} tasks {noise:25} {wrong:9}", *found, flush=True)
    for seeds in (6, 10, 20):
        wrong_rate, told_rate, given = unforeseen(seeds, 1500)
        print(f"rare collapse, {seeds} seeds: {wrong_rate:.3f}, told {told_rate:.3f}, given: {given:.3f}", flush=True)
    for share in (0.0, 0.1, 0.5):
        found = [f"{same_seeds(POOLED['better'], seeds, share, 1500):.3f}" for seeds in (6, 10)]
        print(f"better pooled, {share:.0%} of a seed's variance common to the tasks", *found, flush=True)


if __name__ == "__main__":
    main()
