"""A claim of claims.json in sentences: what was found, why, what a rare collapse would do, what comes next."""

from collections.abc import Sequence
from typing import Any

from finebench.analysis.load.words import word
from finebench.bench.study.parts.claim_kinds import kind

Row = dict[str, Any]


def verdict(claim: Row) -> str:
    """Its statement, the estimate with its interval and pairs, why the verdict is what it is, and what would settle
    it."""
    said = [f"{claim['statement']}."]
    if claim["estimate"] is not None:
        said.append(f"Found: {quantity(claim)}{_on(claim)} = {claim['estimate']:.3g}{_span(claim)}, {_counted(claim)}.")
    if claim["reason"]:
        said.append(f"Why: {claim['reason'].rstrip('.')}.")
    return " ".join([*said, *_next(claim)])


def details(claim: Row) -> str:
    """What the verdict rests on: the size of the effect, collapses, the choice, the look."""
    return " ".join([*_effect(claim), *_collapses(claim), *_choice(claim), *_look(claim)])


def _on(claim: Row) -> str:
    return f" on {claim['task']}" if len(claim["per_task"]) > 1 else ""


def _span(claim: Row) -> str:
    low, high = claim["low"], claim["high"]
    if (low is None and high is None) or claim["level"] == 1:
        return ""
    ends = f"up to {high:.3g}" if low is None else f"{low:.3g} and more" if high is None else f"{low:.3g} to {high:.3g}"
    return f" ({100 * claim['level']:g} % interval {ends})"


def _counted(claim: Row) -> str:
    number = pairs(claim)
    return {0: "no pair", 1: "1 pair"}.get(number, f"{number} pairs")


def pairs(claim: Row) -> int:
    """The pairs behind its estimate: those of the task that decides."""
    return int(next((one["pairs"] for one in claim["per_task"] if one["task"] == claim["task"]), claim["pairs"]))


def quantity(claim: Row) -> str:
    """What the estimate is, by the names of its methods."""
    return kind(claim["says"]).quantity(claim["a"], claim["b"])


def _effect(claim: Row) -> list[str]:
    """The size in units of the pairs' own noise."""
    found = claim["effect"]
    if not found or found["size"] is None:
        return []
    margin = f"; its margin is {found['margin']:.2g} of them" if found["margin"] else ""
    return [
        f"In standard deviations of a pair: {found['size']:.2g} ({found['low']:.2g} to {found['high']:.2g}){margin}."
    ]


def _collapses(claim: Row) -> list[str]:
    """Runs collapsed of runs made, what rate that leaves possible, and the rate at which the verdict would change."""
    rows = claim["collapses"]
    if not rows:
        return []
    said = [f"Collapsed: {collapse_words(rows)}."]
    turns = [row for row in rows if row["changes_at"] is not None]
    for row in sorted(turns, key=lambda row: row["changes_at"])[:2]:
        left = "which these runs exclude" if row["excluded"] else "which these runs do not exclude"
        place = _place(row, rows)
        rate = f"{row['method']} collapses in more than {_rate(row['changes_at'])} of runs{place}"
        said.append(f"The verdict holds unless {rate}, {left}.")
    return said


def collapse_words(rows: Sequence[Row]) -> str:
    """Each method's collapses, tasks apart where there are several."""
    made = [f"{row['method']}{_place(row, rows)} {row['collapsed']} of {row['runs']}" for row in rows]
    return ", ".join(f"{text} (at most {_rate(row['upper'])})" for text, row in zip(made, rows, strict=True))


def _place(row: Row, rows: Sequence[Row]) -> str:
    """Task and fraction of a row, where the rows have several."""
    said = f" on {row['task']}" if len({one["task"] for one in rows}) > 1 else ""
    share = len({one["fraction"] for one in rows}) > 1
    return f"{said} with {word(row['fraction'], 'percent')} of the data" if share else said


def _rate(value: float) -> str:
    return f"{100 * value:.0f} %" if value >= 0.01 else f"{100 * value:.1f} %"


def _choice(claim: Row) -> list[str]:
    words = {"fresh seeds": "Fresh seeds scored what others chose.", "same seeds": "The seeds that chose also scored."}
    return [words[claim["choice"]]] if claim["choice"] in words else []


def _look(claim: Row) -> list[str]:
    looks = claim.get("looks")
    if looks:
        return _looks(claim, looks)
    number = claim.get("look") or 1
    return [f"This is look {number} at the study's data."] if number > 1 else []


def _looks(claim: Row, looks: Row) -> list[str]:
    """Of seeds in waves: the interim analysis that decided, and what an early stop does to the estimate."""
    planned, at, taken = looks["planned"], looks["decided_at"], looks["taken"]
    if at:
        said = [
            f"Decided at interim analysis {at} of {len(planned)}, {planned[at - 1]} of at most {planned[-1]} seeds."
        ]
        if taken > at:
            said.append(f"Its cells have {planned[taken - 1]} seeds all the same; what was decided stands.")
    else:
        said = [f"Analysed {taken} of {len(planned)} times, at {planned[taken - 1]} of at most {planned[-1]} seeds."]
    if looks["seeds_saved"]:
        said.append(f"Seeds saved in each of its cells: {looks['seeds_saved']}.")
    if any(row["held"] for row in looks["path"]):
        said.append(
            "An interim analysis saw enough and did not decide: a rate of collapse that would undo it was not excluded."
        )
    if looks["median_unbiased"] is not None:
        said.append(
            f"An estimate at an early stop lies too far out on average; the median-unbiased one is "
            f"{looks['median_unbiased']:.3g}."
        )
    if looks["schedule_changed"]:
        said.append(
            "The study was changed after an interim analysis (looks, claims or configurations): its error rate is not "
            "known."
        )
    return said


def _next(claim: Row) -> list[str]:
    """What would settle an inconclusive claim."""
    step = claim["next"]
    if not step or not step["said"]:
        return (
            [f"To settle it: {claim['settling'].rstrip('.')}."]
            if claim["verdict"] == "inconclusive" and claim["settling"]
            else []
        )
    cost = "" if not step["trials"] else f" ({step['trials']:,} more trials"
    cost += (
        f", about {word(step['seconds'], 'seconds')} one at a time)"
        if cost and step["seconds"]
        else ")"
        if cost
        else ""
    )
    command = f": {step['command']}{cost}" if step["command"] else ""
    return [f"To settle it: {step['said']}{command}."]
