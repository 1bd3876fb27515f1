"""What `run` and `report` do: run a study, print the summary table, say where the report is."""

import shlex
from collections.abc import Callable, Collection
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from finebench.bench.cli.exit_codes import EXIT_FAILED_TRIALS, EXIT_REFUTED
from finebench.bench.cli.one_trial import plugins_of
from finebench.bench.cli.terminal.console import finite, make_console, print_json
from finebench.bench.cli.terminal.progress import failure_line, make_progress
from finebench.bench.cli.terminal.waiting import Waiting
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.load import find_study, load_study
from finebench.bench.study.plugins import missing
from finebench.bench.study.trial_id import CellKey, Trial
from finebench.bench.util.errors import MethodError, StorageError, StudyError
from finebench.bench.util.safe_yaml import MAX_BYTES, parse_yaml
from finebench.bench.util.storage import Store
from finebench.bench.util.streams import outlive

if TYPE_CHECKING:
    from finebench.analysis.report.stamp import Report

SHOWN_FAILURES = 20

NARROW = 90
"""Columns of a terminal below which the summary table leaves out what a method costs."""


def run_command(
    name: str,
    results: str | None,
    model: str | None,
    data: Path | None,
    overrides: list[str],
    limit: int | None,
    address: str | None,
    debug: bool,
    why: bool,
    keep: str,
    logger: str | None,
    plugins: list[str],
    shard: str | None = None,
) -> int:
    """Run a study to its report; returns the exit code (0, or 3 when some trial failed)."""
    from finebench.bench.cli.show import run_words, without_verdict
    from finebench.bench.driver.forecast import no_verdict
    from finebench.bench.driver.options import RunOptions
    from finebench.bench.driver.run import run_study
    from finebench.bench.study.shards import Shard

    part = None if shard is None else Shard.parse(shard)
    outlive("the run goes on without a display")
    console = make_console()
    study = load_study(name, overrides, model, plugins)
    folder = results or f"results/{study.name}" + (f"-{part.number}of{part.of}" if part else "")
    options = RunOptions(folder, data, limit, address, debug, keep, logger, part)
    console.print(
        Text(f"{study.name}{f', shard {part}' if part else ''}: model {study.model}, results in {folder}"),
        soft_wrap=True,
    )
    command = run_words(name, model, data, overrides, plugins) + ([] if results is None else ["--results", results])

    waiting = Waiting(console)

    def observe(scheduler: Scheduler) -> Observer:
        waiting.stop()
        for line in without_verdict(no_verdict(study, data), command):
            console.print(Text(line), soft_wrap=True)
        return make_progress(scheduler.plan, scheduler, console)

    try:
        outcome = run_study(study, options, observe, _explain(console, why), _needed_after, waiting.tell)
    except (StudyError, MethodError) as error:
        raise StudyError(f"{find_study(name)}: {error}") from error
    except StorageError as error:
        raise StorageError(
            f"{error}; once that is mended, run the same command again: what is stored is whole"
        ) from error
    finally:
        waiting.stop()
    console.print(Text(outcome.words), soft_wrap=True)
    for row in outcome.failures[:SHOWN_FAILURES]:
        console.print(Text(failure_line(row)), soft_wrap=True)
    if len(outcome.failures) > SHOWN_FAILURES:
        console.print(f"… and {len(outcome.failures) - SHOWN_FAILURES} more")
    if keep == "best":
        from finebench.bench.results.deltas import keep_best

        kept = keep_best(outcome.folder)
        rest = "" if outcome.statuses.get("ok") else "; trials that had run without --keep have left none"
        if kept.beaten:
            rest = f"; in {kept.beaten} cells a better trial left none: it ran without --keep, or could not store it"
        which = f"{len(kept.names)}, the best of each cell, in {folder}/deltas"
        console.print(Text(f"deltas kept: {which}{rest}"), soft_wrap=True)
    _report_again(console, folder)
    return EXIT_FAILED_TRIALS if outcome.failures else 0


def _needed_after(results: str, looks: int) -> tuple[Collection[CellKey], str]:
    from finebench.analysis.claims.interim import needed_after  # takes seconds, which most runs do not need

    return needed_after(results, looks)


def _explain(console: Console, why: bool) -> Callable[[Trial, str, bool], None]:
    """Print a line per trial considered, where `--why` asks for it."""

    def explain(trial: Trial, reason: str, runs: bool) -> None:
        if why:
            verb = "run " if runs else "skip"
            what = f"{trial.stage} {trial.task.name} {trial.method} fraction {trial.fraction:g} seed {trial.seeds.code}"
            console.print(Text(f"{verb} {trial.id} {what} {trial.configuration}: {reason}"), soft_wrap=True)

    return explain


def report_command(
    results: str,
    out: str | None,
    price_per_hour: float | None,
    check_claims: bool,
    open_it: bool = False,
    as_json: bool = False,
) -> int:
    """Write the report; returns 4 when `check_claims` and a claim is refuted, and says which."""
    from finebench.analysis.report.write import write_report
    from finebench.bench.cli.terminal.browser import open_page

    console = make_console()
    report = write_report(results, out, price_per_hour)
    refuted = [one["id"] for one in report.verdicts if one["verdict"] == "refuted"]
    if as_json:
        print_json(finite(asdict(report) | {"refuted": refuted}))
    else:
        _tell(console, results, report, "")
    tell_missing(results)
    if open_it and (why_not := open_page(report.path)) is not None:
        typer.echo(f"finebench: note: {why_not}", err=True)
    if not check_claims:
        return 0
    if not as_json:
        none = "no claim is refuted" if report.verdicts else "the study makes no claims"
        console.print(Text(f"refuted: {', '.join(refuted)}" if refuted else none), soft_wrap=True)
    return EXIT_REFUTED if refuted else 0


def tell_missing(results: str) -> None:
    """A note on plugins that a folder's study names and that are not loaded: what was read of the folder lacks them."""
    data = Store(results).read_bytes("study.yaml", MAX_BYTES)
    raw = None if data is None else parse_yaml(data.decode("utf-8", errors="replace"), f"{results}/study.yaml")
    left_out = missing(raw)
    if left_out is not None:
        typer.echo(f"finebench: note: {results}: {left_out}", err=True)


def _report_again(console: Console, results: str) -> None:
    """The same for a run, which leaves a report as it is where nothing has changed since."""
    from finebench.analysis.report.stamp import still_there

    report = still_there(results)
    if report is None:
        from finebench.analysis.report.write import write_report

        _tell(console, results, write_report(results, None, None), "")
    else:
        _tell(console, results, report, " (nothing has changed since it was made)")


def _tell(console: Console, results: str, report: "Report", note: str) -> None:
    console.print(summary_table(report.summary, console.width))
    for sentence in (*report.state, *report.findings):
        console.print(Text(sentence), soft_wrap=True)
    for one in report.verdicts:
        console.print(Text(verdict_line(one)), soft_wrap=True)
    console.print(Text(f"report: {report.path}{note}"), soft_wrap=True)
    again = ["finebench", "report", results, *plugins_of(ResultsFolder(results))]
    console.print(Text(f"again with: {shlex.join(again)}"), soft_wrap=True)


def verdict_line(one: dict[str, Any]) -> str:
    """A claim's verdict in a line, with why."""
    reason = f" ({one['reason']})" if one["reason"] else ""
    return f"claim {one['id']}: {one['verdict']}{reason}"


def summary_table(rows: list[dict[str, Any]], width: int = 100) -> Table:
    """Score per task × fraction × method with its interval, where there is one; a narrow window gets no costs."""
    budgets = len({row["budget_label"] for row in rows}) > 1
    columns = ["task", "data", *(["budget"] if budgets else []), "method", "score", "95 % interval", "n", "lr"]
    table = Table(
        box=None, header_style="bold", title="score on the held-out split: mean over seeds", title_justify="left"
    )
    costs = ["trained", "train s"] if width >= NARROW else []
    for column in [*columns, *costs, "note"]:
        left = column in ("task", "budget", "method", "note")
        table.add_column(column, justify="left" if left else "right", no_wrap=column != "note")
    for row in rows:
        if row["score"] is not None:
            shown = [row["task"], f"{row['fraction']:g}", *([row["budget_label"]] if budgets else []), row["method"]]
            shown += [f"{row['score']:.3f}", _interval(row), f"{row['n']:.0f}", _number(row["lr"], "g")]
            if costs:
                shown += [_number(row["trainable_params"], ",.0f"), _number(row["train_seconds"], ".1f")]
            table.add_row(*(Text(str(cell)) for cell in [*shown, _note(row)]))
    return table


def _interval(row: dict[str, Any]) -> str:
    low, high = row["low"], row["high"]
    return "" if low is None or high is None else f"{low:.3f} to {high:.3f}"


def _note(row: dict[str, Any]) -> str:
    counted = [f"{row[key]:.0f} {key}" for key in ("collapsed", "failed") if row[key]]
    return ", ".join([*counted, *([] if row["complete"] else ["seeds missing"])])


def _number(value: Any, form: str) -> str:
    return "" if value is None or value != value else format(value, form)
