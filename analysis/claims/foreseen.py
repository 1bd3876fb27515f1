"""What a study whose seeds come until its claims are settled will cost, and decide: simulated before its first run.

Claims and tasks are simulated apart, as if none shared runs: what that leaves out is how often they stop together. A
claim of which nothing is expected, or that is not about a mean, is taken to run to the last look.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finebench.analysis.claims.evidence import needed_cells
from finebench.analysis.claims.expectations import Expectations, budget_of, tasks_of
from finebench.analysis.claims.levels import kept_levels
from finebench.analysis.claims.model import Claim
from finebench.analysis.statistics.foreseen import ALPHA, Seen, Truth, foreseen
from finebench.analysis.statistics.group_sequential import Levels
from finebench.analysis.statistics.holm import holm_columns
from finebench.analysis.statistics.interim import WITHIN_REACH
from finebench.bench.study.schema import Study

Array = NDArray[np.float64]

PATHS = 20_000
"""Simulated studies: the standard error of a probability is below 0.4 %."""

TRUTHS = 100
"""Values that a pilot does not exclude, among which the studies are shared out."""

_SEED = 20250219


@dataclass(frozen=True)
class Course:
    """Of simulated studies: by claim the look (from 0) after which it is closed, and whether it ended supported (1),
    refuted (−1) or neither (0), [path] each."""

    stops: Mapping[str, NDArray[np.int64]]
    ends: Mapping[str, NDArray[np.int64]]


def foresee(
    study: Study, expected: Expectations, rows: Sequence[Mapping[str, Any]], reference: str | None = None
) -> dict[str, Any]:
    """JSON-ready: expected trials and seconds on one core of the study's cells (`rows`, as `forecast` has them), and by
    claim the chance of a verdict by each look; with a pilot the 80 % interval of what it knows of each. `reference`:
    the method whose gain is the unit of claims in gains, whose cells they need too."""
    if study.waves is None:
        raise ValueError("the study's seeds do not come in waves")
    levels = kept_levels(study.waves.schedule)
    whole = {name: [one.truth(PATHS) for one in of] for name, of in expected.of.items()}
    course = _course(study, levels, whole, expected)
    trials, seconds = _cost(study, levels, expected, course, rows, reference)
    made = {"trials": float(trials.mean()), "seconds": None if seconds is None else float(seconds.mean())}
    claims = [_told(one, levels, course, expected) for one in expected.followed]
    if not expected.pilot:
        return made | {"claims": claims}
    rng = np.random.default_rng(_SEED)
    drawn = {name: [one.truths(rng, TRUTHS, PATHS // TRUTHS) for one in of] for name, of in expected.of.items()}
    course = _course(study, levels, drawn, expected)
    trials, seconds = _cost(study, levels, expected, course, rows, reference)
    made |= dict(zip(("trials_low", "trials_high"), _ends(trials), strict=True))
    made |= dict(zip(("seconds_low", "seconds_high"), (None, None) if seconds is None else _ends(seconds), strict=True))
    for claim, row in zip(expected.followed, claims, strict=True):
        if claim.id in expected.of:
            low, high = _ends(course.ends[claim.id] != 0)
            row |= {"verdict_low": low, "verdict_high": high}
    return made | {"claims": claims}


def _ends(values: NDArray[Any]) -> tuple[float, float]:
    """The 10 % and 90 % quantiles of the means by truth."""
    low, high = np.quantile(values.reshape(TRUTHS, -1).mean(axis=1), [0.1, 0.9])
    return float(low), float(high)


def _course(study: Study, levels: Levels, truths: Mapping[str, list[Truth]], expected: Expectations) -> Course:
    """Look after look, as `claims.standing` has it: Holm's correction over all claims, what was settled stays."""
    last, seen = len(levels.looks) - 1, dict[str, list[Seen]]()
    for number, (name, of) in enumerate(truths.items()):
        kinds = next(one.kind for one in expected.followed if one.id == name)
        seeds = range(_SEED + 100 * number, _SEED + 100 * number + len(of))
        bounds = [one.bound for one in expected.of[name]]
        seen[name] = [foreseen(levels, one, bound, kinds.holds, seed)
                      for one, bound, seed in zip(of, bounds, seeds, strict=True)]  # fmt: skip
    stops = {one.id: np.full(PATHS, last) for one in expected.followed}
    ends = {one.id: np.zeros(PATHS, dtype=np.int64) for one in expected.followed}
    open_ = {name: np.ones(PATHS, dtype=bool) for name in seen}
    rest = np.ones((sum(not one.kind.is_counted(one) for one in study.claims) - len(seen), PATHS))
    p, against = ({name: np.ones(PATHS) for name in seen} for _ in "pa")
    for look in range(last + 1):
        for name, tasks in seen.items():
            worst = np.max([one.p[:, look] for one in tasks], axis=0)
            least = np.minimum(1.0, len(tasks) * np.min([one.against[:, look] for one in tasks], axis=0))
            p[name] = np.where(open_[name], worst, p[name])
            against[name] = np.where(open_[name], least, against[name])
        adjusted = [holm_columns(np.concatenate([np.array(list(one.values())), rest])) for one in (p, against)]
        for row, (name, tasks) in enumerate(seen.items()):
            refuted = np.any([one.refutes[:, look] for one in tasks], axis=0) & (adjusted[1][row] <= ALPHA)
            supported = np.all([one.supports[:, look] for one in tasks], axis=0) & (adjusted[0][row] <= ALPHA)
            ends[name][open_[name] & refuted] = -1
            ends[name][open_[name] & supported & ~refuted] = 1
            closed = open_[name] & (refuted | supported | _futile(tasks, look))
            stops[name][closed] = look
            open_[name] &= ~closed
    return Course(stops, ends)


def _futile(tasks: list[Seen], look: int) -> NDArray[np.bool_]:
    """`claims.standing.is_futile`, of many studies."""
    far = np.ones(tasks[0].p.shape[0], dtype=bool)
    lost = np.zeros_like(far)
    for one in tasks:
        undecided = ~one.supports[:, look]
        far &= ~undecided | (one.reach_against[:, look] < WITHIN_REACH)
        lost |= undecided & (one.reach[:, look] < WITHIN_REACH)
    return far & lost


def _cost(
    study: Study,
    levels: Levels,
    expected: Expectations,
    course: Course,
    rows: Sequence[Mapping[str, Any]],
    reference: str | None,
) -> tuple[Array, Array | None]:
    """Trials and seconds [path]; no seconds where those of a cell are not known."""
    needs: dict[tuple[Any, ...], list[str]] = {}
    for claim in expected.followed:
        budget = budget_of(claim, study)
        for task in tasks_of(claim, study):
            unit = reference if claim.scale == "gain" else None
            for key in needed_cells(claim, task, budget, max(study.fractions), unit):
                needs.setdefault(key, []).append(claim.id)
    stage, looks = "confirm" if study.search.confirm_seeds else "grid", np.array(levels.looks)
    trials, seconds, known = np.zeros(PATHS), np.zeros(PATHS), True
    for row in rows:
        number = np.full(PATHS, float(row["trials"]))
        if row["stage"] == stage:
            claims = needs.get((row["task"], row["fraction"], row["budget"], row["method"]), [])
            last = (
                np.max([course.stops[name] for name in claims], axis=0) if claims else np.zeros(PATHS, dtype=np.int64)
            )
            number *= looks[last] / looks[-1]
        trials += number
        known = known and row["seconds"] is not None
        seconds += number * (row["seconds"] or 0.0)
    return trials, seconds if known else None


def _told(claim: Claim, levels: Levels, course: Course, expected: Expectations) -> dict[str, Any]:
    row: dict[str, Any] = {"id": claim.id, "why": expected.why.get(claim.id)}
    if claim.id not in expected.of:
        nothing = dict.fromkeys(("verdict_by_look", "supported", "refuted", "seeds", "verdict_low", "verdict_high"))
        return row | nothing | {"expected": []}
    stops, ends = course.stops[claim.id], course.ends[claim.id]
    by_look = [float(np.mean((ends != 0) & (stops <= look))) for look in range(len(levels.looks))]
    return row | {
        "verdict_by_look": by_look,
        "supported": float(np.mean(ends == 1)),
        "refuted": float(np.mean(ends == -1)),
        "seeds": float(np.array(levels.looks)[stops].mean()),
        "verdict_low": None,
        "verdict_high": None,
        "expected": [one.told() for one in expected.of[claim.id]],
    }
