"""`collapses_more`: a ends no better than a constant predictor more often than b does."""

from typing import TYPE_CHECKING

from finebench.analysis.claims.kinds import Kind, Stated, Words

if TYPE_CHECKING:
    from finebench.analysis.claims.evidence import Evidence
    from finebench.analysis.claims.model import Claim, Finding


class CollapsesMore(Kind):
    """Of the pairs in which one method alone collapsed, the share in which it was a, above one half."""

    says = "collapses_more"
    of_collapses = True
    measures = "share"

    def quantity(self, a: str, b: str) -> str:
        """A share."""
        return f"share in which {a} alone collapsed"

    def statement(self, claim: Stated, words: Words) -> str:
        """More often."""
        return f"{claim.a} collapses more often than {claim.b} {words.where}, {words.at}"

    def bound(self, margin: float | None, factor: float | None) -> float | None:
        """As often as not."""
        return 0.5

    def of_single_runs(self, claim: Stated) -> bool:
        """Each run collapses or does not."""
        return claim.over == "seeds"

    def evidence(self, claim: "Claim", on: "Evidence") -> "Finding":
        """The exact sign test."""
        from finebench.analysis.claims.evidence_collapse import collapses_more

        return collapses_more(on.name, on.pairs, on.look)
