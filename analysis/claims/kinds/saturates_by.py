"""`saturates_by`: with a fraction of the data a comes near what it (or b) scores with all of them."""

from typing import TYPE_CHECKING

from finebench.analysis.claims.kinds import Kind, Stated, Words

if TYPE_CHECKING:
    from finebench.analysis.claims.evidence import Evidence
    from finebench.analysis.claims.model import Claim, Finding


class SaturatesBy(Kind):
    """Score with all data − score at the claimed fraction, what the rest of the data still adds, below the margin."""

    says = "saturates_by"
    needs = ("fraction",)
    of_means = True
    holds = "below"
    b_less_a = True

    def quantity(self, a: str, b: str) -> str:
        """A difference."""
        return "with all data − with the fraction"

    def statement(self, claim: Stated, words: Words) -> str:
        """How near, and to whose score."""
        margin = f"within {claim.margin:g}{words.unit}" if claim.margin else ""
        within = margin or "within 5 % of the gain over a constant predictor"
        full = "its own score" if claim.b is None else f"the score of {claim.b}"
        near = f"comes {within} of {full} with all data"
        return f"{claim.a} with {words.share} of the data {near} {words.where}, {words.budget}"

    def bound(self, margin: float | None, factor: float | None) -> float | None:
        """Without a margin the reference's gain sets it."""
        return margin

    def fractions(self, claim: Stated, top: float) -> tuple[float, float]:
        """The claimed fraction, and all data."""
        return super().fractions(claim, top)[0], top

    def void(self, claim: Stated, top: float) -> bool:
        """With all data already."""
        return claim.fraction is not None and claim.fraction >= top

    def evidence(self, claim: "Claim", on: "Evidence") -> "Finding":
        """One-sided tests of what all data add."""
        from finebench.analysis.claims.evidence_mean import saturates

        return saturates(claim, on.name, on.pairs, on.gains, on.look)
