"""best.yaml: the best configuration per method × task, as a study that `finebench run` accepts.

A study has one space per method; a task whose best differs from the method's commonest one is written under `per_task`.
"""

import io
import json
import shlex
from collections import Counter
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from finebench.analysis.load.frames import records
from finebench.bench.study.parts.search import UntilSettled, number_of
from finebench.bench.study.plugins import given_plugins
from finebench.bench.study.search_space import as_space

Point = dict[str, Any]

KEPT = ("model", "tasks", "seeds", "select", "training", "resources", "trial_timeout", "retries", "plugins")
"""Keys taken over from the study as they are."""


def best_study(study: dict[str, Any], scores: pd.DataFrame) -> str | None:
    """The study as YAML text; None where the folder has no study, or no cell has a score.

    The configurations are those chosen on `select` at each task's largest fraction, at the study's first budget that
    has any. Tasks and methods without a score are left out.
    """
    scored = scores[scores["n"] > 0]
    if not study or scored.empty:
        return None
    budget = _budget(study, scored)
    scored = scored[scored["budget"] == budget]
    scored = scored[scored["fraction"] == scored.groupby("task")["fraction"].transform("max")]
    points: dict[str, dict[str, Point]] = {}
    for row in records(scored):
        points.setdefault(row["method"], {})[row["task"]] = as_space(json.loads(row["configuration"]))
    made: dict[str, Any] = {"name": f"{str(study.get('name', 'study'))[:95]}-best"}
    made |= {key: study[key] for key in KEPT if key in study}
    if isinstance(made.get("seeds"), dict) and "until" in made["seeds"]:  # it has no claims to settle
        made["seeds"] = number_of(UntilSettled.model_validate(made["seeds"]))
    tasks = set(scored["task"])
    made["tasks"] = [entry for entry in study.get("tasks", []) if _name(entry) in tasks] or sorted(tasks)
    made["methods"] = {name: _method(own, study, name) for name, own in points.items()}
    made |= {"fractions": sorted({float(f) for f in scored["fraction"]}), "budget": [json.loads(budget)]}
    return _dump(made)


def _budget(study: dict[str, Any], scored: pd.DataFrame) -> str:
    """The first of the study's budgets that has a score; rows hold budgets as canonical JSON."""
    given = study.get("budget", [])
    order = [json.dumps(one, sort_keys=True) for one in (given if isinstance(given, list) else [given])]
    present = sorted(scored["budget"].unique())
    return str(next((budget for budget in order if budget in present), present[0]))


def _name(entry: Any) -> str:
    return str(entry.get("name")) if isinstance(entry, dict) else str(entry)


def _method(points: dict[str, Point], study: dict[str, Any], name: str) -> dict[str, Any]:
    counts = Counter(json.dumps(point, sort_keys=True) for point in points.values())
    usual: Point = json.loads(min(counts, key=lambda text: (-counts[text], text)))
    common = {key: value for key, value in usual.items() if all(key in point for point in points.values())}
    own = {task: _different(point, common) for task, point in sorted(points.items())}
    made: dict[str, Any] = dict(common)
    given = study.get("methods", {}).get(name, {})
    if isinstance(given, dict) and "resources" in given:
        made["resources"] = given["resources"]
    if any(own.values()):
        made["per_task"] = {task: point for task, point in own.items() if point}
    return made


def _different(point: Point, common: Point) -> Point:
    return {key: value for key, value in point.items() if key not in common or common[key] != value}


def _dump(made: dict[str, Any]) -> str:
    text = io.StringIO()
    text.write(
        "# The best configuration per method and task, chosen on `select` at the largest fraction of each task.\n"
        f"# Run it: {shlex.join(['finebench', 'run', 'best.yaml', *given_plugins(made)])}\n"
    )
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.allow_unicode = True
    yaml.dump(made, text)
    return text.getvalue()
