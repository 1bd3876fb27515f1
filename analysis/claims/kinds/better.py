"""`better`: a scores higher than b, by more than a margin where one is given."""

from typing import TYPE_CHECKING

from finebench.analysis.claims.kinds import Kind, Stated, Words

if TYPE_CHECKING:
    from finebench.analysis.claims.evidence import Evidence
    from finebench.analysis.claims.model import Claim, Finding


class Better(Kind):
    """Mean of a − b over pairs, in points of the metric (or shares of the reference's gain), above the margin."""

    says = "better"
    of_means = True

    def quantity(self, a: str, b: str) -> str:
        """A difference."""
        return f"{a} − {b}"

    def statement(self, claim: Stated, words: Words) -> str:
        """By more than the margin, where there is one."""
        by = f" by more than {claim.margin:g}{words.unit}" if claim.margin else ""
        return f"{claim.a} scores higher than {claim.b}{by} {words.where}, {words.at}"

    def evidence(self, claim: "Claim", on: "Evidence") -> "Finding":
        """One-sided tests of the mean difference."""
        from finebench.analysis.claims.evidence_mean import better

        return better(claim, on.name, on.pairs, on.look)
