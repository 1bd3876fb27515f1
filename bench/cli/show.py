"""What `plan`, `status`, `methods`, `tasks` and `doctor` print: a table, or one JSON document."""

import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from finebench.bench.cli.foreseen import expected, print_on_slots, print_waves
from finebench.bench.cli.terminal.console import make_console, print_json, say
from finebench.bench.cli.terminal.text_table import count, hours, print_table, table_lines
from finebench.bench.study.parts.budget import budget_words
from finebench.bench.study.trial_id import CellKey
from finebench.bench.util.errors import MethodError, ResultsError, StudyError


def print_plan(
    name: str,
    overrides: list[str],
    model: str | None,
    data: Path | None,
    plugins: list[str],
    expect: list[str],
    price_per_hour: float | None,
    slots: int | None,
    as_json: bool,
) -> None:
    """Cells, trials, trainable parameters, FLOPs and estimated time of a study; of seeds until settled, what they will
    cost and decide as far as that is expected."""
    from finebench.bench.data.facts import lines
    from finebench.bench.driver.forecast import forecast
    from finebench.bench.study.load import find_study, load_study

    study = load_study(name, overrides, model, plugins)
    try:
        found = forecast(study, data, slots)
    except (StudyError, MethodError) as error:
        raise StudyError(f"{find_study(name)}: {error}") from error
    found = expected(study, found, expect, price_per_hour)
    if as_json:
        print_json(found)
        return
    console = make_console()
    counts = [f"{found[key]:,} {key[: len(key) - (found[key] == 1)]}" for key in ("trials", "cells")]
    head = f"{found['study']}: {' in '.join(counts)}, model {found['model']}"
    say(console, head)
    for line in lines(found["tasks"]):
        say(console, line)
    rows = []
    for m in found["methods"]:
        counts = [
            count(m[key]) for key in ("configurations", "trials", "trainable_params", "head_params", "total_params")
        ]
        rows.append([m["name"], *counts, _flops(m["train_flops"])])
        rows[-1].append("?" if m["seconds"] is None else hours(m["seconds"]))
    say(console, "tuning budget per method, in parameters trained, of them in the head, and in all")
    columns = ["method", "settings", "trials", "trained", "head", "total", "FLOPs", "core time"]
    print_table(console, columns, rows)
    say(console, f"FLOPs {_flops(found['train_flops'])}; {hours(found['seconds'])} on {found['cores']:g} cores here")
    print_waves(console, found)
    print_on_slots(console, found)
    for note in found["notes"]:
        say(console, f"note: {note}")
    for line in without_verdict(found["no_verdict"], run_words(name, model, data, overrides, plugins)):
        console.print(Text(line), soft_wrap=True)


def run_words(name: str, model: str | None, data: Path | None, overrides: list[str], plugins: list[str]) -> list[str]:
    """The words of the command that runs a study as it is asked for here."""
    given = {"--model": model, "--data": data}
    options = [word for key, value in given.items() if value is not None for word in (key, str(value))]
    given_often = {"--set": overrides, "--plugin": plugins}
    options += [word for key, values in given_often.items() for value in values for word in (key, value)]
    return ["finebench", "run", name, *options]


def without_verdict(rows: list[dict[str, Any]], command: list[str]) -> list[str]:
    """A line for the claims that cannot get a verdict, per reason, with the command that would give them one."""
    from finebench.bench.study.unsettled import sentence

    return [sentence(row, command, f"about {hours(row['seconds'])} here" if row["seconds"] else "") for row in rows]


def _flops(value: float | None) -> str:
    return "?" if value is None else f"{value:.2e}"


def print_status(results: str, watch: bool, as_json: bool) -> None:
    """Counts by status, in all and per cell; `watch`: as they change, until the run ends."""
    console = make_console()
    if watch:
        _watch(results, console, as_json)
        return
    found = status(results)
    if as_json:
        print_json(found)
        return
    say(console, _counted(found))
    print_table(console, *_cell_table(found["cells"]))
    if found["other_precision"]:
        console.print(f"not counted: {found['other_precision']:,} trained in another precision than the last run's")
    for line in found["notes"]:
        say(console, f"note: {line}")
    for line in found["damaged"]:
        console.print(Text(f"damaged: {line}; not counted, `finebench run` sets it aside"), soft_wrap=True)


def _counted(found: dict[str, Any]) -> str:
    from finebench.bench.results.schema import STATUSES

    return ", ".join(f"{found[key]:,} {key}" for key in ("planned", *STATUSES, "running", "pending"))


def _watch(results: str, console: Console, as_json: bool) -> None:
    from finebench.bench.cli.terminal.watch import Watch
    from finebench.bench.results.folder import ResultsFolder

    def lines(found: dict[str, Any]) -> list[Text]:
        return table_lines(console, *_cell_table(found["cells"]), console.width)

    watch = Watch(ResultsFolder(results), lambda: status(results), _counted, lines)
    if as_json:
        watch.as_json(lambda found: typer.echo(json.dumps(found, allow_nan=False)))
    elif console.is_terminal:
        watch.on_terminal(console)
    else:
        watch.piped(typer.echo)


def _cell_table(cells: list[dict[str, Any]]) -> tuple[list[str], list[list[str]], tuple[int, ...]]:
    """Columns, rows and columns of words of the cells' counts; a status that no cell has, and a budget that all have,
    get no column."""
    from finebench.bench.results.schema import STATUSES

    budgets = len({cell["budget"] for cell in cells}) > 1
    counts = [key for key in STATUSES if key == "ok" or any(cell[key] for cell in cells)]
    counts = ["planned", *counts, "running", "pending"]
    rows = [
        [c["task"], c["method"], f"{c['fraction']:g}", *([budget_words(c["budget"])] if budgets else [])]
        + [f"{c[key]:,}" for key in counts]
        for c in cells
    ]
    names = ["task", "method", "fraction", *(["budget"] if budgets else [])]
    return [*names, *counts], rows, tuple(range(len(names)))


def status(results: str) -> dict[str, Any]:
    """Counts of planned, finished (by status), running and pending trials of a results folder; `outside` counts those
    that its study no longer contains (None where that cannot be told), which are in no other number."""
    from finebench.bench.cli.counts import count
    from finebench.bench.results.folder import ResultsFolder
    from finebench.bench.results.lock import running_trials
    from finebench.bench.results.schema import STATUSES
    from finebench.bench.results.within import outside_note, stored_scope
    from finebench.bench.study.shards import said_of

    folder = ResultsFolder(results)
    plan = folder.plan()
    if plan is None:
        raise ResultsError(f"results folder {results!r} does not exist or holds no study (no plan.json)")
    damaged: dict[str, str] = {}
    stored = stored_scope(folder, plan)
    done = count(folder, damaged, plan["precision"], stored)
    notes = [*said_of(plan["shards"]), *([outside_note(done.outside)] if done.outside else [])]
    if stored.unknown:
        notes.append(f"all trials are counted: which are part of the study cannot be told here: {stored.unknown}")
    planned = _planned(plan["cells"], done.confirmed)
    running = running_trials(folder)
    running = {one: running[one] for one in done.not_done(running)}
    cells = []
    for key in dict.fromkeys([*planned, *done.statuses]):
        task, method, fraction, budget = key
        counted = {name: done.statuses[key][name] for name in STATUSES}
        pending = max(0, planned.get(key, 0) - sum(counted.values()))
        own = {"task": task, "method": method, "fraction": fraction, "budget": budget}
        cells.append(own | {"planned": planned.get(key, 0), **counted, "running": 0, "pending": pending})
    totals: dict[str, Any] = {key: sum(c[key] for c in cells) for key in ("planned", *STATUSES, "pending")}
    totals["running"] = len(running)
    totals["pending"] = max(0, totals["pending"] - len(running))
    placed = _place_running(cells, running)
    told = {"outside": done.outside, "notes": notes, "damaged": list(damaged.values())}
    return {"study": plan["study"], **totals, **told, "other_precision": done.other_precision, "cells": placed}


def _planned(cells: list[dict[str, Any]], confirmed: Mapping[CellKey, Mapping[str, int]]) -> dict[CellKey, int]:
    """Planned trials by cell. A confirm stage that reruns the best configuration and the default is planned for two;
    where they have turned out to be one, half of its trials are all."""
    planned: dict[CellKey, int] = defaultdict(int)
    for cell in cells:
        key = (cell["task"], cell["method"], cell["fraction"], cell["budget"])
        there = confirmed.get(key, {}) if cell["stage"] == "confirm" else {}
        found = sum(there.values())
        known = len(there) == 1 and (cell.get("configurations") or 2) * found >= cell["planned"]
        planned[key] += found if known else cell["planned"]
    return planned


def _place_running(cells: list[dict[str, Any]], running: dict[str, list[Any]]) -> list[dict[str, Any]]:
    """Count running trials in their cells."""
    for place in running.values():
        for cell in cells:
            if place == [cell["task"], cell["method"], cell["fraction"], cell["budget"]]:
                cell["running"] += 1
                cell["pending"] = max(0, cell["pending"] - 1)
    return cells


def print_methods(model: str, as_json: bool) -> None:
    """Every method with its summary and what it trains on a model."""
    from finebench.bench.cli.method_facts import method_table

    found, note = method_table(model)
    if as_json:
        print_json(found)
        return
    rows = []
    for m in found:
        what = m["summary"] + (f" [{m['note']}]" if m["note"] else "")
        keys = ", ".join(one["name"] for one in m["hyperparameters"])
        rows.append(
            [m["name"], count(m["trainable_params"]), count(m["head_params"]), f"{what}; hyperparameters: {keys}"]
        )
    columns = ["method", "trained", "head", "what it is"]
    console = make_console()
    console.print(Text(f"on {model}, two classes{note}"), soft_wrap=True)
    print_table(console, columns, rows, texts=(0, 3))


def print_tasks(as_json: bool) -> None:
    """Every built-in task."""
    from finebench.bench.tasks import tasks

    found = [
        {
            "name": t.name,
            "metric": t.metric,
            "kind": t.kind,
            "metrics": list(t.metrics),
            "texts": len(t.text),
            "source": type(t.source).__name__.lower(),
            "summary": t.summary,
            "reference": t.reference,
            "licence": t.licence,
            "version": t.version,
        }
        for t in tasks().values()
    ]
    if as_json:
        print_json(found)
        return
    rows = [[t.name, t.kind, ", ".join(t.metrics), t.summary] for t in tasks().values()]
    print_table(make_console(), ["task", "kind", "metrics", "what it is"], rows, texts=(0, 1, 2, 3))


_COLOURS = {"ok": "green", "warn": "yellow", "fail": "red"}


def print_doctor(results: str, clean: bool, as_json: bool) -> None:
    """What works on this machine, and how to fix what does not."""
    from finebench.bench.cli.doctor import diagnose

    checks = diagnose(results, clean)
    if as_json:
        keys = ("name", "ok", "state", "detail", "fix")
        print_json([{key: getattr(check, key) for key in keys} for check in checks])
        return
    table = Table()
    for column in ("check", "", "detail", "fix"):
        table.add_column(column, overflow="fold")
    for check in checks:
        state = Text(check.state, _COLOURS[check.state])
        table.add_row(check.name, state, Text(check.detail), Text(check.fix or ""))
    make_console().print(table)
