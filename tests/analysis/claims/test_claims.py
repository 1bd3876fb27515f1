"""The claims engine on folders with known truth: a true, a false and an undecidable claim of each kind."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finebench.analysis.claims.judge import verdicts
from finebench.analysis.claims.model import claims_of
from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.report.write import Report
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.scores import scores
from finebench.bench.cli.commands import report_command
from finebench.bench.cli.exit_codes import EXIT_REFUTED
from finebench.bench.study.load import load_study
from finebench.bench.util.errors import ResultsError
from tests.analysis.claim_folder import Truth, drawn
from tests.analysis.fixtures import BUDGET, Folder

STEPS = json.dumps({"steps": 500}, sort_keys=True)


def judged(folder: Folder) -> dict[str, dict[str, Any]]:
    """The claims of a folder by id."""
    results = load_results(folder.write())
    table = runs(results)
    expected = Expectation(results.plan, table)
    samples = Samples(results, table, expected)
    scored = scores(table, expected, samples)
    return {one["id"]: one for one in verdicts(results, table, scored, samples, expected)}


def one(path: Path, a: Truth, b: Truth, claim: dict[str, Any], **given: Any) -> dict[str, Any]:
    """The verdict on one claim about methods a and b."""
    folder = drawn(path, {"a": a, "b": b}, [{"id": "c", "a": "a", "b": "b"} | claim], **given)
    return judged(folder)["c"]


KINDS: list[tuple[dict[str, Any], Truth, Truth, dict[str, Any], str]] = [
    # matches: the same; 0.05 apart; too noisy for the margin
    ({"says": "matches", "margin": 0.02}, {"mean": 0.8}, {"mean": 0.8}, {}, "supported"),
    ({"says": "matches", "margin": 0.02}, {"mean": 0.75}, {"mean": 0.8}, {}, "refuted"),
    ({"says": "matches", "margin": 0.02}, {"mean": 0.8, "sd": 0.1}, {"mean": 0.8, "sd": 0.1}, {}, "inconclusive"),
    # better: above; below; equal
    ({"says": "better"}, {"mean": 0.85}, {"mean": 0.8}, {}, "supported"),
    ({"says": "better"}, {"mean": 0.75}, {"mean": 0.8}, {}, "refuted"),
    ({"says": "better"}, {"mean": 0.8, "sd": 0.03}, {"mean": 0.8, "sd": 0.03}, {}, "inconclusive"),
    # better by a margin: by more; above, but by less; by about it
    ({"says": "better", "margin": 0.03}, {"mean": 0.85}, {"mean": 0.8}, {}, "supported"),
    ({"says": "better", "margin": 0.03}, {"mean": 0.81}, {"mean": 0.8}, {}, "refuted"),
    ({"says": "better", "margin": 0.05}, {"mean": 0.85}, {"mean": 0.8}, {}, "inconclusive"),
    # varies_more over seeds
    ({"says": "varies_more"}, {"mean": 0.8, "sd": 0.08}, {"mean": 0.8, "sd": 0.01}, {}, "supported"),
    ({"says": "varies_more"}, {"mean": 0.8, "sd": 0.01}, {"mean": 0.8, "sd": 0.08}, {}, "refuted"),
    ({"says": "varies_more"}, {"mean": 0.8, "sd": 0.02}, {"mean": 0.8, "sd": 0.02}, {}, "inconclusive"),
    ({"says": "varies_more", "factor": 10}, {"mean": 0.8, "sd": 0.04}, {"mean": 0.8, "sd": 0.01}, {}, "refuted"),
    # varies_more over learning rates
    ({"says": "varies_more", "over": "lr"}, {"mean": 0.8, "slope": 0.05}, {"mean": 0.8, "slope": 0.005}, {},
     "supported"),
    ({"says": "varies_more", "over": "lr"}, {"mean": 0.8, "slope": 0.005}, {"mean": 0.8, "slope": 0.05}, {}, "refuted"),
    ({"says": "varies_more", "over": "lr"}, {"mean": 0.8}, {"mean": 0.8}, {}, "inconclusive"),
    # cheaper in time: 2 times where 1.5 is claimed; 1.2 times; 1.5 times
    ({"says": "cheaper", "factor": 1.5}, {"mean": 0.8, "seconds": 5}, {"mean": 0.8}, {}, "supported"),
    ({"says": "cheaper", "factor": 1.5}, {"mean": 0.8, "seconds": 8.3}, {"mean": 0.8}, {}, "refuted"),
    ({"says": "cheaper", "factor": 1.5}, {"mean": 0.8, "seconds": 6.67}, {"mean": 0.8}, {}, "inconclusive"),
    # cheaper in what is counted, which is known exactly
    ({"says": "cheaper", "factor": 10, "cost": "trainable_params"}, {"mean": 0.8, "params": 110}, {"mean": 0.8,
      "params": 1100}, {}, "supported"),
    ({"says": "cheaper", "factor": 10, "cost": "trainable_params"}, {"mean": 0.8, "params": 111}, {"mean": 0.8,
      "params": 1100}, {}, "refuted"),
    # saturates_by: all data add nothing; 0.2; about the margin
    ({"says": "saturates_by", "fraction": 0.3, "margin": 0.02}, {"mean": 0.8}, {"mean": 0.8}, {"fractions": [0.3, 1.0]},
     "supported"),
    ({"says": "saturates_by", "fraction": 0.3, "margin": 0.02, "b": None}, {"mean": {0.3: 0.6, 1.0: 0.8}},
     {"mean": 0.8}, {"fractions": [0.3, 1.0]}, "refuted"),
    ({"says": "saturates_by", "fraction": 0.3, "margin": 0.02, "b": None}, {"mean": {0.3: 0.78, 1.0: 0.8}},
     {"mean": 0.8}, {"fractions": [0.3, 1.0]}, "inconclusive"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("claim", "a", "b", "given", "expected"), KINDS, ids=[f"{i:02d}-{k[0]['says']}-{k[4]}" for i, k in enumerate(KINDS)]
)
def test_every_kind_of_claim_true_false_and_undecidable(
    tmp_path: Path, claim: dict[str, Any], a: Truth, b: Truth, given: dict[str, Any], expected: str
) -> None:
    lrs = {"lrs": {"a": [1e-4, 1e-3, 1e-2], "b": [1e-4, 1e-3, 1e-2]}} if claim.get("over") == "lr" else {}
    made = one(tmp_path, a, b, claim, **given, **lrs)
    assert made["verdict"] == expected, made
    assert made["reason"]
    assert made["pairs"] >= 6
    if made["p"] is not None:
        assert made["low"] < made["estimate"] < made["high"]
        assert made["p_adjusted"] == made["p"]  # one claim: nothing to correct for


def test_fewer_than_six_pairs_give_no_verdict_whatever_they_show(tmp_path: Path) -> None:
    made = one(tmp_path, {"mean": 0.9, "sd": 0.001}, {"mean": 0.5}, {"says": "better"}, seeds=5)
    assert (made["verdict"], made["reason"]) == ("inconclusive", "5 pairs; a verdict needs at least 6")
    assert made["low"] > 0
    assert made["p_adjusted"] is None
    six = one(tmp_path / "six", {"mean": 0.9, "sd": 0.001}, {"mean": 0.5}, {"says": "better"}, seeds=6)
    assert six["verdict"] == "supported"


def test_pooled_tasks_are_one_pair_a_seed(tmp_path: Path) -> None:
    claim = {"says": "better", "tasks": "pooled"}
    made = one(tmp_path, {"mean": 0.85}, {"mean": 0.8}, claim, seeds=7, tasks=("alpha", "beta"))
    assert (made["verdict"], made["pairs"], made["task"]) == ("supported", 7, "pooled")
    few = one(tmp_path / "few", {"mean": 0.85}, {"mean": 0.8}, claim, seeds=3, tasks=("alpha", "beta"))
    assert (few["verdict"], few["pairs"]) == ("inconclusive", 3)


def test_all_tasks_must_support_and_one_refutes(tmp_path: Path) -> None:
    folder = drawn(tmp_path, {"a": {"mean": 0.85}, "b": {"mean": 0.8}}, [], tasks=("alpha", "beta"))
    folder.study["claims"] = [{"id": c, "says": "better", "a": "a", "b": "b", "tasks": t} for c, t in
                              (("all", "all"), ("pooled", "pooled"), ("alpha", ["alpha"]))]  # fmt: skip
    for row in folder.rows["trials"]:
        if row["task"] == "beta" and row["method"] == "a":
            row["score"] -= 0.07
    found = judged(folder)
    assert {key: made["verdict"] for key, made in found.items()} == {
        "all": "refuted",
        "pooled": "supported",
        "alpha": "supported",
    }
    assert found["all"]["task"] == "beta"
    assert found["all"]["reason"] == "beta: the 95 % interval lies below 0"
    assert [row["task"] for row in found["all"]["per_task"]] == ["alpha", "beta"]
    # Bonferroni over the two tasks for what refutes, the larger p for what supports
    per_task = found["all"]["per_task"]
    assert found["all"]["p"] == max(row["p"] for row in per_task)
    assert found["all"]["p_against"] == pytest.approx(2 * min(row["p_against"] for row in per_task))


def test_holm_makes_a_barely_supported_claim_inconclusive(tmp_path: Path) -> None:
    noisy = {"mean": 0.8, "sd": 0.03}
    alone = [{"id": "c0", "says": "better", "a": "a", "b": "b"}]
    for seed in range(60):  # a draw whose own p is between 0.01 and 0.05
        folder = drawn(tmp_path / str(seed), {"a": {"mean": 0.825, "sd": 0.03}, "b": noisy}, alone, seed=seed)
        first = judged(folder)["c0"]
        if 0.02 < first["p"] < 0.05:
            break
    assert first["verdict"] == "supported"
    folder.study["claims"] = [alone[0] | {"id": f"c{i}"} for i in range(5)]
    now = judged(folder)["c0"]
    assert now["verdict"] == "inconclusive"
    assert "not after Holm's correction over 5 claims" in now["reason"]
    assert now["p_adjusted"] == pytest.approx(min(1.0, 5 * first["p"]))


def test_what_was_not_run_is_named(tmp_path: Path) -> None:
    claims = [
        {"id": "fraction", "says": "better", "a": "a", "b": "b", "fraction": 0.5},
        {"id": "budget", "says": "better", "a": "a", "b": "b", "budget": {"steps": 500}},
        {"id": "task", "says": "better", "a": "a", "b": "b", "tasks": ["gamma"]},
        {"id": "whole", "says": "saturates_by", "a": "a", "fraction": 1.0},
        {"id": "cost", "says": "cheaper", "a": "a", "b": "b", "factor": 2, "cost": "beauty"},
        {"id": "energy", "says": "cheaper", "a": "a", "b": "b", "factor": 2, "cost": "energy_joules"},
    ]
    found = judged(drawn(tmp_path, {"a": {"mean": 0.8}, "b": {"mean": 0.8}}, claims))
    assert {made["verdict"] for made in found.values()} == {"inconclusive"}
    assert found["fraction"]["reason"].startswith("not run: a on alpha at 50 %, b on alpha at 50 % (3 epochs")
    assert found["budget"]["reason"] == "not run: a on alpha at 100 %, b on alpha at 100 % (500 steps)"
    assert found["task"]["reason"].startswith("not run: a on gamma")
    assert found["whole"]["reason"] == "the claimed fraction is all of the data that was used"
    assert found["cost"]["reason"].startswith("'beauty' is no cost; the costs are trainable_params")
    assert found["energy"]["reason"].startswith("energy was not measured alone")


def test_a_claim_is_about_the_largest_fraction_and_the_first_budget_unless_it_says_otherwise(tmp_path: Path) -> None:
    plain = {"id": "plain", "says": "better", "a": "a", "b": "b"}
    claims = [plain, plain | {"id": "steps", "fraction": 0.3, "budget": {"steps": 500}}]
    given = {"fractions": (0.3, 1.0), "budgets": (BUDGET, STEPS)}
    found = judged(drawn(tmp_path, {"a": {"mean": 0.85}, "b": {"mean": 0.8}}, claims, **given))
    assert (found["plain"]["fraction"], found["plain"]["budget"]) == (1.0, {"epochs": 3.0, "min_steps": 200})
    assert (found["steps"]["fraction"], found["steps"]["budget"]) == (0.3, {"steps": 500})


def test_shared_and_packed_times_say_nothing_of_cost(tmp_path: Path) -> None:
    folder = drawn(tmp_path, {"a": {"mean": 0.8, "seconds": 5}, "b": {"mean": 0.8}}, [
        {"id": "c", "says": "cheaper", "a": "a", "b": "b", "factor": 1.5}])  # fmt: skip
    for row in folder.rows["trials"]:
        row["exclusive"] = row["seed"] > 4
    assert judged(folder)["c"]["pairs"] == 6
    for row in folder.rows["trials"]:
        row["exclusive"] = False
    assert judged(folder)["c"]["reason"] == "train time was not measured alone on its device in any common seed"


def test_seeds_to_settle_are_at_the_margin_or_examples_are_what_is_missing(tmp_path: Path) -> None:
    noisy = {"mean": 0.8, "sd": 0.05}
    made = one(tmp_path, noisy, noisy, {"says": "matches", "margin": 0.02})
    assert made["seeds_to_settle"] > 10
    wider = one(tmp_path / "wider", noisy, noisy, {"says": "matches", "margin": 0.04})
    assert wider["seeds_to_settle"] < made["seeds_to_settle"]
    none = one(tmp_path / "none", noisy, noisy, {"says": "better"})
    assert none["seeds_to_settle"] is None
    assert none["settling"] == "the claim names no margin, so how many seeds would settle it is not defined"
    examples = judged(_small_score_split(tmp_path / "examples"))["c"]
    assert examples["seeds_to_settle"] is None
    assert examples["settling"].startswith("no number of seeds would support it at this margin: the score split needs ")
    assert "by seed and example" in examples["test"]


def _small_score_split(path: Path) -> Folder:
    """Two methods on 60 examples: every seed of a method errs on nearly the same ones, so seeds hardly help."""
    rng = np.random.default_rng(0)
    claim = {"id": "c", "says": "matches", "a": "a", "b": "b", "margin": 0.01}
    folder = drawn(path, {"a": {"mean": 0.8}, "b": {"mean": 0.8}}, [claim])
    labels = np.arange(60) % 2
    wrong = {name: rng.choice(60, 12, replace=False) for name in "ab"}
    for row in folder.rows["trials"]:
        predictions = labels.copy()
        predictions[wrong[row["method"]]] ^= 1
        predictions[rng.integers(0, 60)] ^= 1
        folder.predict(row["trial_id"], predictions.tolist())
        row["score"] = float((predictions == labels).mean())
    return folder


def test_a_method_that_never_varies_gets_no_test(tmp_path: Path) -> None:
    claims = [{"id": id, "says": says, "a": "a", "b": "b"} for id, says in (("c", "varies_more"), ("d", "better"))]
    folder = drawn(tmp_path, {"a": {"mean": 0.8}, "b": {"mean": 0.8}}, claims)
    for row in folder.rows["trials"]:
        row["score"] = 0.9 if row["method"] == "a" else 0.8
    found = judged(folder)
    assert found["c"]["reason"] == "one of them scored the same in every seed: no test of spread"
    assert found["d"]["reason"] == "every pair differs by the same amount: no spread to judge by"


def test_one_method_under_two_names_matches_itself(tmp_path: Path) -> None:
    """Where every evaluation is the same to the last bit; scores that tie, as those of a small split do, tell nothing,
    nor do methods that differ by the same amount."""
    claims = [
        {"id": f"{b}-{says}", "says": says, "a": "a", "b": b} | ({"margin": 0.02} if says == "matches" else {})
        for b in ("twin", "shifted")
        for says in ("matches", "better")
    ]
    found = judged(_named_twice(tmp_path / "same", claims, 0.0))
    same = found["twin-matches"]
    assert (same["verdict"], same["estimate"], same["low"], same["high"]) == ("supported", 0.0, 0.0, 0.0)
    assert same["p"] is None
    assert {one["changes_at"] for one in same["collapses"]} == {None}
    assert same["reason"] == "both runs of every pair were evaluated alike, to the last bit"
    assert found["twin-better"]["verdict"] == found["shifted-matches"]["verdict"] == "inconclusive"
    for other, seeds in ((1e-12, 6), (0.0, 5)):
        tied = judged(_named_twice(tmp_path / f"{seeds}", claims, other, seeds))["twin-matches"]
        assert tied["verdict"] == "inconclusive", tied
    unknown = _named_twice(tmp_path / "unknown", claims, 0.0)
    unknown.rows["evals"].clear()
    assert judged(unknown)["twin-matches"]["verdict"] == "inconclusive"


def _named_twice(path: Path, claims: list[dict[str, Any]], other: float, seeds: int = 6) -> Folder:
    """A twin scores as `a` does in every seed, `shifted` a thousandth more; the twin's loss is that much another."""
    folder = drawn(path, {name: {"mean": 0.8} for name in ("a", "twin", "shifted")}, claims)
    rows = folder.rows["trials"] = [row for row in folder.rows["trials"] if row["seed"] <= seeds]
    scores = {row["seed"]: row["score"] for row in rows if row["method"] == "a"}
    for row in rows:
        row["score"] = scores[row["seed"]] + (1e-3 if row["method"] == "shifted" else 0.0)
        folder.curve(row["trial_id"], [(100, row["score"], row["score"])])
        for one in folder.rows["evals"][-2:]:
            one["loss"] = row["score"] + (other if row["method"] == "twin" else 0.0)
    return folder


def test_claims_that_cannot_be_understood_are_named() -> None:
    good = {"id": "c", "says": "better", "a": "a", "b": "b"}
    for bad, word in ((["x"], "a claim is a mapping"), ([good | {"says": "equals"}], "'equals' is not one of"),
                      ([{"id": "c", "says": "better", "a": "a"}], "needs b"), ([good | {"margin": -1}], "above 0"),
                      ([good | {"says": "matches"}], "needs margin"), ({"a": 1}, "claims is a list")):  # fmt: skip
        with pytest.raises(ResultsError, match=word):
            claims_of({"claims": bad})
    assert claims_of({}) == []


def test_claims_json_and_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims = [{"id": "good", "says": "better", "a": "a", "b": "b"}, {"id": "bad", "says": "better", "a": "b", "b": "a"}]
    folder = drawn(tmp_path, {"a": {"mean": 0.85}, "b": {"mean": 0.8}}, claims)
    results = folder.write()
    assert report_command(results, None, None, True) == EXIT_REFUTED == 4
    said = capsys.readouterr().out
    assert "claim good: supported (the 95 % interval lies above 0)" in said
    assert said.rstrip().splitlines()[-1] == "refuted: bad"
    made = json.loads((tmp_path / "report/claims.json").read_text("utf-8"))
    assert [(row["id"], row["verdict"]) for row in made] == [("good", "supported"), ("bad", "refuted")]
    keys = {"id", "says", "a", "b", "tasks", "fraction", "budget", "verdict", "estimate", "low", "high", "level",
            "test", "pairs", "p", "p_adjusted", "seeds_to_settle", "reason", "per_task"}  # fmt: skip
    assert all(keys <= set(row) for row in made)


@pytest.mark.parametrize(("verdicts", "code", "line"), [
    (("supported", "inconclusive"), 0, "no claim is refuted"), ((), 0, "the study makes no claims"),
    (("refuted", "supported", "refuted"), 4, "refuted: c0, c2"),
])  # fmt: skip
def test_only_a_refuted_claim_is_an_exit_code(
    verdicts: tuple[str, ...], code: int, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tuple({"id": f"c{i}", "verdict": word, "reason": ""} for i, word in enumerate(verdicts))
    monkeypatch.setattr(
        "finebench.analysis.report.write.write_report", lambda *_: Report("index.html", [], [], [], made)
    )
    assert report_command("somewhere", None, None, True) == code
    assert capsys.readouterr().out.rstrip().splitlines()[-1] == line
    assert report_command("somewhere", None, None, False) == 0


def test_the_papers_claims_are_judged(tmp_path: Path) -> None:
    """doering2024's own claims on drawn results in which the first method is as good as the second, and steadier."""
    study = load_study("doering2024", ["seeds=16", "fractions=[0.3, 0.5, 1.0]"])
    claims = [claim.model_dump(mode="json", exclude_none=True) for claim in study.claims]
    truth: dict[str, Truth] = {
        "full": {"mean": 0.85, "sd": 0.006},
        "bitfit": {"mean": 0.85, "sd": 0.001},
        "adapter": {"mean": 0.70, "sd": 0.08},
    }
    budgets = [budget.canonical for budget in study.budget]
    folder = drawn(tmp_path, truth, claims, tasks=study.task_names, fractions=study.fractions, budgets=budgets,
                   seeds=16)  # fmt: skip
    folder.study["budget"] = [json.loads(budget) for budget in budgets]
    found = judged(folder)
    assert {key: made["verdict"] for key, made in found.items()} == {
        "bitfit-matches-full-at-30-percent": "supported",
        "bitfit-matches-full-at-30-percent-in-500-steps": "supported",
        "bitfit-beats-full-at-intermediate-data": "inconclusive",
        "full-varies-more-than-bitfit-at-30-percent": "supported",
        "adapters-vary-more-than-full": "supported",
        "adapters-beat-full": "refuted",
    }
