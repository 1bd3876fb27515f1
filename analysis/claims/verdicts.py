"""From findings to verdicts: supported, refuted or inconclusive.

Two things must agree. The claim's own interval must satisfy its rule (`analysis.claims.evidence`), and the p-value that
says the same must be at most 0.05 after Holm's correction over all claims of the study, separately for what supports
and for what refutes. So a study of ten claims calls any false one supported in at most 5 % of repetitions, and any true
one refuted in at most 5 %.

tasks: all — the claim must hold on each task. It is supported where every task supports it (an intersection–union test:
p is the largest of the tasks', no correction needed) and refuted where one task refutes it (p is the smallest times the
number of tasks, after Bonferroni, because any one would do).
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from finebench.analysis.claims.model import ONE_METHOD, Claim, Finding, Word
from finebench.analysis.statistics.holm import holm

ALPHA = 0.05


@dataclass(frozen=True)
class Verdict:
    """A claim's verdict. `decides` is the finding that it hangs on: the weakest task's, or the one that refutes."""

    claim: Claim
    verdict: Word
    decides: Finding | None
    findings: tuple[Finding, ...]
    p: float
    p_against: float
    reason: str
    p_adjusted: float = math.nan
    p_against_adjusted: float = math.nan
    missing: str = ""
    """The runs that its cells lack, in words; empty where none are."""
    filled: "Verdict | None" = None
    """What it would be if each missing run counted as the constant predictor."""

    @property
    def pairs(self) -> int:
        """Fewest pairs in any finding."""
        return min((one.pairs for one in self.findings), default=0)


def untested(claim: Claim, reason: str, findings: Sequence[Finding] = ()) -> Verdict:
    """A claim that gets no verdict, with the reason."""
    return Verdict(claim, "inconclusive", _weakest(findings), tuple(findings), math.nan, math.nan, reason)


def judge(claim: Claim, findings: Sequence[Finding]) -> Verdict:
    """The verdict before correction over claims; `findings` is one per task, or one pooled."""
    undefined = [one for one in findings if one.reason]
    if undefined:
        return untested(claim, _about(undefined[0], undefined[0].reason, findings), findings)
    fewest = min(findings, key=lambda one: one.pairs)
    if fewest.pairs < fewest.needs and not all(one.exact for one in findings):
        reason = f"{_counted(fewest.pairs)}; a verdict needs at least {fewest.needs}"
        alike = all(one.pairs == fewest.pairs for one in findings)
        return untested(claim, reason if alike else _about(fewest, reason, findings), findings)
    p = max((one.p for one in findings if not one.exact), default=math.nan)
    against = min((one.p_against for one in findings if not one.exact), default=math.nan)
    tested = sum(not one.exact for one in findings)
    p_against = min(1.0, tested * against) if tested else math.nan
    if any(one.exact and one.refutes for one in findings) or (any(o.refutes for o in findings) and _holds(p_against)):
        hit = min((one for one in findings if one.refutes), key=lambda one: (not one.exact, one.p_against))
        return Verdict(claim, "refuted", hit, tuple(findings), p, p_against, "")
    word: Word = "supported" if all(one.supports for one in findings) and _holds(p) else "inconclusive"
    return Verdict(claim, word, _weakest(findings), tuple(findings), p, p_against, "")


def _counted(pairs: int) -> str:
    return {0: "no pair", 1: "1 pair"}.get(pairs, f"{pairs} pairs")


def with_holes(one: Verdict, missing: str, filled: Verdict | None) -> Verdict:
    """The verdict of a claim whose cells lack runs: what it is only where it comes out alike with each of them at the
    constant predictor's score. Its p-values are then the larger of both.
    """
    p, against = (_larger(getattr(one, key), getattr(filled, key, math.nan)) for key in ("p", "p_against"))
    made = replace(one, p=p, p_against=against, missing=missing, filled=filled)
    if one.verdict == "inconclusive" or (filled is not None and filled.verdict == one.verdict):
        return made
    other = "" if filled is None else f", and with each at the constant predictor's score it would not be {one.verdict}"
    return replace(made, verdict="inconclusive", reason=f"runs are missing{other}: {missing}")


def _larger(a: float, b: float) -> float:
    return a if math.isnan(b) else b if math.isnan(a) else max(a, b)


def _holds(p: float) -> bool:
    """Whether a p-value does not stand in the way; an exact count has none."""
    return math.isnan(p) or p <= ALPHA


def _weakest(findings: Sequence[Finding]) -> Finding | None:
    """The finding farthest from supporting the claim: the largest p, or what could not be tested."""
    order = [(one.reason == "", one.supports, -one.p if one.p == one.p else 0.0) for one in findings]
    return findings[order.index(min(order))] if order else None


def corrected(verdicts: Sequence[Verdict], followed: Collection[str] = ()) -> list[Verdict]:
    """The verdicts after Holm's correction over those that were tested, each with why it is what it is.

    followed: the claims (ids) of a study whose seeds come in waves that are judged at each look. Their correction is
    over all claims that a test may still be made of, at p = 1 those that are judged once, at the end: neither a later
    test nor a p-value that may still rise takes back a verdict of an earlier look.
    """
    # whether a difference is exact may change with the seeds, and a correction over looks must not
    known = [bool(one.findings) and all(found.exact for found in one.findings) for one in verdicts]
    counted = [one.claim.kind.is_counted(one.claim) for one in verdicts] if followed else known
    testable = [not one for one in counted]
    waiting = [bool(followed) and one for one in testable]
    once = [waits and one.claim.id not in followed for one, waits in zip(verdicts, waiting, strict=True)]
    p, against = (_holm([getattr(one, key) for one in verdicts], waiting, once) for key in ("p", "p_against"))
    number = sum(one.p == one.p or waits for one, waits in zip(verdicts, waiting, strict=True))
    made = []
    for one, ours, theirs in zip(verdicts, p.tolist(), against.tolist(), strict=True):
        now = replace(one, p_adjusted=ours, p_against_adjusted=theirs)
        decided = {"supported": (ours, "p_adjusted"), "refuted": (theirs, "p_against_adjusted")}.get(one.verdict)
        exact = one.decides is not None and one.decides.exact and one.verdict == "refuted"
        if decided and not exact and not _holds(decided[0]):
            reason = (
                f"its own interval would have it {one.verdict}, but not after Holm's correction over {number} claims "
                f"(adjusted p {decided[0]:.2g})"
            )
            now = replace(now, verdict="inconclusive", reason=reason)
        made.append(_noted(now if now.reason else replace(now, reason=_reason(now))))
    return made


def _holm(p: list[float], waiting: list[bool], once: list[bool]) -> NDArray[np.float64]:
    """Adjusted p-values; what has none, and is `waiting` for a test, counts as a hypothesis at p = 1, and so does for
    the others what is judged `once`."""
    given = [1.0 if waits and math.isnan(one) else one for one, waits in zip(p, waiting, strict=True)]
    others = [1.0 if single else one for one, single in zip(given, once, strict=True)]
    return np.where(np.isnan(p), np.nan, np.where(once, holm(given), holm(others)))


def _noted(one: Verdict) -> Verdict:
    """With what its missing runs mean, where that is not said yet."""
    if not one.missing or one.missing in one.reason:
        return one
    alike = "it comes out alike where each missing run counts as the constant predictor"
    said = "runs are missing" if one.verdict == "inconclusive" else alike
    return replace(one, reason=f"{one.reason}; {said}: {one.missing}")


def _reason(one: Verdict) -> str:
    """Why a tested claim got its verdict, by the rule that decided."""
    found = one.decides
    if found is None:
        return ""
    if found.exact:
        said = {"exact count": "an exact count", ONE_METHOD: ONE_METHOD}.get(found.test, "an exact ratio")
    else:
        said = f"the {100 * found.level:g} % interval {_where(one, found)}"
    return _about(found, said, one.findings)


def _where(one: Verdict, found: Finding) -> str:
    claim, holds = one.claim, one.claim.kind.holds
    if holds == "within":
        band = f"±{claim.margin:g}"
        words = {"supported": f"lies inside {band}", "refuted": f"lies outside {band}"}
        return words.get(one.verdict, f"neither lies inside {band} nor is the 95 % interval outside it")
    shown = f"{found.bound:.3g}"
    high = (one.verdict == "supported") != (holds == "below")
    words = {"supported": "above" if high else "below", "refuted": "above" if high else "below"}
    return f"lies {words[one.verdict]} {shown}" if one.verdict in words else f"contains {shown}"


def _about(found: Finding, said: str, findings: Sequence[Finding]) -> str:
    """Named by its task where there are several findings."""
    return f"{found.task}: {said}" if len(findings) > 1 else said
