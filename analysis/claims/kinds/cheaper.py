"""`cheaper`: a costs less than b, at least so many times."""

from typing import TYPE_CHECKING

from finebench.analysis.claims.kinds import Kind, Stated, Words
from finebench.bench.study.parts.claim_kinds import LEAST_PAIRS, Rests

if TYPE_CHECKING:
    from finebench.analysis.claims.evidence import Evidence
    from finebench.analysis.claims.model import Claim, Finding

COUNTED = ("trainable_params", "encoder_params", "delta_bytes")
"""Costs that are known exactly, and need no seeds."""


class Cheaper(Kind):
    """Cost of b / cost of a, the geometric mean of pairs: how many times cheaper a is, at least the factor."""

    says = "cheaper"
    needs = ("b", "factor")
    own_keys = ("cost",)
    measures = "ratio"

    def quantity(self, a: str, b: str) -> str:
        """A ratio."""
        return f"cost of {b} / cost of {a}"

    def statement(self, claim: Stated, words: Words) -> str:
        """How many times, in what."""
        times = f"{claim.a} is at least {claim.factor:g} times cheaper than {claim.b}"
        return f"{times} in {words.cost} {words.where}, {words.at}"

    def rests_on(self, claim: Stated) -> Rests:
        """Every run that was measured."""
        return "costs"

    def least_pairs(self, claim: Stated) -> int:
        """None of what is counted."""
        return 0 if claim.cost in COUNTED else LEAST_PAIRS

    def evidence(self, claim: "Claim", on: "Evidence") -> "Finding":
        """A t test of log ratios, or an exact count."""
        from finebench.analysis.claims.kinds._cost import cheaper

        return cheaper(claim, on.name, [(on.source.costs[a], on.source.costs[b]) for a, b in on.keys], on.look)
