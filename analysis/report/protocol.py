"""Protocol, versions and caveats: what a reader must know to trust or repeat the numbers."""

import json
from typing import Any

import pandas as pd

from finebench.analysis.load.frames import records
from finebench.analysis.load.runs import budget_label
from finebench.analysis.report.contents import Contents
from finebench.analysis.statistics.design import CROSSED, design
from finebench.bench.data.facts import lines

Facts = list[tuple[str, str]]


def protocol(contents: Contents) -> Facts:
    """The study's settings, as label and text."""
    study, runs = contents.results.study, contents.frames["runs"]
    budgets = dict.fromkeys(runs["budget"].map(budget_label))
    facts = [
        ("study", ", ".join(dict.fromkeys(runs["study"]))),
        ("model", ", ".join(dict.fromkeys(runs["model"]))),
        ("tasks", ", ".join(dict.fromkeys(runs["task"]))),
        ("methods", ", ".join(contents.methods)),
        ("fractions", ", ".join(f"{value:g}" for value in sorted(set(runs["fraction"])))),
        ("budgets", "; ".join(budgets)),
    ]
    facts += [(key, _text(study[key])) for key in ("seeds", "search", "select", "training") if key in study]
    scored = _scored(contents.examples)
    rows = [("trained and chosen on", _sizes(runs)), *([("scored on", scored)] if scored else [])]
    return [*facts, *rows, *_data(contents)]


def _data(contents: Contents) -> Facts:
    """Rows, classes and warnings of each task's data, where plan.json has them."""
    known = (contents.results.plan or {}).get("tasks") or {}
    return [("data", line) for line in lines(known)]


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_text(one)}" for key, one in value.items() if one is not None)
    return str(value)


def _sizes(runs: pd.DataFrame) -> str:
    """Rows trained on and chosen on at the largest fraction of each task."""
    known = runs.dropna(subset=["n_fit", "n_select"])
    top = known.sort_values("fraction").drop_duplicates("task", keep="last")
    rows = records(top.sort_values("task"))
    return "; ".join(f"{row['task']}: fit {int(row['n_fit']):,}, select {int(row['n_select']):,} rows" for row in rows)


def _scored(examples: dict[str, int]) -> str:
    """Examples of the score split of each task, which predictions show."""
    known = [f"{task}: {number:,} examples" for task, number in sorted(examples.items()) if number]
    unknown = ", ".join(sorted(task for task, number in examples.items() if not number))
    return "; ".join([*known, *([f"{unknown}: not known without predictions"] if unknown else [])])


def versions(contents: Contents) -> Facts:
    """Packages, commits and machines of all rows; several values of one mean that the rows were not made alike."""
    runs = contents.frames["runs"]
    facts = [(name, ", ".join(sorted(values))) for name, values in sorted(version_sets(runs).items())]
    for label, column in (("git commit", "git_commit"), ("device", "device"), ("host", "hostname")):
        values = sorted(set(runs[column].dropna()))
        if values:
            facts.append((label, ", ".join(values)))
    started, finished = runs["started_at"].min(), runs["finished_at"].max()
    if pd.notna(started) and pd.notna(finished):
        facts.append(("from, to", f"{started:%Y-%m-%d %H:%M} to {finished:%Y-%m-%d %H:%M} UTC"))
    return facts


def version_sets(runs: pd.DataFrame) -> dict[str, set[str]]:
    """Every version of every package that made a row."""
    found: dict[str, set[str]] = {}
    for text in runs["versions"].dropna().unique():
        for name, version in _object(text).items():
            found.setdefault(str(name), set()).add(str(version))
    return found


def _object(text: str) -> dict[str, Any]:
    """A row's versions; a row whose text is no JSON object shows it as it is, under `unreadable`."""
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {"unreadable": text[:80]}


def caveats(contents: Contents) -> list[str]:
    """What the numbers of this very report do not say."""
    runs, scores = contents.frames["runs"], contents.frames["scores"]
    made = [
        _noise(scores),
        "Two methods whose intervals overlap may still differ once runs are paired: read the paired differences. No "
        "interval speaks of other tasks, models, training data or search spaces.",
        "Configurations are chosen on the select split, a part of the drawn training rows. The score split "
        "is the task's official validation split; no choice has seen it.",
        "Intervals take seeds to scatter about normally. A method that collapses on some seeds does not: read its "
        "count of collapsed runs, and its score without them, first.",
    ]
    if scores["n"].max() < 5:
        made.append(f"No cell has more than {int(scores['n'].max())} seeds: the intervals are wide and rough.")
    part = contents.results.part
    left = len(part.trials) - len(runs)
    if part.unknown and contents.results.study:
        made.append(f"Which runs the study contains cannot be told here ({part.unknown}): all are taken.")
    if left:
        made.append(f"{left} runs with other seeds than the study's, which cannot stand beside them, are left out.")
    if (runs["seed"] >= CROSSED).any():
        made.append(_crossed(runs))
    if runs["model"].nunique() > 1:
        made.append(f"The rows are of {runs['model'].nunique()} models: {', '.join(sorted(set(runs['model'])))}.")
    if not contents.frames["efficiency"].empty and contents.frames["efficiency"]["energy_joules"].isna().all():
        made.append("Energy was not read on this machine.")
    if not contents.results.study:
        made.append("The folder has no study.yaml: the study's settings are not known, and there is no best.yaml.")
    return [*made, *_machines(runs)]


def _crossed(runs: pd.DataFrame) -> str:
    """What crossed seeds mean for the intervals, and the sources that they do not speak of."""
    found = [design(seeds.unique()) for _, seeds in runs.groupby(["task", "fraction"])["seed"]]
    single = sorted({name for one in found for name in one.fixed})
    said = "Seeds are crossed: intervals come from the mean squares of the sources' main effects, not from the runs as "
    said += "independent draws; aggregates over tasks have none."
    return f"{said} Nothing is said of other levels of what had one: {', '.join(single)}." if single else said


def _noise(scores: pd.DataFrame) -> str:
    """What the scores' intervals contain, by how they were made."""
    made = scores.loc[scores["low"].notna(), "interval"]
    if made.empty:
        return "No score has an interval."
    both = int(made.str.contains("examples").sum())
    if both == len(made) and both:
        return "Intervals say how far a mean would move with other seeds and other scored examples, drawn like these."
    held = f"{both} of {len(made)} also hold" if both else "none holds"
    return (
        f"Intervals say how far a mean would move with other seeds; {held} the noise of the scored examples, which "
        "needs predictions of every run."
    )


def _machines(runs: pd.DataFrame) -> list[str]:
    made = []
    if runs["device"].dropna().nunique() > 1:
        made.append(
            "Runs were made on several kinds of device, whose costs are neither averaged nor compared: they are given "
            "per kind; ratios, fronts and claims are of one."
        )
    if runs["versions"].dropna().nunique() > 1:
        made.append("Runs were made with several sets of package versions (see Versions).")
    return made
