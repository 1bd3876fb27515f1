"""`varies_more`: a's scores are spread wider than b's, over seeds or over learning rates."""

from typing import TYPE_CHECKING

from finebench.analysis.claims.kinds import Kind, Stated, Words
from finebench.bench.study.parts.claim_kinds import LEAST_PAIRS, Rests

if TYPE_CHECKING:
    from finebench.analysis.claims.evidence import Evidence
    from finebench.analysis.claims.model import Claim, Finding

LEAST_PAIRS_OF_SPREAD = 8
"""Pairs below which a test of spread over seeds gives no verdict: it has less to go on than one of a mean."""


class VariesMore(Kind):
    """Ratio of mean absolute deviations over seeds (Brown–Forsythe), or of sd over learning rates, above the factor."""

    says = "varies_more"
    own_keys = ("over",)
    measures = "ratio"

    def quantity(self, a: str, b: str) -> str:
        """A ratio."""
        return f"spread of {a} / spread of {b}"

    def statement(self, claim: Stated, words: Words) -> str:
        """Over what, and how many times, where that is said."""
        by = f" by more than {claim.factor:g} times" if claim.factor else ""
        over = "seeds" if claim.over == "seeds" else "learning rates"
        return f"{claim.a} varies more than {claim.b} over {over}{by} {words.where}, {words.at}"

    def rests_on(self, claim: Stated) -> Rests:
        """A spread over learning rates is that of the runs that chose."""
        return "choices" if claim.over == "lr" else "scores"

    def of_single_runs(self, claim: Stated) -> bool:
        """Over seeds it is."""
        return claim.over == "seeds"

    def may_be_given(self, claim: Stated) -> bool:
        """Over seeds it can be."""
        return claim.over == "seeds"

    def shaken_by_collapse(self, claim: Stated) -> bool:
        """A run that collapses lies farther from its median than any other."""
        return claim.over == "seeds" and not claim.given

    def least_pairs(self, claim: Stated) -> int:
        """More over seeds."""
        return LEAST_PAIRS_OF_SPREAD if claim.over == "seeds" else LEAST_PAIRS

    def evidence(self, claim: "Claim", on: "Evidence") -> "Finding":
        """The test for pairs, or a t test of log ratios."""
        from finebench.analysis.claims.kinds._spread import spread, spread_over_lr

        if claim.over == "lr":
            sides = [[(on.source.runs, on.source.samples[key], key) for key in both] for both in on.keys]
            return spread_over_lr(claim, on.name, sides, on.look)
        return spread(claim, on.name, on.pairs, on.look)
