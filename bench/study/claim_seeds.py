"""How many pairs a claim needs for a verdict, which of a study's seeds make them, and how many there are by default."""

from itertools import count, islice
from typing import NamedTuple

from finebench.bench.study.parts.claim import Claim
from finebench.bench.study.parts.search import CrossedSeeds, Search, number_of
from finebench.bench.study.schema import Study


class Scoring(NamedTuple):
    """The seeds that make a claim's pairs: `given`, whose number `key` of the study sets, and `more` beside them."""

    key: str
    given: int | CrossedSeeds
    more: int = 0


def scoring(study: Study, claim: Claim) -> Scoring:
    """The seeds that make a claim's pairs.

    Confirm seeds alone are scored where there are some (a search without any can be given some). Spread over learning
    rates is that of the runs that chose; costs are those of all runs.
    """
    optuna, confirm = study.search.optuna, study.search.confirm_seeds
    given = study.seeds if isinstance(study.seeds, CrossedSeeds) else number_of(study.seeds)
    chose = Scoring("search.optuna.seeds", optuna.seeds) if optuna else Scoring("seeds", given)
    rests_on = claim.kind.rests_on(claim)
    if rests_on == "choices":
        return chose
    if not confirm and not optuna:
        return chose
    key = f"search.{'optuna' if optuna else 'grid'}.confirm_seeds"
    if rests_on == "costs":
        return Scoring(key, confirm, chose.given if isinstance(chose.given, int) else 0)
    return Scoring(key, confirm or chose.given)


def more_seeds(named: list[int], number: int) -> list[int]:
    """`number` seeds: those that are named, and the lowest others."""
    others = (seed for seed in count(1) if seed not in named)
    return [*named, *islice(others, max(0, number - len(named)))]


def with_enough_seeds(study: Study) -> Study:
    """The study with seeds enough for a verdict on each of its claims, where it does not say how many."""
    if "seeds" not in study.model_fields_set:
        study = study.model_copy(update={"seeds": _enough(study, "seeds", 5)})
    optuna = study.search.optuna
    if optuna is None or "confirm_seeds" in optuna.model_fields_set:
        return study
    number = _enough(study, "search.optuna.confirm_seeds", number_of(optuna.confirm_seeds))
    search = Search(optuna=optuna.model_copy(update={"confirm_seeds": number}))
    return study.model_copy(update={"search": search})


def _enough(study: Study, key: str, usual: int) -> int:
    return max([usual, *(one.kind.least_pairs(one) for one in study.claims if scoring(study, one).key == key)])
