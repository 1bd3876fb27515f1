"""What it would take to settle a claim: seeds, their interval, and the command that adds them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from analysis.claim import Finding
from analysis.planned import Expectation
from analysis.statistics.crossed import Components
from analysis.statistics.power import Needed, seeds_for_margin, seeds_range
from bench.claim_seeds import more_seeds

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
        return replace(made, seeds_to_settle=max(needed.seeds, made.needs), seeds_low=ends[0], seeds_high=ends[1])
    if needed.more_examples is not None:
        more = f"the score split needs {needed.more_examples:.1f} times the examples"
        return replace(made, settling=f"{NEVER} would support it at this margin: {more}")
    return replace(made, settling=f"{NEVER} up to 10,000 would support it")


@dataclass(frozen=True)
class Step:
    """What would settle an inconclusive claim next: in words, the seeds it takes, the command, its trials and
    seconds."""

    said: str
    seeds: int | None = None
    command: str = ""
    trials: int | None = None
    seconds: float | None = None


def next_step(findings: tuple[Finding, ...], missing: bool, plan: "Extension") -> Step:
    """The next step of an inconclusive claim with these findings; `missing`: runs of its cells are."""
    known = [one for one in findings if not one.exact]
    if missing:
        return plan.again()
    if not known or plan.have is None:
        return Step("")
    least, pairs = max(one.needs for one in known), min(one.pairs for one in known)
    if plan.crossed:
        return plan.more(f"{least} seeds that set every source at once are enough pairs for a verdict", least)
    if pairs < least and all(one.supports or one.refutes for one in known):
        side = "outside" if any(one.refutes for one in known) else "inside"
        return plan.more(
            f"already {side} its bound: {least - pairs} more reach the {least} pairs that a verdict needs", least
        )
    if any(one.refutes for one in known):
        return plan.more("the interval is already outside its bound on a task; more seeds narrow it", 2 * plan.have)
    never = next((one.settling for one in known if one.settling and NEVER in one.settling), "")
    target = max([least, *(one.seeds_to_settle or 0 for one in known)])
    if never and pairs >= least:
        return Step(never)
    if target > plan.have:
        return plan.more(_about(known, target), target)
    enough = "its seeds would support it, were the truth not near its bound; twice as many narrow the interval by 30 %"
    return plan.more(enough, 2 * plan.have)


def _about(known: list[Finding], target: int) -> str:
    widest = max(known, key=lambda one: one.seeds_to_settle or 0)
    if widest.seeds_to_settle is None:
        return f"{target} seeds reach the pairs that a verdict needs"
    ends = f"{widest.seeds_low or 'few'} to {widest.seeds_high or 'any number'}"
    return f"about {target} seeds would support it (80 % interval {ends}), were the truth not near its bound"


class Extension:
    """The seeds that score in a study, and what more of them would cost."""

    def __init__(self, study: Mapping[str, Any], runs: pd.DataFrame, expected: Expectation, uri: str) -> None:
        self._where = f"{uri.rstrip('/')}/study.yaml --results {uri}" if "://" not in uri else f"STUDY --results {uri}"
        search = study.get("search") or {}
        kind = next((name for name in ("grid", "optuna") if isinstance(search, Mapping) and search.get(name)), None)
        confirm = int(search[kind].get("confirm_seeds") or 0) if kind and isinstance(search[kind], Mapping) else 0
        self.stage = "confirm" if confirm else "grid"
        seeds = study.get("seeds")
        self._named = [int(one) for one in seeds] if isinstance(seeds, list) and not confirm else []
        self.crossed = not confirm and isinstance(seeds, Mapping)
        plain = int(seeds) if isinstance(seeds, int) else len(self._named) or None
        self.have = confirm or (int(runs["seed"].nunique()) if self.crossed else plain)
        self._key = f"search.{kind}.confirm_seeds" if confirm else "seeds"
        planned = [cell.trials for (_, stage), cell in expected.cells.items() if (stage == "confirm") == bool(confirm)]
        self._trials = sum(planned)
        times = runs[["startup_seconds", "train_seconds", "eval_seconds"]].sum(axis=1)
        self._seconds = float(times[times > 0].mean()) if (times > 0).any() else 0.0

    def more(self, said: str, seeds: int) -> Step:
        """So many seeds, for the whole study: a seed is one for every cell."""
        value = str(more_seeds(self._named, seeds)).replace(" ", "") if self._named else seeds
        command = f"finebench run {self._where} --set {self._key}={value}"
        if not self.have or not self._trials:
            return Step(said, seeds, command)
        whole = round(self._trials / self.have * seeds)
        trials = whole if self.crossed else whole - self._trials
        return Step(said, seeds, command, max(0, trials), max(0, trials) * self._seconds or None)

    def again(self) -> Step:
        """The runs that are missing."""
        return Step("the runs that are missing have to be there", self.have, f"finebench run {self._where}")
