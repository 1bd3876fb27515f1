"""Kinds of claims, one class in one file each, and nothing else to edit: present means registered.

In: a claim and the cells that it is about.
Out: the finding on them, and how the claim reads.
Part of the room around it.

A study reads these files to check its claims, so that they import statistics only where evidence is asked for.
"""

from abc import abstractmethod
from typing import TYPE_CHECKING

from finebench.bench.study.parts.claim_kinds import ClaimKind, Stated, Words

if TYPE_CHECKING:
    from finebench.analysis.claims.evidence import Evidence
    from finebench.analysis.claims.model import Claim, Finding

__all__ = ["Kind", "Stated", "Words"]


class Kind(ClaimKind):
    """A kind of claim with its evidence."""

    b_less_a: bool = False
    """Whether a difference is that of b less a."""

    @abstractmethod
    def evidence(self, claim: "Claim", on: "Evidence") -> "Finding":
        """The finding on one task, or on several pooled; whatever of them is needed is there."""
