"""Plain sentences that follow from the numbers, and say no more than they allow."""

from typing import Any

import pandas as pd

from finebench.analysis.load.frames import records
from finebench.analysis.load.words import word

Row = dict[str, Any]

ALPHA = 0.05
"""Holm's p over all couples of the report below which one method is said to be ahead of another."""


def findings(answer: pd.DataFrame, pairs: pd.DataFrame) -> list[str]:
    """A few sentences per task and budget: which method scored highest, from which its interval is apart, and which it
    is ahead of by the paired differences of `pairs` (frame of that name).
    """
    made = []
    several = answer["budget"].nunique() > 1
    for (task, budget), part in answer.groupby(["task", "budget"], sort=False):
        rows = records(part)
        head = f"{task}, {word(rows[0]['fraction'], 'percent')} of the data" + (
            f", {rows[0]['budget_label']}" if several else ""
        )
        here = [] if pairs.empty else records(pairs[pairs["task"].eq(str(task)) & pairs["budget"].eq(str(budget))])
        held = [row for row in here if row["fraction"] == rows[0]["fraction"] and row["p_holm"] < ALPHA]
        made.append(f"{head}: {_compare(rows, held)}")
    return made


def _compare(rows: list[Row], held: list[Row]) -> str:
    whole = [row for row in rows if row["complete"] and row["n"] > 0]
    rest = [row for row in rows if not (row["complete"] and row["n"] > 0)]
    left = ", ".join(row["method"] for row in rest)
    said = [f"not compared, because seeds are missing: {left}."] if rest else []
    if not whole:
        return " ".join(["no method has all of its planned seeds yet;", *said])
    best = max(whole, key=lambda row: row["score"])
    equal = [row["method"] for row in whole if row["score"] == best["score"] and row is not best]
    higher = [row for row in rest if row["n"] > 0 and row["score"] > best["score"]]
    said += [_higher_so_far(higher)] if higher else []
    if best["score"] <= best["majority"]:
        none = "no method with all of its seeds" if higher else "no method"
        return " ".join([f"{none} scored above the constant predictor ({best['majority']:.3f}).", *map(_upper, said)])
    among = "of the methods with all of their seeds, " if higher else ""
    if equal:
        names = ", ".join([best["method"], *equal])
        first = f"{among}{names} scored the same, {best['score']:.3f} in {best['metric']}."
    else:
        first = f"{among}{best['method']} scored highest in {best['metric']}, {_number(best)}."
    others = [row for row in whole if row is not best and row["method"] not in equal]
    return " ".join([first, *_apart(best, others), *_ahead(best, others, held), *map(_upper, said)])


def _higher_so_far(rows: list[Row]) -> str:
    """Incomplete methods whose mean is above that of the best complete one."""
    named = [f"{row['method']} ({row['score']:.3f} over {row['n']} seed{'s' * (row['n'] != 1)})" for row in rows]
    return f"higher so far, though incomplete: {', '.join(named)}."


def _ahead(best: Row, others: list[Row], held: list[Row]) -> list[str]:
    """Those others that the best one beats by paired differences, which can separate what intervals do not."""
    signs = {(row["a"], row["b"]): row["difference"] for row in held}
    name = best["method"]
    behind = [
        row["method"]
        for row in others
        if signs.get((name, row["method"]), 0.0) > 0 or signs.get((row["method"], name), 0.0) < 0
    ]
    return [f"Paired by seed, it is ahead of {_list(behind)} (p after Holm below {ALPHA:g})."] if behind else []


def _list(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _number(row: Row) -> str:
    if pd.isna(row["low"]):
        return f"{row['score']:.3f} ({row['interval']})"
    return f"{row['score']:.3f} (95 % over {row['n']} seeds: {row['low']:.3f} to {row['high']:.3f})"


def _apart(best: Row, others: list[Row]) -> list[str]:
    if not others:
        return []
    if pd.isna(best["low"]):
        return ["Without an interval these runs cannot tell how sure that is."]
    below = [row["method"] for row in others if row["high"] < best["low"]]
    over = [row["method"] for row in others if row["high"] >= best["low"]]
    none = [row["method"] for row in others if pd.isna(row["high"])]
    said = []
    if below:
        said.append(f"Its interval lies above {_those(below)}.")
    if over:
        verb = "It" if below else "Its interval"
        said.append(f"{verb} overlaps {_those(over)}: the intervals alone do not separate them.")
    if none:
        said.append(f"No interval, so no comparison: {', '.join(none)}.")
    return said


def _those(names: list[str]) -> str:
    return f"{'that' if len(names) == 1 else 'those'} of {_list(names)}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


MOST_CROSSINGS = 8
"""Couples that a sentence names; the rest are counted."""


def not_shown_to_swap(crossovers: pd.DataFrame) -> list[str]:
    """Which couples' mean curves cross by no more than noise, so that their order is not shown to change; one sentence.

    `crossovers` is the frame of that name.
    """
    axes: dict[str, list[str]] = {}
    several = not crossovers.empty and crossovers["budget_label"].nunique() > 1
    for row in records(crossovers[~crossovers["shown"]]) if not crossovers.empty else []:
        where = f"{row['task']}, {row['budget_label']}" if several else str(row["task"])
        couple = " and ".join(sorted((row["method"], row["other"])))
        axes.setdefault(f"{couple} on {where}", []).append(row["axis"])
    if not axes:
        return []
    named = [f"{couple} ({', '.join(found)})" for couple, found in list(axes.items())[:MOST_CROSSINGS]]
    more = f"; and {len(axes) - len(named)} more" if len(axes) > len(named) else ""
    return [f"Mean curves that cross, but are not shown to differ before and after: {'; '.join(named)}{more}."]


def collapsed(scores: pd.DataFrame) -> list[str]:
    """Which cells hold collapsed runs, one sentence per method."""
    made = []
    bad = scores[scores["collapsed"] > 0]
    for method, rows in bad.groupby("method", sort=False):
        places = [
            f"{row['task']} at {word(row['fraction'], 'percent')} ({row['collapsed']} of {row['n']})"
            for row in records(rows)
        ]
        shown = ", ".join(places[:6]) + (f" and {len(places) - 6} more cells" if len(places) > 6 else "")
        made.append(
            f"{method} did no better than a constant predictor in {int(rows['collapsed'].sum())} of its "
            f"reported runs: {shown}."
        )
    return made


def _unplanned(number: int, outside: int) -> list[str]:
    """Runs that a narrowed study left in its folder: nothing sees those that are known to be no part of it."""
    said = [
        (outside, "kept in the folder, and not counted"),
        (number - outside, "counted in scores and comparisons like the others, and not as planned"),
    ]
    return [
        f"{count} more {'run is' if count == 1 else 'runs are'} there of cells, configurations or seeds that the plan "
        f"does not have (any more): {what}."
        for count, what in said
        if count
    ]


def state(cells: pd.DataFrame, planned: bool) -> list[str]:
    """What is there of what was planned."""
    done, failed, pruned = (int(cells[key].sum()) for key in ("done", "failed", "pruned"))
    if not planned:
        return [
            f"{done} finished runs, {failed} failed, {pruned} pruned. Without plan.json it is not known what "
            "is still to come."
        ]
    total, pending = int(cells["planned"].fillna(0).sum()), int(cells["pending"].fillna(0).sum())
    first = f"{done} of {total} planned runs are there"
    rest = (
        [f"{failed} failed"] * bool(failed)
        + [f"{pruned} {'was' if pruned == 1 else 'were'} pruned"] * bool(pruned)
        + [f"{pending} {'is' if pending == 1 else 'are'} still to come"] * bool(pending)
    )
    said = [", ".join([first, *rest]) + "."]
    said += _unplanned(int(cells["unplanned"].sum()), int(cells["outside"].sum()))
    if failed or pending:
        said.append(
            "This is a partial report: cells with missing seeds are marked, and stay out of rankings and aggregates. "
            "Couples of methods are compared on common seeds; claims say what their missing runs mean."
        )
    return said
