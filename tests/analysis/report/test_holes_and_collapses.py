"""Verdicts where runs are missing, collapse, or stand twice: what a report may say of them, and what it must."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.report.write import write_report
from finebench.analysis.scores.samples import Samples
from finebench.bench.study.parts.seeds import crossed
from finebench.bench.util.errors import ResultsError
from tests.analysis.claim_folder import drawn
from tests.analysis.claims.test_claims import judged
from tests.analysis.fixtures import Folder, empty

BETTER = {"id": "c", "says": "better", "a": "a", "b": "b"}


def two(path: Path, claim: dict[str, Any], seeds: int = 20, **given: Any) -> Folder:
    """Two methods, a ahead by 0.05; constant predictor 0.5."""
    return drawn(path, {"a": {"mean": 0.85}, "b": {"mean": 0.8}}, [BETTER | claim], seeds=seeds, **given)


def lose(folder: Folder, method: str, seeds: range, status: str = "timeout") -> None:
    for row in folder.rows["trials"]:
        if row["method"] == method and row["seed"] in seeds:
            row.update(status=status, score=None, select_score=None, reason=status)


def test_a_method_that_timed_out_on_its_hard_seeds_is_not_better(tmp_path: Path) -> None:
    folder = two(tmp_path, {})
    lose(folder, "a", range(11, 21))
    made = judged(folder)["c"]
    assert made["verdict"] == "inconclusive"
    assert made["missing"].startswith("a on alpha lacks seed 11 (timeout), seed 12 (timeout)")
    assert made["reason"].startswith(
        "runs are missing, and with each at the constant predictor's score it would not be"
    )
    assert made["filled"]["verdict"] == "refuted"
    assert made["next"]["command"].startswith("finebench run ")


def test_holes_that_change_nothing_are_said_and_change_nothing(tmp_path: Path) -> None:
    folder = two(tmp_path, {})
    lose(folder, "b", range(3, 5), "oom")  # at the constant predictor's score a is farther ahead
    made = judged(folder)["c"]
    assert made["verdict"] == "supported"
    assert made["reason"].endswith(
        "it comes out alike where each missing run counts as the constant predictor: b on alpha lacks seed 3 (oom), "
        "seed 4 (oom)"
    )
    assert made["filled"]["estimate"] > made["estimate"]


def test_runs_that_no_method_has_made_yet_leave_a_claim_open(tmp_path: Path) -> None:
    folder = two(tmp_path, {"says": "better"}, seeds=8)
    folder.plan("alpha", "a", 1.0, 20, 1)
    folder.plan("alpha", "b", 1.0, 20, 1)
    made = judged(folder)["c"]
    assert (made["verdict"], made["missing"]) == (
        "supported",
        "a on alpha lacks 12 not run; b on alpha lacks 12 not run",
    )


def test_costs_of_runs_that_are_missing_are_not_known(tmp_path: Path) -> None:
    folder = two(tmp_path, {"says": "cheaper", "factor": 1.5})
    for row in folder.rows["trials"]:
        row["train_seconds"] *= 0.2 if row["method"] == "a" else 1
    assert judged(folder)["c"]["verdict"] == "supported"
    lose(folder, "a", range(19, 21))
    assert judged(folder)["c"]["verdict"] == "inconclusive"
    counted = two(tmp_path / "counted", {"says": "cheaper", "factor": 1, "cost": "trainable_params"})
    lose(counted, "a", range(19, 21))
    assert judged(counted)["c"]["verdict"] == "supported"  # a count is the same in every run


def test_beside_a_verdict_stand_the_collapses_and_the_rate_at_which_it_would_change(tmp_path: Path) -> None:
    made = judged(two(tmp_path, {}, seeds=6))["c"]
    assert made["verdict"] == "supported"
    a, b = made["collapses"]
    assert (a["method"], a["collapsed"], a["runs"]) == ("a", 0, 6)
    assert a["upper"] == pytest.approx(1 - 0.05 ** (1 / 6))
    cost = 0.85 - 0.5
    assert a["changes_at"] == pytest.approx(made["low"] / cost, abs=0.02)
    assert (a["excluded"], b["changes_at"]) == (False, None)  # b's collapses would only make a better
    page = write_report(str(tmp_path))
    text = (tmp_path / "report/report.md").read_text("utf-8")
    assert "The verdict holds unless a collapses in more than" in text
    assert "which these runs do not exclude" in text
    assert page.verdicts[0]["look"] == 1


def test_a_claim_may_be_restricted_to_the_runs_that_did_not_collapse(tmp_path: Path) -> None:
    folder = two(tmp_path, {}, seeds=12)
    for row in folder.rows["trials"]:
        if row["method"] == "a" and row["seed"] in (2, 5):
            row["score"] = 0.5
    whole = judged(folder)["c"]
    folder.study["claims"][0]["given"] = "not_collapsed"
    made = judged(folder)["c"]
    assert (whole["pairs"], made["pairs"]) == (12, 10)
    assert made["verdict"] == "supported"
    assert made["statement"].endswith("in the pairs in which neither collapsed")
    assert [(row["collapsed"], row["changes_at"]) for row in made["collapses"]] == [(2, None), (0, None)]
    lose(folder, "a", range(8, 11))  # a restricted claim does not leave out what is missing
    assert judged(folder)["c"]["verdict"] == "inconclusive"


@pytest.mark.parametrize(("hits", "verdict"), [(7, "supported"), (4, "inconclusive"), (0, "inconclusive")])
def test_which_collapses_more_is_an_exact_test(tmp_path: Path, hits: int, verdict: str) -> None:
    folder = two(tmp_path, {"says": "collapses_more"})
    for row in folder.rows["trials"]:
        if row["method"] == "a" and row["seed"] <= hits:
            row["score"] = 0.4
    made = judged(folder)["c"]
    assert made["verdict"] == verdict
    if hits:
        assert made["p"] == pytest.approx(min(1.0, 2 * 0.5**hits))
        assert made["estimate"] == 1.0
    else:
        assert made["reason"].startswith("no pair in which one method collapsed")
    folder.study["claims"][0] |= {"a": "b", "b": "a"}
    assert judged(folder)["c"]["verdict"] == {"supported": "refuted"}.get(verdict, verdict)


def test_a_collapse_onto_the_wrong_class_earns_no_more_than_it_scored(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed, score in ((1, 0.0), (2, 0.9)):
        trial = folder.add(seed=seed, metric="f1", score=score, majority_score=0.829)
        folder.predict(trial, [0.0] * 8 if seed == 1 else [0, 1] * 4)
    table = runs(load_results(folder.write())).sort_values("seed")
    assert table["entered"].tolist() == [0.0, 0.9]
    assert table["collapsed"].tolist() == [True, False]


def test_two_results_of_one_seed_and_configuration_are_refused(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    for seed in (1, 2):
        folder.add(seed=seed)
    folder.add(seed=2, model="other", score=0.3, budget=folder.rows["trials"][0]["budget"])
    folder.rows["trials"][-1]["trial_id"] = "f" * 20
    with pytest.raises(ResultsError, match="differ in model tiny and other"):
        runs(load_results(folder.write()))


def test_one_trial_without_predictions_does_not_drop_the_examples_noise(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    rng = np.random.default_rng(0)
    for seed in range(1, 7):
        wrong = rng.random(40) < 0.2
        trial = folder.add(seed=seed, score=float(1 - wrong.mean()))
        if seed != 4:
            folder.predict(trial, ((np.arange(40) % 2) ^ wrong).tolist())
    results = load_results(folder.write())
    table = runs(results)
    (sample,) = Samples(results, table, Expectation(None, table)).values()
    assert sample.n_examples == 40
    assert sample.unknown.tolist() == [False, False, False, True, False, False]
    assert sample.scored.replicates is not None
    assert sample.scored.replicates.shape[1] == 5
    assert sample.why == "1 of 6 runs without predictions that give their score"


def crossed_folder(path: Path, shape: tuple[int, int, int], apart: float = 0.0) -> Folder:
    """Two methods whose runs share the effect of their initialisation; a is `apart` ahead."""
    rng = np.random.default_rng(4)
    folder = empty(path, methods={"a": {}, "b": {}}, seeds=dict(zip(("init", "order", "subset"), shape, strict=True)))
    effects = {name: rng.normal(0, 0.02, 10) for name in "ab"}
    for seed in crossed(*shape):
        for name in "ab":
            score = 0.8 + apart * (name == "a") + effects[name][seed.init] + rng.normal(0, 0.002)
            folder.add(method=name, seed=seed.code, fraction=0.3, score=float(score))
    folder.study |= {"fractions": [0.3], "claims": [BETTER]}
    return folder


def test_crossed_seeds_are_no_independent_pairs(tmp_path: Path) -> None:
    made = judged(crossed_folder(tmp_path, (3, 3, 3)))["c"]
    assert made["pairs"] == 27
    assert made["verdict"] == "inconclusive"
    assert "seeds crossed, 3 head initialisation × 3 data order × 3 subset" in made["test"]
    apart = judged(crossed_folder(tmp_path / "apart", (5, 3, 3), 0.2))["c"]
    assert apart["verdict"] == "supported"


def test_two_levels_of_a_source_give_no_verdict_and_one_is_said_not_to_be_generalised_over(tmp_path: Path) -> None:
    two_levels = judged(crossed_folder(tmp_path, (3, 3, 2), 0.2))["c"]
    assert two_levels["verdict"] == "inconclusive"
    assert two_levels["reason"].startswith("crossed seeds have 2 of subset; a verdict needs 3 levels")
    assert two_levels["next"]["command"].endswith("--set seeds.subset=3")
    single = judged(crossed_folder(tmp_path / "one", (4, 3, 1), 0.2))["c"]
    assert single["verdict"] == "supported"
    assert "not generalised over subset, of one level" in single["test"]
    write_report(str(tmp_path))
    text = (tmp_path / "report/report.md").read_text("utf-8")
    assert "main effects" in text


def test_tasks_of_different_metrics_are_pooled_on_a_common_scale_or_not_at_all(tmp_path: Path) -> None:
    folder = two(tmp_path, {"tasks": "pooled", "says": "matches", "margin": 0.3}, tasks=("alpha", "beta"), seeds=8)
    for row in folder.rows["trials"]:
        row["trainable_params"] = 2000 if row["method"] == "b" else 1000
        if row["task"] == "beta":
            row.update(metric="mcc", majority_score=0.0)
    assert (
        "accuracy and mcc have no mean: pool tasks of one metric, or write scale: gain" in judged(folder)["c"]["reason"]
    )
    folder.study["claims"][0]["scale"] = "gain"
    made = judged(folder)["c"]
    assert made["verdict"] == "supported"
    assert made["estimate"] == pytest.approx((0.05 / 0.3 + 0.05 / 0.8) / 2, abs=0.03)
    assert "of the reference's gain over a constant" in made["statement"]


def test_of_a_difference_that_a_claim_is_about_only_the_verdict_speaks(tmp_path: Path) -> None:
    """Five claims of which one barely holds by itself: no sentence calls ahead what Holm's correction leaves open."""
    folder = drawn(tmp_path, {"a": {"mean": 0.85}, "b": {"mean": 0.8}, "c": {"mean": 0.6}}, [BETTER], seeds=8)
    write_report(folder.write())
    text = (tmp_path / "report/report.md").read_text("utf-8")
    ahead = next(line for line in text.splitlines() if "a scored highest" in line)
    assert "it is ahead of c (p after Holm" in ahead  # of b the claim speaks
    assert "Method against method (exploratory)" in text


def test_seeds_are_said_to_support_never_of_a_claim_that_is_outside_its_margin(tmp_path: Path) -> None:
    folder = drawn(tmp_path, {"a": {"mean": 0.6}, "b": {"mean": 0.8}}, [BETTER | {"says": "matches", "margin": 0.01}],
                   seeds=4)  # fmt: skip
    made = judged(folder)["c"]
    assert (made["verdict"], made["seeds_to_settle"]) == ("inconclusive", None)
    assert made["next"]["said"] == "already outside its bound: 2 more reach the 6 pairs that a verdict needs"
    assert made["next"]["command"].endswith("--set seeds=6")
    noisy = {"mean": 0.8, "sd": 0.05}
    open_ = judged(drawn(tmp_path / "open", {"a": noisy, "b": noisy}, [BETTER | {"says": "matches", "margin": 0.02}],
                         seeds=6))["c"]  # fmt: skip
    assert open_["seeds_low"] < open_["seeds_to_settle"] < open_["seeds_high"]
    assert f"--set seeds={open_['seeds_to_settle']}" in open_["next"]["command"]


def test_only_what_a_verdict_rests_on_says_when_it_would_change(tmp_path: Path) -> None:
    """Refuted on one task and the other way round on the next: no rate of collapse below nothing."""
    folder = two(tmp_path, {}, tasks=("alpha", "beta"), seeds=10)
    for row in folder.rows["trials"]:
        if row["task"] == "alpha" and row["method"] == "a":
            row["score"] -= 0.2
    made = judged(folder)["c"]
    assert made["verdict"] == "refuted"
    rates = [row["changes_at"] for row in made["collapses"]]
    assert [rate is None for rate in rates] == [True, False, True, True]
    assert rates[1] > 0


def test_seeds_of_a_wider_study_are_not_missing_from_a_narrowed_one(tmp_path: Path) -> None:
    folder = two(tmp_path, {}, seeds=20)
    folder.rows["trials"] = [row for row in folder.rows["trials"] if row["method"] == "a" or row["seed"] <= 6]
    folder.study["seeds"] = 6
    for name in "ab":
        folder.plan("alpha", name, 1.0, 6, 1)
    made = judged(folder)["c"]
    assert (made["verdict"], made["missing"]) == ("supported", None)


def test_runs_of_crossed_seeds_stand_apart_from_a_study_of_plain_ones(tmp_path: Path) -> None:
    folder = crossed_folder(tmp_path, (3, 2, 1), 0.2)
    for seed in range(1, 7):
        for name, score in (("a", 0.9), ("b", 0.8)):
            if seed > 2:  # 1 and 2 have all sources at one level: they are of both studies
                folder.add(method=name, seed=seed, fraction=0.3, score=score + 0.001 * seed * (name == "a"))
    folder.study["seeds"] = 6
    made = judged(folder)["c"]
    assert made["pairs"] >= 5
    assert "crossed" not in made["test"]
    write_report(str(tmp_path))
    assert "other seeds than the study's" in (tmp_path / "report/report.md").read_text("utf-8")


def test_a_method_whose_runs_all_failed_is_not_called_not_run(tmp_path: Path) -> None:
    folder = two(tmp_path, {}, seeds=6)
    lose(folder, "a", range(1, 7))
    made = judged(folder)["c"]
    assert made["reason"].startswith("no run gave a score: a on alpha at 100 % (6 timeout)")


@pytest.mark.parametrize("shape", [(3, 3, 2), (3, 3, 3), (5, 4, 1)])
@pytest.mark.parametrize("fraction", [0.3, 1.0])
def test_every_crossing_is_read_whole(tmp_path: Path, shape: tuple[int, int, int], fraction: float) -> None:
    folder = crossed_folder(tmp_path, shape)
    for row in folder.rows["trials"]:
        row["fraction"] = fraction
    folder.study["fractions"] = [fraction]
    assert judged(folder)["c"]["pairs"] == shape[0] * shape[1] * shape[2]


def test_seeds_that_became_a_crossing_are_part_of_it(tmp_path: Path) -> None:
    """At all of the data the subset is nothing: seed 2 is the crossing's second initialisation and second order."""
    folder = crossed_folder(tmp_path, (3, 3, 1), 0.2)
    for row in folder.rows["trials"]:
        row["fraction"] = 1.0
        if row["seed"] in (2_002_001, 3_003_001):
            row["seed"] = row["seed"] // 1_000_000
    folder.study["fractions"] = [1.0]
    made = judged(folder)["c"]
    assert (made["pairs"], made["verdict"]) == (9, "supported")
