"""What it would take to settle a claim: seeds, their interval, and the command that adds them."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
from pydantic import ValidationError

from finebench.analysis.claims.model import Claim, Finding
from finebench.analysis.load.expected import Expectation
from finebench.analysis.statistics.crossed import Components
from finebench.analysis.statistics.power import Needed, seeds_for_margin, seeds_range
from finebench.bench.study.claim_needs import Lack, needs
from finebench.bench.study.claim_seeds import Scoring, more_seeds, scoring
from finebench.bench.study.parts.search import CrossedSeeds
from finebench.bench.study.plugins import given_plugins
from finebench.bench.study.schema import Study
from finebench.bench.util.errors import InputError, StudyError

NEVER = "no number of seeds"


def settled(made: Finding, parts: Components, two_sided: bool) -> Finding:
    """The finding with the seeds that would support its claim at its own bound, were the truth one bound away."""
    if made.reason:
        return made
    given = (parts.of_seeds, parts.seeds_df, parts.examples, parts.n_examples, made.bound, two_sided)
    return _needed(made, seeds_for_margin(given[0], *given[2:]), seeds_range(*given))


def settled_at(made: Finding, effect: float, variance: float) -> Finding:
    """The same for a mean `effect` with a variance per pair and no examples."""
    found = seeds_for_margin(variance, 0.0, 0, abs(effect), two_sided=False)
    return _needed(made, found, seeds_range(variance, made.pairs - 1.0, 0.0, 0, abs(effect), two_sided=False))


def _needed(made: Finding, needed: Needed, ends: tuple[int | None, int | None]) -> Finding:
    """What the seeds would do: nothing is said of support where the data have already decided against it."""
    if made.refutes:
        return made
    if needed.seeds is not None:
        low, high = (None if end is None else max(end, made.needs) for end in ends)
        return replace(made, seeds_to_settle=max(needed.seeds, made.needs), seeds_low=low, seeds_high=high)
    if needed.more_examples is not None:
        more = f"the score split needs {needed.more_examples:.1f} times the examples"
        return replace(made, settling=f"{NEVER} would support it at this margin: {more}")
    return replace(made, settling=f"{NEVER} up to 10,000 would support it")


@dataclass(frozen=True)
class NextStep:
    """What would settle an inconclusive claim next: in words, the seeds it takes, the command, its trials and
    seconds."""

    said: str
    seeds: int | None = None
    command: str = ""
    trials: int | None = None
    seconds: float | None = None


def next_step(claim: Claim, findings: tuple[Finding, ...], missing: bool, plan: "Extension") -> NextStep:
    """The next step of an inconclusive claim with these findings; `missing`: runs of its cells are."""
    known = [one for one in findings if not one.exact]
    if missing:
        return plan.again()
    have = plan.have(claim)
    if not known or have is None:
        return NextStep("")
    if plan.crossed(claim):
        return plan.needed(claim) or plan.wider("more levels of each source narrow it")
    if any(one.reason for one in known):  # it says what is wrong, which more seeds do not cure
        return plan.needed(claim) or NextStep("")
    least, pairs = max(one.needs for one in known), min(one.pairs for one in known)
    if pairs < least and have >= least:  # pairs are lost to collapses, or never had their costs measured
        return plan.more(
            claim, f"{pairs} of {have} seeds make a pair", math.ceil(have * least / pairs) if pairs else 2 * have
        )
    if pairs < least and all(one.supports or one.refutes for one in known):
        side = "outside" if any(one.refutes for one in known) else "inside"
        said = f"already {side} its bound: {least - pairs} more reach the {least} pairs that a verdict needs"
        return plan.more(claim, said, least)
    if any(one.refutes for one in known):
        return plan.more(claim, "the interval is already outside its bound on a task; more seeds narrow it", 2 * have)
    never = next((one.settling for one in known if one.settling and NEVER in one.settling), "")
    target = max([least, *(one.seeds_to_settle or 0 for one in known)])
    if never and pairs >= least:
        leaning = any(one.p_against < one.p for one in known)
        return plan.more(claim, f"{never}; more seeds may refute it", 2 * have) if leaning else NextStep(never)
    if target > have:
        return plan.more(claim, _about(known, target), target)
    if all(one.seeds_to_settle for one in known):
        said = (
            "its seeds would support it, were the truth not near its bound; twice as many narrow the interval by 30 %"
        )
        return plan.more(claim, said, 2 * have)
    return plan.more(claim, "twice as many seeds narrow the interval by 30 %", 2 * have)


def next_look(claim: Claim, findings: tuple[Finding, ...], looks: Mapping[str, Any], plan: "Extension") -> NextStep:
    """The next step of an inconclusive claim that is looked at several times; `looks` as in claims.json."""
    if need := plan.needed(claim):  # the run has closed it
        return need
    seeds, taken = looks["planned"], looks["taken"]
    if taken == len(seeds):
        return NextStep("its interim analyses are used up; more seeds take a new study, whose seeds are others")
    if looks["futile"]:
        never = next((f": {found.settling}" for found in findings if found.settling), "")
        return NextStep(f"{seeds[-1]} seeds would decide it neither way{never}")
    return plan.look(f"its next interim analysis is at {seeds[taken]} seeds")


def _about(known: list[Finding], target: int) -> str:
    widest = max(known, key=lambda one: one.seeds_to_settle or 0)
    if widest.seeds_to_settle is None:
        return f"{target} seeds reach the pairs that a verdict needs"
    ends = f"{widest.seeds_low or 'few'} to {widest.seeds_high or 'any number'}"
    return f"about {target} seeds would support it (80 % interval {ends}), were the truth not near its bound"


class Extension:
    """What more seeds of a study would cost, and the command that runs them into its folder."""

    def __init__(self, study: Mapping[str, Any], runs: pd.DataFrame, expected: Expectation, uri: str) -> None:
        self._command = run_into(uri, study)
        self._study = valid_study(study)
        self._needs = _needs(self._study)
        planned: dict[bool, int] = {}
        for (_, stage), cell in expected.cells.items():
            planned[stage == "confirm"] = planned.get(stage == "confirm", 0) + cell.trials
        self._planned = planned
        times = runs[["startup_seconds", "train_seconds", "eval_seconds"]].sum(axis=1)
        self._seconds = float(times[times > 0].mean()) if (times > 0).any() else 0.0

    def _scoring(self, claim: Claim) -> Scoring | None:
        """The seeds that make the claim's pairs; None where the study is not known here."""
        stated = {one.id: one for one in self._study.claims} if self._study else {}
        return scoring(self._study, stated[claim.id]) if self._study and claim.id in stated else None

    def crossed(self, claim: Claim) -> bool:
        """Whether the claim's seeds are crossed."""
        found = self._scoring(claim)
        return found is not None and isinstance(found.given, CrossedSeeds)

    def have(self, claim: Claim) -> int | None:
        """The seeds that make the claim's pairs, as the study has them."""
        found = self._scoring(claim)
        return None if found is None else found.given if isinstance(found.given, int) else 0

    def needed(self, claim: Claim) -> NextStep | None:
        """What a claim that can get no verdict as planned needs; None for one that can."""
        need = self._needs.get(claim.id)
        if need is None:
            return None
        return NextStep(need.why, None, self._with(need.arguments) if need.arguments else "")

    def wider(self, said: str) -> NextStep:
        """Half as many levels again of each source that varies."""
        given = self._study.seeds if self._study else None
        levels = given.model_dump() if isinstance(given, CrossedSeeds) else {}
        return NextStep(said, None, self._with([f"seeds.{key}={n + n // 2}" for key, n in levels.items() if n > 1]))

    def more(self, claim: Claim, said: str, seeds: int) -> NextStep:
        """So many seeds, for the whole study: a seed is one for every cell."""
        found = self._scoring(claim)
        if found is None or not isinstance(found.given, int):
            return NextStep(said, seeds)
        named = self._study.seeds if self._study and found.key == "seeds" else None
        value = json.dumps(more_seeds(named, seeds)) if isinstance(named, list) else str(seeds)
        command, planned = self._with([f"{found.key}={value}"]), self._planned.get("confirm" in found.key, 0)
        trials = max(0, round(planned / found.given * seeds) - planned) if found.given else 0
        return NextStep(said, seeds, command, trials or None, trials * self._seconds or None)

    def look(self, said: str) -> NextStep:
        """The next look of a study whose seeds come in waves."""
        return NextStep(said, None, shlex.join(self._command))

    def again(self) -> NextStep:
        """The runs that are missing."""
        return NextStep("the runs that are missing have to be there", None, shlex.join(self._command))

    def _with(self, settings: Sequence[str]) -> str:
        return shlex.join([*self._command, *(part for one in settings for part in ("--set", one))])


def _needs(study: Study | None) -> dict[str, Lack]:
    """By claim, what those need that can get no verdict as planned; nothing where the study names what is not here."""
    try:
        return {name: one for one in needs(study) for name in one.claims} if study else {}
    except InputError:
        return {}


def without_verdict(study: Mapping[str, Any]) -> frozenset[str]:
    """The claims (ids) that can get no verdict as the study is planned."""
    return frozenset(_needs(valid_study(study)))


def run_into(uri: str, study: Mapping[str, Any]) -> list[str]:
    """What runs more into a folder: by its own study file, where that is a path; `study` is what stands in it."""
    file = "STUDY" if "://" in uri else f"{uri.rstrip('/')}/study.yaml"
    return ["finebench", "run", file, "--results", uri, *given_plugins(study)]


def valid_study(study: Mapping[str, Any]) -> Study | None:
    """The study, where this installation can read it."""
    try:
        return Study.model_validate(study)
    except (ValidationError, StudyError):
        return None
