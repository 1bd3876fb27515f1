"""What `verify`, `compact` and `merge` print, and their exit codes."""

import shlex

from rich.text import Text

from finebench.bench.cli.exit_codes import EXIT_FAILED_TRIALS
from finebench.bench.cli.one_trial import plugins_of
from finebench.bench.cli.terminal.console import make_console, print_json
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.lock import claim
from finebench.bench.results.merge import compact
from finebench.bench.results.verify import Remark, verify
from finebench.bench.util.errors import ResultsError

SHOWN = 50
"""Findings of a kind that a terminal gets; `--json` has all."""


def verify_command(results: str, as_json: bool) -> int:
    """Check a folder; returns 0 where it is sound, 3 where it has problems."""
    found = verify(ResultsFolder(results))
    if as_json:
        print_json(found.to_json())
        return EXIT_FAILED_TRIALS if found.problems else 0
    console = make_console()
    lines = [*_lines("problem", found.problems), *_lines("note", found.notes)]
    for reason, count in found.unchecked.items():
        lines.append(f"note: the ids of {count:,} trials were not recomputed: {reason}")
    planned = "" if found.planned is None else f" of {found.planned:,} planned"
    lines.append(f"{found.files:,} files read; {found.trials:,} trials{planned}; {found.ids:,} ids recomputed")
    lines.append(f"{results}: " + (f"{len(found.problems):,} problems" if found.problems else "sound"))
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    return EXIT_FAILED_TRIALS if found.problems else 0


def _lines(word: str, findings: list[Remark]) -> list[str]:
    shown = [f"{word}: {one.kind}: {one.where}: {one.what}" for one in findings[:SHOWN]]
    return shown if len(findings) <= SHOWN else [*shown, f"… and {len(findings) - SHOWN:,} more ({word}s); see --json"]


def compact_command(results: str, as_json: bool = False) -> int:
    """Merge a folder's files, while nobody runs in it; returns 0, or 3 where a damaged file was left alone."""
    folder = ResultsFolder(results)
    if not folder.exists():
        raise ResultsError(f"results folder {results!r} does not exist")
    notes: list[str] = []
    console = make_console()
    with claim(folder, notes.append if as_json else lambda text: console.print(Text(text), soft_wrap=True)):
        made = compact(folder)
    if as_json:
        print_json({"before": made.before, "now": made.after, "damaged": list(made.damaged), "notes": notes})
        return EXIT_FAILED_TRIALS if made.damaged else 0
    console.print(Text(f"{results}: {made.before:,} files before, {made.after:,} now"), soft_wrap=True)
    for line in made.damaged:
        console.print(Text(f"left alone: {line}"), soft_wrap=True)
    return EXIT_FAILED_TRIALS if made.damaged else 0


def merge_command(sources: list[str], into: str, as_json: bool) -> int:
    """Merge folders into one and say what was copied; returns 0."""
    from finebench.bench.driver.join import join

    notes: list[str] = []
    console = make_console()
    made = join(
        sources, into, notes.append if as_json else lambda text: console.print(Text(f"note: {text}"), soft_wrap=True)
    )
    if as_json:
        print_json({"into": into, "trials": made.trials, "copied": made.copied, "notes": notes})
        return 0
    for uri, count in made.copied.items():
        console.print(Text(f"{uri}: {count:,} trials copied"), soft_wrap=True)
    console.print(Text(f"{into}: {made.trials:,} trials"), soft_wrap=True)
    report = ["finebench", "report", into, *plugins_of(ResultsFolder(into))]
    console.print(Text(f"report with: {shlex.join(report)}"), soft_wrap=True)
    return 0
