"""What the report's page and its Markdown file say: sentences, facts and the coverage of cells, for `render`."""

import json
from typing import Any

import pandas as pd

from finebench.analysis.claims import verdict_words
from finebench.analysis.claims.no_verdict import no_verdict
from finebench.analysis.load.frames import records
from finebench.analysis.load.words import missing, word
from finebench.analysis.report import render, sentences
from finebench.analysis.report.contents import Contents, answer
from finebench.analysis.report.protocol import caveats, protocol, versions
from finebench.analysis.report.render import Drawn
from finebench.analysis.report.sections import SECTIONS
from finebench.analysis.tables.table import Table


def html(contents: Contents, tables: dict[str, Table], drawn: list[Drawn], best: bool) -> str:
    """The report as one HTML page that opens offline."""
    return render.html(_words(contents, best), SECTIONS, tables, drawn)


def markdown(contents: Contents, tables: dict[str, Table], drawn: list[Drawn], best: bool) -> str:
    """The report as Markdown."""
    return render.markdown(_words(contents, best), SECTIONS, tables, drawn)


def said(contents: Contents) -> dict[str, list[str]]:
    """The report's sentences: what was found, what did not learn, and what is there of what was planned."""
    return {
        "findings": sentences.findings(answer(contents), _exploratory(contents)),
        "collapsed": sentences.collapsed(contents.frames["scores"]),
        "state": [*contents.results.shards, *sentences.state(contents.frames["cells"], contents.planned)],
    }


def _exploratory(contents: Contents) -> pd.DataFrame:
    """The couples of methods whose difference no claim of the study judges: of those that one does its verdict
    speaks."""
    couples, claimed = contents.frames["pairs"], set[tuple[str, float, str, frozenset[str]]]()
    for claim in contents.verdicts:
        if claim["says"] in ("matches", "better"):
            budget = json.dumps(claim["budget"], sort_keys=True)
            sides = frozenset((claim["a"], claim["b"]))
            claimed |= {(task, claim["fraction"], budget, sides) for task in claim["task_names"]}
    if couples.empty:
        return couples
    kept = [
        (row["task"], row["fraction"], row["budget"], frozenset((row["a"], row["b"]))) not in claimed
        for row in records(couples)
    ]
    return couples[kept]


def _words(contents: Contents, best: bool) -> dict[str, Any]:
    return {
        "name": str(contents.frames["runs"]["study"].iloc[0]),
        "verdicts": [
            {"verdict": one["verdict"], "sentence": verdict_words.verdict(one), "details": verdict_words.details(one)}
            for one in contents.verdicts
        ],
        **said(contents),
        "no_verdict": no_verdict(contents.results),
        "warnings": contents.warnings,
        "facts": {"protocol": protocol(contents), "versions": versions(contents)},
        "caveats": caveats(contents),
        "map": _map(contents.frames["cells"]),
        "methods": contents.methods,
        "markdown_file": "report.md",
        "best": best,
    }


def _map(cells: pd.DataFrame) -> list[dict[str, Any]]:
    """The cell map, a block per task and budget: methods down, fractions across."""
    made = []
    for (task, _), block in cells.groupby(["task", "budget"], sort=False):
        fractions = sorted(set(block["fraction"]))
        methods = list(dict.fromkeys(block["method"]))
        found = {(row["method"], row["fraction"]): row for row in records(block)}
        rows = [(method, [_sign(found.get((method, fraction))) for fraction in fractions]) for method in methods]
        shown = [word(fraction, "percent") for fraction in fractions]
        made.append({"task": task, "budget": block["budget_label"].iloc[0], "fractions": shown, "rows": rows})
    return made


def _sign(row: dict[str, Any] | None) -> dict[str, str]:
    if row is None:
        return {"state": "empty", "text": "", "label": "not planned"}
    counted = f"{row['done']}" if missing(row["planned"]) else f"{row['done']}/{int(row['planned'])}"
    named = [
        f"{int(row[key])} {key}"
        for key in ("failed", "collapsed", "pruned", "pending", "unplanned")
        if not missing(row[key]) and row[key]
    ]
    more = f" +{row['unplanned']}" if row["unplanned"] else ""
    return {"state": row["state"], "text": counted + more, "label": ", ".join([f"{counted} done", *named])}
