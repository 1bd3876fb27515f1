"""`results.claim(…)`: a claim of the reader's own, judged on stored results."""

from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from finebench._flat import check_names
from finebench._said import Said
from finebench.analysis.claims import judge
from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import Results
from finebench.analysis.load.runs import runs
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.scores import scores
from finebench.bench.study.findings import word
from finebench.bench.study.load import check_claim
from finebench.bench.study.parts.claim import Claim as Stated
from finebench.bench.util.errors import InputError


@dataclass(frozen=True, repr=False)
class Claim(Said):
    """A claim judged on stored results, outside the study's own: its p-value is corrected for no other claim.

    `statement` is the claim in words, `verdict` supported, refuted or inconclusive, `reason` why. `estimate` is of
    `quantity`, with the interval `low` to `high` at `level` (0.95, or 0.9 where the verdict rests on that one), of the
    deciding task; in the metric's points for differences of scores, else a ratio or a share. `pairs` are the fewest in
    any task, `p` is of the claim's being false. What is not defined is None.
    """

    statement: str
    verdict: str
    reason: str
    quantity: str
    estimate: float | None
    low: float | None
    high: float | None
    level: float | None
    pairs: int
    p: float | None
    exploratory: bool = True

    def __str__(self) -> str:
        said = [self.verdict]
        if self.estimate is not None:
            shown = f"{self.quantity} = {self.estimate:.4g}"
            if self.low is not None and self.high is not None and self.level is not None:
                shown += f" ({100 * self.level:.4g} %: {self.low:.4g} to {self.high:.4g})"
            said.append(shown)
        reason = f" ({self.reason})" if self.reason else ""
        return f"{self.statement}: {', '.join(said)}{reason}; exploratory"


def judge_one(loaded: Results, given: dict[str, Any]) -> Claim:
    """The verdict on one claim; raises InputError where it cannot be understood, or speaks of what is not there."""
    raw = {"id": "exploratory", **given}
    try:
        stated = Stated.model_validate(raw)
    except ValidationError as error:
        raise InputError(word(error, "claim", "", Stated)) from error
    trials = loaded.trials
    tasks = set(trials["task"])
    check_claim(stated, {*trials["method"], *(loaded.study.get("methods") or ())}, tasks, "claim")
    named: dict[str, Any] = {
        "task": stated.tasks if isinstance(stated.tasks, list) else [],
        "fraction": [] if stated.fraction is None else [stated.fraction],
        "budget": [] if stated.budget is None else [stated.budget.canonical],
    }
    for what, names in named.items():
        check_names(what, names, set(trials[what]), where="claim: ")
    asked = replace(loaded, study=loaded.study | {"claims": [raw]})
    table = runs(asked)
    expected = Expectation(asked.plan, table)
    samples = Samples(asked, table, expected)
    (found,) = judge.verdicts(asked, table, scores(table, expected, samples), samples, expected)
    found["quantity"] = stated.kind.quantity(stated.a, stated.b or "")  # by name
    kept = ("statement", "verdict", "reason", "quantity", "estimate", "low", "high", "level", "pairs", "p")
    return Claim(**{key: found[key] for key in kept})
