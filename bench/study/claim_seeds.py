"""How many pairs a claim needs for a verdict, which of a study's seeds make them, and how many there are by default."""

from itertools import count, islice
from typing import NamedTuple

from finebench.bench.study.schema import Claim, CrossedSeeds, Search, Study, number_of

LEAST_PAIRS = 6
"""Pairs below which a test of a mean difference gives no verdict."""

LEAST_PAIRS_OF_SPREAD = 8
"""The same of a test of spread over seeds, which has less to go on."""

COUNTED = ("trainable_params", "encoder_params", "delta_bytes")
"""Costs that are known exactly, and need no seeds."""


class Scoring(NamedTuple):
    """The seeds that make a claim's pairs: `given`, whose number `key` of the study sets, and `more` beside them."""

    key: str
    given: int | CrossedSeeds
    more: int = 0


def least_pairs(claim: Claim) -> int:
    """Pairs below which the claim gets no verdict; 0 where it needs none."""
    if claim.says == "cheaper" and claim.cost in COUNTED:
        return 0
    return LEAST_PAIRS_OF_SPREAD if claim.says == "varies_more" and claim.over == "seeds" else LEAST_PAIRS


def scoring(study: Study, claim: Claim) -> Scoring:
    """The seeds that make a claim's pairs.

    Confirm seeds alone are scored where there are some (a search without any can be given some). Spread over learning
    rates is that of the runs that chose; costs are those of all runs.
    """
    optuna, confirm = study.search.optuna, study.search.confirm_seeds
    given = study.seeds if isinstance(study.seeds, CrossedSeeds) else number_of(study.seeds)
    chose = Scoring("search.optuna.seeds", optuna.seeds) if optuna else Scoring("seeds", given)
    if claim.says == "varies_more" and claim.over == "lr":
        return chose
    if not confirm and not optuna:
        return chose
    key = f"search.{'optuna' if optuna else 'grid'}.confirm_seeds"
    if claim.says == "cheaper":
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
    return max([usual, *(least_pairs(one) for one in study.claims if scoring(study, one).key == key)])
