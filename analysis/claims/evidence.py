"""What a kind of claim finds its evidence on, in one task or pooled over tasks: cells, pairs, gains and collapses.

Pooled: a seed is the same subset, order and dropout on every task, so each seed's tasks are averaged first and a pooled
pair is a seed. Every task counts alike.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import pandas as pd

from finebench.analysis.claims.evidence_collapse import collapses
from finebench.analysis.claims.model import Claim, Collapses, Finding
from finebench.analysis.load.expected import Key
from finebench.analysis.statistics.crossed import errors_of_mean
from finebench.analysis.statistics.group_sequential import ONLY, Look
from finebench.analysis.statistics.sample import Absent, Pairs, Sample, common, pair
from finebench.analysis.statistics.spread_ratio import mean_deviations
from finebench.analysis.statistics.unit import unit_of


@dataclass(frozen=True)
class Source:
    """What evidence is read from: samples and cost rows by cell, all runs, constants by cell, the largest fraction.

    gains: by task and budget, what the reference (`references`) gains over the constant predictor. filled: missing
    runs count as runs at the constant predictor's score. look: which of several looks at growing samples it is. evals:
    reads all evaluations of the results.
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
    evals: Callable[[], pd.DataFrame] = pd.DataFrame
    _reported: dict[Key, pd.DataFrame] = field(init=False, repr=False, compare=False, default_factory=dict)
    _seen: dict[tuple[frozenset[int], Look], "Source"] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    """What was asked for before: every claim is judged at the same looks. A copy (`replace`) begins with none."""

    def sample(self, key: Key, claim: Claim) -> Sample:
        """A cell's sample, its missing runs filled in where that is asked for.

        In a claim about collapses they count as collapsed. In one about the runs that did not they stay: left out, they
        could only help.
        """
        own = self.samples[key]
        return own.filled(_seeds(own.absent), claim.kind.of_collapses) if self.filled else own

    def reference(self, task: str, budget: str) -> Key | None:
        """The cell whose gain over the constant predictor is the unit of `scale: gain`; None where it has no runs."""
        method = self.references.get((task, budget))
        of = [key for key in self.samples if (key[0], *key[2:]) == (task, budget, method)]
        key = max(of, key=lambda one: one[1], default=None)
        return key if key is not None and self.samples[key].entered.size else None

    def errors_of_gain(self, task: str, budget: str) -> tuple[float, float]:
        """The standard error of the reference's gain, and the part of it that stays with any number of seeds; 0 where
        the gain does not come from several runs."""
        key = self.reference(task, budget)
        return (0.0, 0.0) if key is None else errors_of_mean(self.samples[key].scored)

    def reported(self, key: Key) -> pd.DataFrame:
        """The rows of a cell's reported configuration, in the stage that is reported, however they ended."""
        if key in self._reported:
            return self._reported[key]
        sample, (task, fraction, budget, name) = self.samples[key], key
        place = self.runs["task"].eq(task) & self.runs["fraction"].eq(fraction) & self.runs["budget"].eq(budget)
        place &= self.runs["method"].eq(name) & self.runs["stage"].eq(sample.stage)
        self._reported[key] = self.runs[place & self.runs["configuration"].eq(sample.configuration)]
        return self._reported[key]

    def alike(self, a: Key, b: Key, seeds: Collection[int]) -> bool:
        """Whether the runs of two cells on these seeds had the same loss and the same score in each evaluation, to the
        last bit: one computation under two names."""
        found = self.evals()
        if found.empty:
            return False
        tables = [_evaluated(found, self.reported(key), seeds) for key in (a, b)]
        whole = all(set(table["seed"]) == set(seeds) and table["loss"].notna().all() for table in tables)
        return whole and tables[0].equals(tables[1])

    def seen(self, seeds: Collection[int], look: Look) -> "Source":
        """What a look at the runs of some seeds has to go on: nothing that later seeds show."""
        asked = (frozenset(seeds), look)
        if asked not in self._seen:
            self._seen[asked] = self._of(asked[0], look)
        return self._seen[asked]

    def _of(self, seeds: frozenset[int], look: Look) -> "Source":
        samples = {key: one.of(seeds) for key, one in self.samples.items()}
        costs = {key: rows[rows["seed"].isin(seeds)] for key, rows in self.costs.items()}
        gains = dict(self.gains)
        runs = self.runs[self.runs["seed"].isin(seeds)]
        made = replace(self, samples=samples, costs=costs, runs=runs, look=look)
        for task, budget in self.references:
            key = made.reference(task, budget)
            if key is not None:
                gains[task, budget] = float(samples[key].entered.mean()) - self.constants[key]
        return replace(made, gains=gains)


def _evaluated(evals: pd.DataFrame, rows: pd.DataFrame, seeds: Collection[int]) -> pd.DataFrame:
    """The evaluations of a cell's runs, by seed, step and split."""
    columns = ["seed", "step", "split", "loss", "value"]
    mine = evals.merge(rows.loc[rows["seed"].isin(seeds), ["trial_id", "seed"]], on="trial_id")
    return mine.sort_values(columns[:3], ignore_index=True)[columns]


def _seeds(absent: tuple[Absent, ...]) -> list[int]:
    """The seeds of missing runs; those without a name get one that is no seed's, the same for every method."""
    named = [one.seed for one in absent if one.seed is not None]
    return [*named, *(-number for number in range(1, len(absent) - len(named) + 1))]


def cells_of(claim: Claim, tasks: list[str], budget: str, source: Source) -> list[Key]:
    """The cells that a claim needs, each once; task by task, a's first, then b's, then that which sets the unit."""
    made = dict[Key, None]()
    for task in tasks:
        reference = source.references.get((task, budget)) if claim.scale == "gain" else None
        made |= dict.fromkeys(needed_cells(claim, task, budget, source.top, reference))
    return list(made)


def needed_cells(claim: Claim, task: str, budget: str, top: float, reference: str | None = None) -> list[Key]:
    """The cells that a claim needs in a task, in a study whose largest fraction is `top`: a's, b's and, where gains are
    its unit, that of the `reference` with the most data."""
    mine, theirs = claim.kind.fractions(claim, top)
    made = [(task, mine, budget, claim.a), (task, theirs, budget, claim.b or claim.a)]
    return made if reference is None else [*made, (task, top, budget, reference)]


@dataclass(frozen=True)
class Evidence:
    """What a kind of claim finds on one task, or on several together: the cells (a's, b's) of each, and their runs."""

    claim: Claim
    name: str
    """The task, or pooled."""
    keys: list[list[Key]]
    source: Source

    @property
    def look(self) -> Look:
        """Which of several looks at growing samples it is."""
        return self.source.look

    @cached_property
    def pairs(self) -> list[Pairs]:
        """By task, a's scores against b's as the claim restricts and scales them; b's against a's where the kind has
        it so. In shares of a gain, on the seeds that all tasks have."""
        made = [self._pairs(*both) for both in self.keys]
        if self.claim.scale != "gain":
            return made
        return [self._in_gains(one, *both[0]) for one, both in zip(common(made), self.keys, strict=True)]

    def _in_gains(self, pairs: Pairs, task: str, fraction: float, budget: str, method: str) -> Pairs:
        """In shares of what the reference gains, with the noise of that; the examples' where both have the same."""
        made, key = pairs.scaled(1 / self.source.gains[task, budget]), self.source.reference(task, budget)
        if key is None:
            return made
        own, constant = self.source.samples[key], self.source.constants[key]
        moved = own.replicates if own.n_examples == pairs.n_examples else None
        unit = unit_of(pairs.seeds, own.seeds, own.entered - constant, None if moved is None else moved - constant)
        return replace(made, unit=unit)

    def _pairs(self, a: Key, b: Key) -> Pairs:
        claim, source = self.claim, self.source
        first, second = (b, a) if claim.kind.b_less_a else (a, b)
        made = pair(source.sample(first, claim), source.sample(second, claim))
        return made.healthy if claim.given == "not_collapsed" else made

    def one_method(self) -> bool:
        """Whether both runs of every pair, on every task, are one computation."""
        tasks = zip(self.keys, self.pairs, strict=True)
        return all(self.source.alike(a, b, pairs.seeds.tolist()) for (a, b), pairs in tasks)

    @property
    def gains(self) -> list[float]:
        """By task, what the first of the paired cells gains over the constant predictor."""
        firsts = [both[1 if self.claim.kind.b_less_a else 0] for both in self.keys]
        return [float(self.source.samples[key].entered.mean() - self.source.constants[key]) for key in firsts]

    @property
    def collapses(self) -> tuple[Collapses, ...]:
        """How often either method collapsed; the runs as they are, whatever the claim is restricted to."""
        made = []
        for own, units in zip(self.keys, self._units, strict=True):
            order = own[::-1] if self.claim.kind.b_less_a else own
            made += [collapses(key, self.source.samples[key], unit) for key, unit in zip(order, units, strict=True)]
        return tuple(made)

    @property
    def _units(self) -> list[tuple[float, float]]:
        """By task, what divides points of either method where collapses are told in the unit of the estimate: of a
        ratio of spreads each method's own."""
        if self.claim.kind.measures == "ratio":
            return mean_deviations([(one.a, one.b) for one in common(self.pairs)])
        gains = [self.source.gains[a[0], a[2]] if self.claim.scale == "gain" else 1.0 for a, _ in self.keys]
        return [(gain * len(self.keys),) * 2 for gain in gains]


def evidence(claim: Claim, tasks: list[str], budget: str, source: Source) -> Finding:
    """The finding on the named tasks together (one: on that task); every cell that is needed must be there."""
    keys = [needed_cells(claim, task, budget, source.top) for task in tasks]
    on = Evidence(claim, tasks[0] if len(tasks) == 1 else "pooled", keys, source)
    found = claim.kind.evidence(claim, on)
    told = claim.kind.of_means or claim.kind.of_collapses or claim.kind.shaken_by_collapse(claim)
    return replace(found, collapses=on.collapses) if told else found
