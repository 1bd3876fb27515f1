"""Write RESULTS/report: the page, Markdown, every table in four formats, every figure in two, and best.yaml."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pandas as pd

from analysis import page, render
from analysis.best import best_study
from analysis.contents import Contents, analyse
from analysis.figures import Figure, figures
from analysis.folder import Folder
from analysis.formats import to_csv, to_latex, to_markdown, to_parquet
from analysis.frames import records
from analysis.layout import tables
from analysis.load import Results, load_results
from analysis.planned import Expectation
from analysis.runs import runs
from analysis.samples import Samples
from analysis.scores import scores
from analysis.statics import to_png, to_svg
from analysis.tables import Table, missing

SUMMARY = (
    "task", "fraction", "budget_label", "method", "metric", "score", "low", "high", "n", "lr", "setting",
    "complete", "degenerate", "failed", "train_seconds", "trainable_params", "why",
)  # fmt: skip

WRITERS = 8


@dataclass(frozen=True)
class Report:
    """Where the page is, the rows of the terminal's summary, and sentences on what is there and what was found."""

    path: str
    summary: list[dict[str, Any]]
    state: list[str]
    findings: list[str]


def write_report(results: str, out: str | None = None, price_per_hour: float | None = None) -> Report:
    """Analyse a results folder and write its report into `out` (default: RESULTS/report), both local paths or URIs.

    `price_per_hour`, of one machine, adds costs to the tuning ledger. Raises ResultsError where the folder cannot be
    read or holds no finished trial, and where the report cannot be written.
    """
    contents = analyse(load_results(results), price_per_hour)
    made = tables(contents)
    drawn = [_draw(figure) for figure in figures(contents.frames, contents.methods)]
    best = best_study(contents.results.study, contents.frames["scores"])
    files = _files(contents, made, drawn, best)
    folder = Folder(out if out is not None else results.rstrip("/") + "/report")
    page_text = files.pop("index.html")
    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(lambda item: folder.write(*item), files.items()))
    folder.write("index.html", page_text)  # last: a page that is there has all of its files
    path = folder.path("index.html") if folder.local else f"{folder.uri.rstrip('/')}/index.html"
    said = page.said(contents)
    return Report(path, _summary(contents.frames["scores"]), said["state"], said["findings"])


def summary_rows(results: Results) -> list[dict[str, Any]]:
    """One plain dict per cell for a terminal's table (keys: SUMMARY); None where there is no value."""
    table = runs(results)
    return _summary(scores(table, Expectation(results.plan, table), Samples(results, table)))


def _summary(scored: pd.DataFrame) -> list[dict[str, Any]]:
    shown = scored[[key for key in SUMMARY if key in scored]]
    return [{k: None if missing(v) else v for k, v in row.items()} for row in records(shown.astype(object))]


def _draw(figure: Figure) -> render.Drawn:
    svg = to_svg(figure.spec)
    return render.Drawn(figure, svg, to_png(svg))


def _files(contents: Contents, made: dict[str, Table], drawn: list[render.Drawn], best: str | None) -> dict[str, bytes]:
    files = {
        "index.html": page.html(contents, made, drawn, best is not None).encode(),
        "report.md": page.markdown(contents, made, drawn, best is not None).encode(),
    }
    if best is not None:
        files["best.yaml"] = best.encode()
    for name, table in made.items():
        files[f"tables/{name}.csv"] = to_csv(table).encode()
        files[f"tables/{name}.md"] = to_markdown(table).encode()
        files[f"tables/{name}.tex"] = to_latex(table).encode()
        files[f"tables/{name}.parquet"] = to_parquet(table)
    for one in drawn:
        files[f"figures/{one.figure.name}.svg"] = one.svg.encode()
        files[f"figures/{one.figure.name}.png"] = one.png
    return files
