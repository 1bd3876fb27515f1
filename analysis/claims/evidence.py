"""The evidence on a claim in one task, or pooled over tasks: the estimate that it is about, its interval, its p-values.

    matches, better   mean of a − b over pairs, in points of the task's metric (or shares of the reference's gain)
    varies_more       ratio of mean absolute deviations over seeds (Brown–Forsythe), or of sd over learning rates
    collapses_more    of the pairs in which one method alone collapsed, the share in which it was a
    cheaper           cost of b / cost of a, the geometric mean of pairs: how many times cheaper a is
    saturates_by      score with all data − score at the claimed fraction: what the rest of the data still adds

Pooled: a seed is the same subset, order and dropout on every task, so each seed's tasks are averaged first and a pooled
pair is a seed. Every task counts alike.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from finebench.analysis.claims.evidence_collapse import collapses, collapses_more
from finebench.analysis.claims.evidence_cost import cheaper
from finebench.analysis.claims.evidence_mean import better, matches, saturates
from finebench.analysis.claims.evidence_spread import spread, spread_over_lr
from finebench.analysis.claims.model import Claim, Collapses, Finding
from finebench.analysis.load.expected import Key
from finebench.analysis.statistics.group_sequential import ONLY, Look
from finebench.analysis.statistics.sample import Absent, Pairs, Sample, pair


@dataclass(frozen=True)
class Source:
    """What evidence is read from: samples and cost rows by cell, all runs, constants by cell, the largest fraction.

    gains: by task and budget, what the reference (`references`) gains over the constant predictor. filled: missing
    runs count as runs at the constant predictor's score. look: which of several looks at growing samples it is.
    """

    samples: Mapping[Key, Sample]
    costs: Mapping[Key, pd.DataFrame]
    runs: pd.DataFrame
    constants: Mapping[Key, float]
    top: float
    gains: Mapping[tuple[str, str], float]
    references: Mapping[tuple[str, str], str] = field(default_factory=dict)
    filled: bool = False
    look: Look = ONLY

    def sample(self, key: Key, claim: Claim) -> Sample:
        """A cell's sample, its missing runs filled in where that is asked for.

        In a claim about collapses they count as collapsed. In one about the runs that did not they stay: left out, they
        could only help.
        """
        own = self.samples[key]
        return own.filled(_seeds(own.absent), claim.says == "collapses_more") if self.filled else own

    def seen(self, seeds: Collection[int], look: Look) -> "Source":
        """What a look at the runs of some seeds has to go on: nothing that later seeds show."""
        samples = {key: one.of(seeds) for key, one in self.samples.items()}
        costs = {key: rows[rows["seed"].isin(seeds)] for key, rows in self.costs.items()}
        gains = dict(self.gains)
        for (task, budget), method in self.references.items():
            top = max((key[1] for key in samples if (key[0], *key[2:]) == (task, budget, method)), default=None)
            if top is not None and samples[task, top, budget, method].entered.size:
                key = (task, top, budget, method)
                gains[task, budget] = float(samples[key].entered.mean()) - self.constants[key]
        runs = self.runs[self.runs["seed"].isin(seeds)]
        return replace(self, samples=samples, costs=costs, runs=runs, gains=gains, look=look)


def _seeds(absent: tuple[Absent, ...]) -> list[int]:
    """The seeds of missing runs; those without a name get one that is no seed's, the same for every method."""
    named = [one.seed for one in absent if one.seed is not None]
    return [*named, *(-number for number in range(1, len(absent) - len(named) + 1))]


def cells_of(claim: Claim, task: str, budget: str, source: Source) -> list[Key]:
    """The cells that a claim needs in a task, a's first."""
    fraction = source.top if claim.fraction is None else claim.fraction
    if claim.says == "saturates_by":
        return [(task, fraction, budget, claim.a), (task, source.top, budget, claim.b or claim.a)]
    return [(task, fraction, budget, claim.a), (task, fraction, budget, str(claim.b))]


def evidence(claim: Claim, tasks: list[str], budget: str, source: Source) -> Finding:
    """The finding on the named tasks together (one: on that task); every cell that is needed must be there."""
    keys = [cells_of(claim, task, budget, source) for task in tasks]
    name = tasks[0] if len(tasks) == 1 else "pooled"
    if claim.says == "cheaper":
        return cheaper(claim, name, [(source.costs[a], source.costs[b]) for a, b in keys], source.look)
    if claim.says == "varies_more" and claim.over == "lr":
        sides = [[(source.runs, source.samples[key], key) for key in both] for both in keys]
        return spread_over_lr(claim, name, sides, source.look)
    pairs = [_pairs(claim, a, b, source) for a, b in keys]
    return replace(_found(claim, name, pairs, keys, source), collapses=_collapses(claim, pairs, keys, source))


def _pairs(claim: Claim, a: Key, b: Key, source: Source) -> Pairs:
    """a's scores against b's, as the claim restricts and scales them; of saturation with all data against with less."""
    first, second = (b, a) if claim.says == "saturates_by" else (a, b)
    made = pair(source.sample(first, claim), source.sample(second, claim))
    if claim.given == "not_collapsed":
        made = made.healthy
    return made.scaled(1 / source.gains[a[0], a[2]]) if claim.scale == "gain" else made


def _found(claim: Claim, name: str, pairs: list[Pairs], keys: list[list[Key]], source: Source) -> Finding:
    if claim.says == "varies_more":
        return spread(claim, name, pairs, source.look)
    if claim.says == "collapses_more":
        return collapses_more(name, pairs, source.look)
    if claim.says == "saturates_by":
        gains = [source.samples[top].entered.mean() - source.constants[top] for _, top in keys]
        return saturates(claim, name, pairs, [float(gain) for gain in gains], source.look)
    return (matches if claim.says == "matches" else better)(claim, name, pairs, source.look)


def _collapses(claim: Claim, pairs: list[Pairs], keys: list[list[Key]], source: Source) -> tuple[Collapses, ...]:
    """How often either method collapsed; the runs as they are, whatever the claim is restricted to."""
    if not (claim.of_means or claim.says == "collapses_more"):
        return ()
    made = []
    for own in keys:
        unit = source.gains[own[0][0], own[0][2]] if claim.scale == "gain" else 1.0
        order = own[::-1] if claim.says == "saturates_by" else own
        made += [collapses(key, source.samples[key], unit * len(pairs)) for key in order]
    return tuple(made)
