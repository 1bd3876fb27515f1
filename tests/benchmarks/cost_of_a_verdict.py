"""What it costs to settle claims: seeds used wave by wave against a fixed number with the same chance of a verdict.

    python -m tests.benchmarks.cost_of_a_verdict [--most 30] [--adastop 400]

Simulated pairs whose difference scatters by one standard deviation; runs that do not collapse. First claims one by one,
then the claims on means of whole studies, corrected together: the truth lies one standard deviation of a pair above the
bound of each `better`, and in the middle of each `matches`, whose margin is one. AdaStop (Mathieu et al., 2024,
https://arxiv.org/abs/2306.10882) is compared where it is installed (python -m pip install adastop==0.1.3). It knows no
pairs and no margins, so that it is given `better` alone: two methods that share half of a seed's variance.
"""

import argparse
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
from scipy import stats

from finebench.analysis.claims.expectations import expectations
from finebench.analysis.claims.foreseen import foresee
from finebench.bench.driver.forecast import forecast
from finebench.bench.study.load import load_study
from finebench.bench.study.parts.search import UntilSettled
from finebench.bench.study.schema import Study

CERTAIN = 0.999
"""A chance beyond this is compared as this: the simulation tells no more."""

ONE_RATE = ["full.lr=1e-3", "bitfit.lr=1e-2", "adapter.lr=3e-3", "lora.lr=3e-3", "head.lr=1e-2"]
STUDIES = {
    "quickstart, one learning rate each": ("quickstart", [f"methods.{one}" for one in ONE_RATE], "seeds"),
    "doering2024, fresh seeds": ("doering2024", ["seeds=3"], "search.grid.confirm_seeds"),
}
"""The study, its settings, and the key of the seeds that come in waves."""


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


def one_claim(most: int) -> Iterator[str]:
    """The rows of claims that are settled one by one."""
    cases: list[tuple[str, float, dict[str, Any]]] = []
    cases += [(f"better, difference {effect:g}", effect, {"says": "better"}) for effect in (0.75, 1.0, 1.5, 2.0)]
    cases += [(f"matches within {m:g}, no difference", 0.0, {"says": "matches", "margin": m}) for m in (0.8, 1.0, 1.5)]
    for name, effect, claim in cases:
        asked = _written(claim | {"id": "c", "a": "bitfit", "b": "full", "tasks": ["mini-cola"]})
        sets = [*STUDIES["quickstart, one learning rate each"][1], f"claims=[{asked}]"]
        found = _foreseen("quickstart", [*sets, f"seeds={{most: {most}, until: settled}}"], [], [f"{effect},1"])
        chance, seeds = found["claims"][0]["supported"], found["claims"][0]["seeds"]
        same = fixed(effect, claim.get("margin", 0.0), "margin" in claim, min(chance, CERTAIN))
        yield f"| {name} | {chance:.1%} | {seeds:.1f} | {same} | {seeds / same:.2f} |"


def _written(claim: dict[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {value}".replace("'", "") for key, value in claim.items()) + "}"


def whole_studies(most: int) -> Iterator[str]:
    """The rows of studies whose claims are settled together."""
    for name, (study, sets, key) in STUDIES.items():
        planned = _about_means(load_study(study, [*sets, f"{key}={{most: {most}, until: settled}}"]))
        stage = "confirm" if planned.search.confirm_seeds else "grid"
        rows = [row for row in forecast(planned, None)["per_cell"] if row["stage"] == stage]

        def of_fixed(seeds: int, study=study, sets=sets, key=key, rows=rows) -> dict[str, Any]:
            there = [row | {"trials": row["trials"] * seeds // most} for row in rows]
            return _foreseen(study, [*sets, f"{key}={{looks: [{seeds}], until: settled}}"], there)

        waves = _foreseen(study, [*sets, f"{key}={{most: {most}, until: settled}}"], rows)
        wanted = [min(one["supported"], CERTAIN) for one in waves["claims"]]
        low, high = 5, 4 * most
        while high - low > 1:
            middle = (low + high) // 2
            chances = [one["supported"] for one in of_fixed(middle)["claims"]]
            enough = all(chance >= least for chance, least in zip(chances, wanted, strict=True))
            low, high = (low, middle) if enough else (middle, high)
        same = of_fixed(high)
        yield (
            f"| {name}, {len(wanted)} claims | {min(wanted):.1%} | {waves['trials']:,.0f} | {same['trials']:,.0f} "
            f"({high} seeds) | {waves['trials'] / same['trials']:.2f} | {waves['seconds'] / same['seconds']:.2f} |"
        )


def _foreseen(
    name: str, sets: Sequence[str], rows: Sequence[dict[str, Any]], expect: list[str] | None = None
) -> dict[str, Any]:
    study = _about_means(load_study(name, sets))
    given = expect or [f"{one.id}={0 if one.says == 'matches' else 1},{one.margin or 1}" for one in study.claims]
    return foresee(study, expectations(study, given), rows)


def _about_means(study: Study) -> Study:
    return study.model_copy(update={"claims": [one for one in study.claims if one.kind.of_means]})


def adastop(times: int, most: int) -> Iterator[str]:
    """AdaStop at α = 0.05 in five interims of as many seeds each, on the same studies as the looks of ours."""
    from adastop import MultipleAgentsComparator  # type: ignore[import-not-found]

    for effect in (0.0, 0.75, 1.0, 1.5, 2.0):
        rng, decided, seeds = np.random.default_rng(1), 0, 0
        for number in range(times):
            shared, (a, b) = rng.standard_normal(most), rng.standard_normal((2, most))
            runs = {"a": np.sqrt(0.5) * (shared + a) + effect, "b": np.sqrt(0.5) * (shared + b)}
            comparator = MultipleAgentsComparator(n=most // 5, K=5, B=1000, alpha=0.05, seed=number)
            while not comparator.is_finished:
                there = (comparator.k + 1) * (most // 5)
                comparator.partial_compare({name: one[:there] for name, one in runs.items()}, verbose=False)
            decided += "larger" in comparator.decisions.values()
            seeds += comparator.k * (most // 5)
        yield f"| better, difference {effect:g} | {decided / times:.1%} | {seeds / times:.1f} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=30, help="seeds at the last look")
    parser.add_argument("--adastop", type=int, default=400, help="studies that AdaStop is given, where it is installed")
    given = parser.parse_args()
    print(f"interim analyses at {', '.join(map(str, UntilSettled(most=given.most).schedule))} seeds\n")
    print("| claim, in sd of a pair | chance of support | seeds used, mean | fixed, same chance | ratio |")
    print("|---|---:|---:|---:|---:|")
    print("\n".join(one_claim(given.most)))
    print("\n| study | least chance of support | trials, mean | fixed, same chance | ratio | ratio of hours |")
    print("|---|---:|---:|---:|---:|---:|")
    print("\n".join(whole_studies(given.most)))
    if find_spec("adastop") is None:
        print("\nAdaStop is not installed: no comparison with it")
        return
    print("\n| AdaStop, claim in sd of a pair | found larger | seeds used, mean |\n|---|---:|---:|")
    print("\n".join(adastop(given.adastop, given.most)))


if __name__ == "__main__":
    main()
