"""From a claim and the results to its verdict: the cells that it needs, what they lack, the looks that were taken."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from finebench.analysis.claims.evidence import Source, cells_of, evidence
from finebench.analysis.claims.levels import kept_levels
from finebench.analysis.claims.model import Claim, Finding
from finebench.analysis.claims.settling import valid_study
from finebench.analysis.claims.verdicts import Verdict, judge, untested, with_holes
from finebench.analysis.claims.waves import together
from finebench.analysis.load.expected import Key
from finebench.analysis.load.frames import groups
from finebench.analysis.load.runs import CELL, budget_label
from finebench.analysis.load.words import word
from finebench.analysis.statistics.group_sequential import Interim, Levels
from finebench.analysis.statistics.unit import GAIN_KNOWN
from finebench.bench.study.parts.search import UntilSettled
from finebench.bench.study.waves import in_waves, wave_seeds

NO_REACH = (math.nan, math.nan)

SHOWN = 3
"""Cells named in a sentence; the others are counted."""


@dataclass(frozen=True)
class LookSchedule:
    """A study whose seeds come in waves: in their order, with the looks after which it may stop."""

    seeds: tuple[int, ...]
    levels: Levels
    looks: int | None = None
    """Looks that are taken, whatever is there; None: all."""

    def complete(self, keys: list[Key], source: Source) -> Iterator[Source]:
        """What each look sees whose seeds have ended in every one of the cells, however they ended."""
        for number, pairs in enumerate(self.levels.looks[: self.looks]):
            seeds = set(self.seeds[:pairs])
            if any(not seeds <= _ended(key, source) for key in keys):
                return
            yield source.seen(seeds, Interim(self.levels, number))


def _ended(key: Key, source: Source) -> set[int]:
    """The seeds whose run of a cell's configuration has ended, however: a failed one is a row too."""
    sample = source.samples[key]
    ended = {one.seed for one in sample.absent if one.seed is not None and one.why != "not run"}
    if "configuration" in source.runs:
        ended |= {int(seed) for seed in source.reported(key)["seed"]}
    return ended | set(sample.seeds.tolist())


def waves_of(study: Mapping[str, Any], looks: int | None = None) -> tuple[LookSchedule | None, frozenset[str]]:
    """The looks of a study whose seeds come in waves, and the claims (ids) that are judged at them."""
    found = valid_study(study)
    if found is None or found.waves is None:
        return None, frozenset()
    followed = frozenset(claim.id for claim in found.claims if in_waves(found, claim))
    return LookSchedule(wave_seeds(found), kept_levels(found.waves.schedule), looks), followed


def unread_looks(study: Mapping[str, Any]) -> str:
    """Why the looks of a study cannot be told that says its seeds come until its claims are settled; empty where they
    can, or it does not."""
    search = study.get("search")
    kinds = [one for one in search.values() if isinstance(one, dict)] if isinstance(search, dict) else []
    given = [study.get("seeds"), *(one.get("confirm_seeds") for one in kinds)]
    waves = any(isinstance(one, dict) and UntilSettled.model_fields.keys() & one.keys() for one in given)
    if not waves or valid_study(study) is not None:
        return ""
    return (
        "its seeds come until claims are settled, and this installation cannot read the study: finebench plan of its "
        "study.yaml says why. Intervals of a single look would be too narrow"
    )


def judge_claim(
    claim: Claim, tasks: list[str], budget: str, source: Source, waves: LookSchedule | None = None
) -> Verdict:
    """The verdict on one claim, before correction over the study's claims; of seeds in waves, that of the looks so
    far."""
    held = source.costs if claim.kind.rests_on(claim) == "costs" else source.samples
    absent = [key for key in cells_of(claim, tasks, budget, source) if key not in held]
    if absent:
        return untested(claim, _not_run(absent, budget, source.runs))
    if claim.kind.void(claim, source.top):
        return untested(claim, "the claimed fraction is all of the data that was used")
    references = sorted({source.references.get((task, budget), "") for task in tasks})
    if claim.scale == "gain" and len(references) > 1:
        return untested(claim, f"no common scale: the reference is {' on some tasks, on others '.join(references)}")
    if waves is None:
        return _judged(claim, tasks, budget, [source], None)
    looks = list(waves.complete(cells_of(claim, tasks, budget, source), source))
    if not looks:
        return untested(
            claim, f"its first interim analysis is at {waves.levels.looks[0]} seeds, which have not all ended"
        )
    return _judged(claim, tasks, budget, looks, waves.levels)


def _judged(claim: Claim, tasks: list[str], budget: str, looks: list[Source], levels: Levels | None) -> Verdict:
    """The verdict of one look (`levels` None), or of several; and what missing runs would do to it."""
    groups_of = [tasks] if claim.tasks == "pooled" else [[task] for task in tasks]

    def found(seen: list[Source]) -> Verdict:
        made = [[_evidence(claim, some, budget, one) for one in seen] for some in groups_of]
        return judge(claim, [one[-1] if levels is None else together(claim, one, levels) for one in made])

    made, lacking = found(looks), _lacking(claim, tasks, budget, looks[-1])
    if not lacking or all(one.exact for one in made.findings):
        return made
    if claim.kind.rests_on(claim) != "scores":  # what a missing run would have cost or spread has no bound
        return with_holes(made, lacking, None)
    return with_holes(made, lacking, found([replace(one, filled=True) for one in looks]))


def _evidence(claim: Claim, tasks: list[str], budget: str, source: Source) -> Finding:
    """What a look sees of a claim; nothing, where the reference's gain is too little known to measure by."""
    if claim.scale != "gain":
        return evidence(claim, tasks, budget, source)
    flat = [task for task in tasks if not source.gains[task, budget] > 0]
    unit = replace(source, gains={**source.gains, **{(task, budget): 1.0 for task in flat}})
    made = evidence(claim, tasks, budget, unit)
    if flat:
        reason = f"{flat[0]}: the reference gains nothing over a constant predictor, which sets no scale"
        return replace(made, supports=False, refutes=False, reason=reason)
    for task in tasks:
        gain, (error, stays) = source.gains[task, budget], source.errors_of_gain(task, budget)
        if made.exact or not gain < GAIN_KNOWN * error:
            continue
        reason = (
            f"{task}: the reference gains {gain:.3g} over a constant predictor, with a standard error of {error:.3g}, "
            f"and a unit needs {GAIN_KNOWN} of them"
        )
        made = replace(made, supports=False, refutes=False, reason=reason, settling="", reach=NO_REACH)
        if gain < GAIN_KNOWN * stays:  # the examples' noise stays with any number of seeds
            said = f"the noise of the scored examples alone is {stays:.3g}: train longer there, or leave {task} out"
            made = replace(made, settling=said, reach=(0.0, 0.0))
        return made
    return made


def _lacking(claim: Claim, tasks: list[str], budget: str, source: Source) -> str:
    """The runs that the claim's cells lack, in words; empty where none are missing."""
    said, apart = [], len(set(claim.kind.fractions(claim, source.top))) > 1
    for key in cells_of(claim, tasks, budget, source):
        absent = source.samples[key].absent
        named = [f"seed {one.seed} ({one.why})" for one in absent if one.seed is not None]
        more = [f"{len(absent) - len(named)} not run"] if len(named) < len(absent) else []
        if absent:
            shown = named[:4] + ([f"{len(named) - 4} more"] if len(named) > 4 else []) + more
            share = f" at {word(key[1], 'percent')}" if apart else ""
            said.append(f"{key[3]} on {key[0]}{share} lacks {', '.join(shown)}")
    others = len(said) - SHOWN
    rest = [] if others < 1 else ["1 more cell lacks runs" if others == 1 else f"{others} more cells lack runs"]
    return "; ".join(said[:SHOWN] + rest)


def _not_run(absent: list[Key], budget: str, runs: pd.DataFrame) -> str:
    """The cells without a score, apart those that were not run and those in which no run gave one."""
    ended = {key: dict(rows["status"].value_counts()) for key, rows in groups(runs, CELL).items() if key in absent}
    made = []
    for said, keys in (
        ("not run", [key for key in absent if key not in ended]),
        ("no run gave a score", [key for key in absent if key in ended]),
    ):
        places = list(dict.fromkeys(_place(key, ended.get(key, {})) for key in keys))
        more = f" and {len(places) - SHOWN} more cells" if len(places) > SHOWN else ""
        made += [f"{said}: {', '.join(places[:SHOWN])}{more}"] if places else []
    return f"{'; '.join(made)} ({budget_label(budget)})"


def _place(key: Key, ended: Mapping[str, int]) -> str:
    how = ", ".join(f"{number} {status}" for status, number in sorted(ended.items()))
    return f"{key[3]} on {key[0]} at {word(key[1], 'percent')}" + (f" ({how})" if how else "")
