"""`matches`: a scores as b does, to within a margin."""

from typing import TYPE_CHECKING

from finebench.analysis.claims.kinds import Kind, Stated, Words

if TYPE_CHECKING:
    from finebench.analysis.claims.evidence import Evidence
    from finebench.analysis.claims.model import Claim, Finding


class Matches(Kind):
    """Mean of a − b over pairs, in points of the task's metric (or shares of the reference's gain), inside ±margin."""

    says = "matches"
    needs = ("b", "margin")
    of_means = True
    holds = "within"

    def quantity(self, a: str, b: str) -> str:
        """A difference."""
        return f"{a} − {b}"

    def statement(self, claim: Stated, words: Words) -> str:
        """To within ±margin."""
        return f"{claim.a} matches {claim.b} to within ±{claim.margin:g}{words.unit} {words.where}, {words.at}"

    def evidence(self, claim: "Claim", on: "Evidence") -> "Finding":
        """Two one-sided tests."""
        from finebench.analysis.claims.evidence_mean import matches

        return matches(claim, on.name, on.pairs, on.look, on.one_method)
