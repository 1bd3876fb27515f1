"""What it costs to settle a claim: seeds used wave by wave against a fixed number with the same chance of a verdict.

    python -m tests.benchmarks.cost_of_a_verdict

Simulated pairs whose difference scatters by one standard deviation; runs that do not collapse, and claims one by one.
"""

import argparse

import numpy as np
from scipy import stats

from finebench.analysis.statistics.group_sequential import Levels
from finebench.analysis.statistics.interim import outlook
from finebench.bench.study.parts.search import UntilSettled

CERTAIN = 0.999
"""A chance beyond this is compared as this: the simulation tells no more."""


def fixed(effect: float, margin: float, equivalence: bool, power: float, most: int = 200) -> int:
    """The smallest fixed number of pairs with this chance of support; `most` where none has."""
    for pairs in range(6, most):
        if _power(effect, margin, equivalence, pairs) >= power:
            return pairs
    return most


def _power(effect: float, margin: float, equivalence: bool, pairs: int) -> float:
    root = np.sqrt(pairs)
    if not equivalence:
        return float(stats.nct.sf(stats.t.ppf(0.975, pairs - 1), pairs - 1, (effect - margin) * root))
    scales = np.sqrt(stats.chi2.ppf((np.arange(400) + 0.5) / 400, pairs - 1) / (pairs - 1))  # of the sd, evenly likely
    half = margin * root - stats.t.ppf(0.95, pairs - 1) * scales
    inside = stats.norm.cdf(half - effect * root) - stats.norm.cdf(-half - effect * root)
    return float(np.where(half > 0, inside, 0.0).mean())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=30, help="seeds at the last look")
    levels = Levels(UntilSettled(most=parser.parse_args().most).schedule)
    print(f"looks at {', '.join(map(str, levels.looks))} seeds\n")
    print("| claim, in sd of a pair | chance of support | seeds used, mean | fixed, same chance | ratio |")
    print("|---|---:|---:|---:|---:|")
    cases = [(f"better, difference {effect:g}", effect, 0.0, False) for effect in (0.75, 1.0, 1.5, 2.0)]
    cases += [(f"matches within {margin:g}, no difference", 0.0, margin, True) for margin in (0.8, 1.0, 1.5)]
    for name, effect, margin, equivalence in cases:
        found = outlook(levels, effect, 1.0, margin, equivalence)
        chance = float(found.supported[-1])
        same = fixed(effect, margin, equivalence, min(chance, CERTAIN))
        print(f"| {name} | {chance:.1%} | {found.seeds:.1f} | {same} | {found.seeds / same:.2f} |")


if __name__ == "__main__":
    main()
