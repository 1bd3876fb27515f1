"""What is expected of a claim before its study runs: a difference and a spread, stated or as a pilot shows them."""

import math
import re
from dataclasses import dataclass
from typing import Any

from finebench.analysis.claims.evidence import Evidence, Source, evidence, needed_cells
from finebench.analysis.claims.evidence_mean import components_of
from finebench.analysis.claims.judge import source_of
from finebench.analysis.claims.model import Claim, claims_of
from finebench.analysis.load.expected import Expectation
from finebench.analysis.load.read import load_results
from finebench.analysis.load.runs import runs
from finebench.analysis.scores.samples import Samples
from finebench.analysis.scores.scores import scores
from finebench.analysis.statistics.foreseen import Expected, Side
from finebench.bench.study.schema import Study
from finebench.bench.study.waves import in_waves
from finebench.bench.util.errors import InputError, choose

_STATED = re.compile(r"(?:(?P<claim>[A-Za-z0-9][A-Za-z0-9._-]*)=)?(?P<numbers>[^,=/]+(?:,[^,=/]+){1,2})")


@dataclass(frozen=True)
class Expectations:
    """Of the claims that are looked at what is expected by task, or why nothing is; whether a pilot shows it."""

    followed: list[Claim]
    of: dict[str, list[Expected]]
    why: dict[str, str]
    pilot: bool = False


def expectations(study: Study, given: list[str]) -> Expectations:
    """What `--expect` says of the claims that are looked at: the results folder of a pilot, or [CLAIM=]EFFECT,SD[,COST]
    as often as needed, the last word on a claim counting.

    COST is what a collapse in every run would take from either method's mean. Raises InputError for what is neither.
    """
    stated = study.model_dump(mode="json", exclude_none=True)
    followed = [one for one, its in zip(claims_of(stated), study.claims, strict=True) if in_waves(study, its)]
    parsed = [_STATED.fullmatch(one) for one in given]
    folders = [text for text, found in zip(given, parsed, strict=True) if found is None]
    if folders and len(given) > 1:
        raise InputError(f"--expect {folders[0]}: one results folder, or EFFECT,SD of claims, not both")
    if folders:
        return _of_pilot(study, stated, followed, folders[0])
    made = Expectations(followed, {}, {one.id: "nothing is said of it" for one in followed})
    for found in parsed:
        if found is not None:
            _state(study, found, made)
    return made


def _state(study: Study, found: re.Match[str], made: Expectations) -> None:
    text, named, ids = found.group(), found["claim"], [one.id for one in made.followed]
    if named is not None and named not in ids:
        raise InputError(f"--expect {text}: {choose('claim', named, ids)}")
    try:
        effect, sd, cost = (*(float(one) for one in found["numbers"].split(",")), 0.0)[:3]
    except ValueError:
        raise InputError(f"--expect {text}: EFFECT,SD or EFFECT,SD,COST are numbers") from None
    if not (math.isfinite(effect) and 0 < sd < math.inf and 0 <= cost < math.inf):
        raise InputError(f"--expect {text}: EFFECT is a number, SD one above 0, COST one from 0 up")
    for claim in made.followed:
        if named not in (None, claim.id):
            continue
        bound = claim.margin or (None if claim.says == "saturates_by" else 0.0)
        if not claim.kind.of_means or bound is None:
            made.why[claim.id] = "it is not about a mean against a stated margin"
            continue
        held = ((0.0, cost),) if cost and not claim.given else ()
        made.why.pop(claim.id, None)
        tasks = ["pooled"] if claim.tasks == "pooled" else tasks_of(claim, study)
        made.of[claim.id] = [Expected(task, effect, sd, bound, first=held, second=held) for task in tasks]


def tasks_of(claim: Claim, study: Study) -> list[str]:
    """The tasks that a claim is judged on."""
    return study.task_names if isinstance(claim.tasks, str) else list(claim.tasks)


def budget_of(claim: Claim, study: Study) -> str:
    """The budget that it is judged at."""
    return claim.budget or study.budget[0].canonical


def _of_pilot(study: Study, stated: dict[str, Any], followed: list[Claim], uri: str) -> Expectations:
    loaded = load_results(uri)
    table = runs(loaded)
    expected = Expectation(loaded.plan, table)
    samples = Samples(loaded, table, expected)
    source = source_of(stated, table, scores(table, expected, samples), samples)
    made = Expectations(followed, {}, {}, pilot=True)
    for claim in followed:
        tasks = tasks_of(claim, study)
        groups = [tasks] if claim.tasks == "pooled" else [[task] for task in tasks]
        shown = [_shown(claim, group, budget_of(claim, study), source) for group in groups]
        why = next((one for one in shown if isinstance(one, str)), None)
        if why is None:
            made.of[claim.id] = [one for one in shown if isinstance(one, Expected)]
        else:
            made.why[claim.id] = why
    if not made.of:
        raise InputError(
            f"--expect {uri}: it shows nothing of any claim: {'; '.join(map(': '.join, made.why.items()))}"
        )
    return made


def _shown(claim: Claim, tasks: list[str], budget: str, source: Source) -> Expected | str:
    """What a pilot shows of a claim on one task, or on several pooled; or why it shows nothing."""
    if not claim.kind.of_means:
        return "it is not about a mean"
    keys = [needed_cells(claim, task, budget, source.top) for task in tasks]
    lacking = next((key for both in keys for key in both if key not in source.samples), None)
    if lacking is not None:
        return f"the pilot has no score of {lacking[3]} on {lacking[0]} at fraction {lacking[1]:g} and its budget"
    if claim.scale == "gain" and any(not source.gains[task, budget] > 0 for task in tasks):
        return "the pilot's reference gains nothing over a constant predictor"
    found = evidence(claim, tasks, budget, source)
    parts = components_of(Evidence(claim, found.task, keys, source).pairs)
    if parts is None or found.reason or not parts.of_seeds > 0:
        return found.reason or "the pilot's pairs have no spread"
    sides: list[Side] = [(), ()]
    if not claim.given:
        # By side before any is left out: what it costs a method that always collapsed is not known.
        sides = [
            tuple((one.collapsed / one.runs, one.cost) for one in own if one.runs and math.isfinite(one.cost))
            for own in (found.collapses[0::2], found.collapses[1::2])
        ]
    error, df = math.sqrt(parts.from_seeds + parts.choice), parts.seeds_df
    noise = (parts.examples, parts.n_examples, error, df)
    return Expected(found.task, found.estimate, math.sqrt(parts.of_seeds), found.bound, *noise, *sides)
