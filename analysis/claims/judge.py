"""The study's claims with their verdicts: the frame for the report, and claims.json for programs.

claims.json is a list with one object per claim, in the study's order:

    id, says, a, b, note     as in the study; `statement` says the claim in words
    tasks                    "all", "pooled" or a list; `task_names` are those that it was judged on
    fraction, budget         as judged: where the claim names none, the study's largest and its first
    margin, factor, cost, over
    verdict                  supported | refuted | inconclusive
    reason                   why, in words
    estimate, low, high      what the claim is about (`quantity`), its interval at `level` (null: open), of the `task`
    test, pairs              the test in words; fewest pairs in any task
    p, p_adjusted            of the claim's being false, and after Holm over the study's claims
    p_against, p_against_adjusted   of its being true
    seeds_to_settle          seeds that would support it at its own margin, before correction; if null, `settling`
                             says why, or the data have decided; seeds_low, seeds_high: its 80 % interval (null: none)
    given, scale, reference  the restriction (null: none); points of the metric, or shares of what the reference gains
    missing                  the planned runs that its cells lack, in words (null: none)
    filled                   {verdict, estimate, low, high}: what it would be if each missing run counted as the
                             constant predictor; null where none is missing
    collapses                list of {task, fraction, method, collapsed, runs, upper, changes_at, excluded}: runs no
                             better than a constant predictor, the one-sided 95 % bound of their rate, the rate from
                             which the verdict would change (of claims about means), and whether that is above the bound
    effect                   {size, low, high, margin}: d_z of the deciding task with its 95 % interval, and the claim's
                             margin, both in standard deviations of a pair
    choice                   "fresh seeds", "same seeds" or "nothing to choose": whether other seeds chose what scored
    next                     {said, seeds, command, trials, seconds}: what would settle an inconclusive claim
    look                     which look at the study's data this is (of a report that records looks)
    looks                    {planned, taken, decided_at, futile, seeds_saved, schedule_changed, median_unbiased, path}
                             of seeds that come until claims are settled: seeds at each interim analysis, those so far,
                             the one that decided, on whose seeds all numbers of the claim are, and each one's estimate
                             and interval by task; null for a claim that is judged once
    per_task                 list of {task, estimate, low, high, level, test, pairs, p, p_against, supports, refutes,
                             seeds_to_settle, seeds_low, seeds_high, reason}; one entry named "pooled" where tasks were
                             pooled

What is not defined is null. Keys may be added; none will change its meaning.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import pandas as pd

from finebench.analysis.claims.evidence import Source, cells_of
from finebench.analysis.claims.evidence_collapse import told as told_collapses
from finebench.analysis.claims.judging import LookSchedule, judge_claim, unread_looks, waves_of
from finebench.analysis.claims.kinds import Words
from finebench.analysis.claims.model import Claim, Finding, Word, claims_of
from finebench.analysis.claims.settling import Extension, next_look, next_step
from finebench.analysis.claims.standing import fixed_since, told
from finebench.analysis.claims.verdict_words import collapse_words
from finebench.analysis.claims.verdicts import Verdict, corrected, untested
from finebench.analysis.load.cost_columns import LABELS, chosen_rows
from finebench.analysis.load.expected import Expectation, Key, key_of
from finebench.analysis.load.frames import finite_or_none, records
from finebench.analysis.load.read import Results
from finebench.analysis.load.runs import budget_label
from finebench.analysis.load.words import word
from finebench.analysis.statistics.sample import Sample
from finebench.analysis.uncertainty.across_tasks import reference_scales


class Judged(NamedTuple):
    """The study's claims, judged: the verdict, tasks and budget of each; the looks, where there are
    several, and the claims that are looked at."""

    verdicts: list[Verdict]
    places: list[tuple[list[str], str]]
    waves: LookSchedule | None
    followed: frozenset[str]


def judged(study: Mapping[str, Any], scores: pd.DataFrame, source: Source, looks: int | None = None) -> Judged:
    """The study's claims after so many looks (None: all that its runs allow), corrected over all of them."""
    given = claims_of(study)
    names = [str(one.get("name")) if isinstance(one, dict) else str(one) for one in study.get("tasks") or ()]
    tasks = names or sorted(set(scores["task"]))
    first = _first_budget(study, scores)
    places = [(_tasks(claim, tasks), claim.budget or first) for claim in given]
    waves, followed = waves_of(study, looks)
    unread = "" if waves else unread_looks(study)
    made = [
        untested(claim, unread)
        if unread and claim.kind.rests_on(claim) == "scores"
        else judge_claim(claim, on, budget, source, waves if claim.id in followed else None)
        for claim, (on, budget) in zip(given, places, strict=True)
    ]
    return Judged(corrected(made, followed), places, waves, followed)


def source_of(
    study: Mapping[str, Any],
    runs: pd.DataFrame,
    scores: pd.DataFrame,
    samples: Mapping[Key, Sample],
    evals: Callable[[], pd.DataFrame] = pd.DataFrame,
) -> Source:
    """What a study's claims may rest on."""
    scored = scores[scores["n"] > 0]
    constants = {key_of(row): float(row["majority"]) for row in records(scored)}
    fractions = [float(f) for f in study.get("fractions") or ()] or [float(f) for f in scores["fraction"]]
    scales = reference_scales(scored)
    gains = {key: high - low for key, (low, high, _) in scales.items()}
    references = {key: name for key, (_, _, name) in scales.items()}
    return Source(samples, chosen_rows(runs, scored), runs, constants, max(fractions), gains, references, evals=evals)


def verdicts(
    results: Results, runs: pd.DataFrame, scores: pd.DataFrame, samples: Mapping[Key, Sample], expected: Expectation
) -> list[dict[str, Any]]:
    """One plain dict per claim, as in claims.json; empty where the study has none."""
    if not claims_of(results.study):
        return []
    source = source_of(results.study, runs, scores, samples, lambda: results.evals)
    found = judged(results.study, scores, source)
    plan = Extension(results.study, runs, expected, results.uri)
    taken = len((results.plan or {}).get("looks", ()))
    decided = _decided(found, lambda looks: judged(results.study, scores, source, looks))
    made = []
    for now, (on, budget) in zip(found.verdicts, found.places, strict=True):
        at, one = decided.get(now.claim.id, (None, now))
        looks = told(one, now, found.waves, at, changed=taken > 1)
        one = fixed_since(one) if taken and found.waves is None else one
        step = _next(one, plan, looks)
        made.append(_plain(one, on, budget, source) | step | {"looks": looks})
    return made


def _decided(found: Judged, after: Callable[[int], Judged]) -> dict[str, tuple[int, Verdict]]:
    """Of each claim that is looked at and has a verdict, the look (from 1) that gave it, corrected over all claims as
    they stood `after` so many; and the verdict with what it was given on."""
    at: dict[str, tuple[int, Verdict]] = {}
    open_ = {one.claim.id for one in found.verdicts if one.claim.id in found.followed and one.verdict != "inconclusive"}
    for number in range(1, 1 + len(found.waves.levels.looks if found.waves else ())):
        if not open_:
            break
        now = {one.claim.id: one for one in after(number).verdicts if one.verdict != "inconclusive"}
        at |= {name: (number, one) for name, one in now.items() if name in open_}
        open_ -= now.keys()
    return at


def _first_budget(study: Mapping[str, Any], scores: pd.DataFrame) -> str:
    given = study.get("budget") or []
    first = given[0] if isinstance(given, list) and given else given
    if isinstance(first, dict):
        return json.dumps({key: value for key, value in first.items() if value is not None}, sort_keys=True)
    return str(min(scores["budget"]))


def _tasks(claim: Claim, tasks: list[str]) -> list[str]:
    return tasks if isinstance(claim.tasks, str) else list(claim.tasks)


def _plain(one: Verdict, tasks: list[str], budget: str, source: Source) -> dict[str, Any]:
    claim, found, top = one.claim, one.decides, source.top
    made: dict[str, Any] = {
        "id": claim.id,
        "says": claim.says,
        "a": claim.a,
        "b": claim.b,
        "statement": statement(claim, budget, top),
        "note": claim.note,
        "tasks": claim.tasks if isinstance(claim.tasks, str) else list(claim.tasks),
        "task_names": tasks,
        "fraction": top if claim.fraction is None else claim.fraction,
        "budget": json.loads(budget) if budget.startswith("{") else budget,
        "margin": claim.margin,
        "factor": claim.factor,
        "cost": claim.cost if "cost" in claim.kind.own_keys else None,
        "over": claim.over if "over" in claim.kind.own_keys else None,
        "given": claim.given or None,
        "scale": claim.scale,
        "reference": source.references.get((tasks[0], budget)) if claim.scale == "gain" else None,
        "verdict": one.verdict,
        "reason": one.reason,
        "quantity": claim.kind.quantity("a", "b"),
        "task": found.task if found else None,
    }
    keys = ("estimate", "low", "high", "level", "test")
    made |= {key: getattr(found, key) if found else None for key in keys}
    made |= {"pairs": one.pairs, "p": one.p, "p_adjusted": one.p_adjusted}
    made |= {"p_against": one.p_against, "p_against_adjusted": one.p_against_adjusted, **_settling(one)}
    made |= {"missing": one.missing or None, "filled": _filled(one), "effect": _effect(found)}
    made["collapses"] = [
        row for finding in one.findings for row in told_collapses(claim, finding, _resting(one, finding))
    ]
    made["choice"] = _choice(claim, tasks, budget, source)
    made["per_task"] = [_finding(finding) for finding in one.findings]
    return {key: finite_or_none(value) for key, value in made.items()}


def _resting(one: Verdict, finding: Finding) -> Word:
    """The verdict as far as it rests on a finding: one task refutes a claim, whatever the others say."""
    return one.verdict if one.verdict != "refuted" or finding is one.decides else "inconclusive"


def _settling(one: Verdict) -> dict[str, Any]:
    """The most seeds that any task needs, or why there is no such number."""
    against = any(found.refutes for found in one.findings)  # then nothing is said of what would support it
    without = next((found for found in one.findings if found.settling and not against), None)
    named = without is not None and len(one.findings) > 1 and len({found.settling for found in one.findings}) > 1
    never = "" if without is None else f"{without.task}: {without.settling}" if named else without.settling
    known = [found for found in one.findings if found.seeds_to_settle is not None]
    most = max(known, key=lambda found: found.seeds_to_settle or 0, default=None)
    keys = ("seeds_to_settle", "seeds_low", "seeds_high")
    seeds = {key: None if most is None or never else getattr(most, key) for key in keys}
    return {**seeds, "settling": never}


def _filled(one: Verdict) -> dict[str, Any] | None:
    """What the verdict would be with each missing run at the constant predictor's score."""
    if one.filled is None:
        return None
    found = one.filled.decides
    ends = {key: finite_or_none(getattr(found, key)) if found else None for key in ("estimate", "low", "high")}
    return {"verdict": one.filled.verdict, **ends}


def _effect(found: Finding | None) -> dict[str, Any] | None:
    if found is None or found.effect is None:
        return None
    return {key: finite_or_none(value) for key, value in asdict(found.effect).items()}


def _choice(claim: Claim, tasks: list[str], budget: str, source: Source) -> str | None:
    """Whether other seeds chose the configurations than those that scored them."""
    held = [source.samples[key] for key in cells_of(claim, tasks, budget, source) if key in source.samples]
    if not held:
        return None
    if any(one.choice is not None for one in held):
        return "same seeds"
    return "fresh seeds" if any(one.stage == "confirm" for one in held) else "nothing to choose"


def _next(one: Verdict, plan: Extension, looks: Mapping[str, Any] | None) -> dict[str, Any]:
    if one.verdict != "inconclusive" or not one.findings:
        return {"next": None}
    if looks is not None:
        return {"next": asdict(next_look(one.claim, one.findings, looks, plan))}
    return {"next": asdict(next_step(one.claim, one.findings, bool(one.missing), plan))}


def _finding(found: Finding) -> dict[str, Any]:
    keys = ("task", "estimate", "low", "high", "level", "test", "pairs", "p", "p_against", "supports", "refutes",
            "seeds_to_settle", "seeds_low", "seeds_high", "reason")  # fmt: skip
    return {key: finite_or_none(getattr(found, key)) for key in keys}


def statement(claim: Claim, budget: str, top: float) -> str:
    """The claim in words."""
    share = word(top if claim.fraction is None else claim.fraction, "percent")
    at = f"with {share} of the data, {budget_label(budget)}"
    on = {"all": "on every task", "pooled": "on average over the tasks"}
    where = on.get(claim.tasks, "") if isinstance(claim.tasks, str) else f"on {', '.join(claim.tasks)}"
    if claim.given:
        at += ", in the pairs in which neither collapsed"
    unit = " of the reference's gain over a constant" if claim.scale == "gain" and claim.margin else ""
    cost = LABELS.get(claim.cost, claim.cost)
    return claim.kind.statement(claim, Words(share, where, at, budget_label(budget), cost, unit))


def frame(given: list[dict[str, Any]]) -> pd.DataFrame:
    """The claims as a table, one row each, lists as words and budgets as canonical JSON."""
    return pd.DataFrame([_flat(one) for one in given])


def _flat(one: dict[str, Any]) -> dict[str, Any]:
    budget = json.dumps(one["budget"], sort_keys=True)
    words = {key: value if isinstance(value := one[key], str) else ", ".join(value) for key in ("tasks", "task_names")}
    rest = {key: value for key, value in one.items() if not isinstance(value, list | dict)}
    extra = {f"effect_{key}": value for key, value in (one["effect"] or {}).items()}
    step = one["next"] or {}
    extra |= {"filled_verdict": (one["filled"] or {}).get("verdict"), "command": step.get("command") or None}
    extra |= {"collapsed": collapse_words(one["collapses"])}
    return rest | extra | words | {"budget": budget, "budget_label": budget_label(budget)}


def by_task(given: list[dict[str, Any]]) -> pd.DataFrame:
    """One row per claim × task (or "pooled"): columns id, quantity and those of `per_task`."""
    rows = [{"id": one["id"], "quantity": one["quantity"]} | row for one in given for row in one["per_task"]]
    return pd.DataFrame(rows)


def to_json(given: Sequence[dict[str, Any]]) -> str:
    """claims.json."""
    return json.dumps(list(given), indent=2, allow_nan=False) + "\n"
