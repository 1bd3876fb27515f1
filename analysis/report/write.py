"""Write RESULTS/report: the page, Markdown, tables in four formats, figures in two, claims.json and best.yaml."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pandas as pd

from finebench.analysis.claims import judge
from finebench.analysis.figures.base import Figure
from finebench.analysis.load.frames import records
from finebench.analysis.load.read import load_results
from finebench.analysis.load.words import missing
from finebench.analysis.report import looks, page, render, stamp
from finebench.analysis.report.charts import figures
from finebench.analysis.report.contents import Contents, analyse
from finebench.analysis.report.layout import tables
from finebench.analysis.report.stamp import Report
from finebench.analysis.report.statics import to_png, to_svg
from finebench.analysis.scores.best_study import best_study
from finebench.analysis.tables.formats import to_csv, to_latex, to_markdown, to_parquet
from finebench.analysis.tables.table import Table
from finebench.bench.util.storage import Store

SUMMARY = (
    "task", "fraction", "budget_label", "method", "metric", "score", "low", "high", "n", "lr", "setting",
    "complete", "collapsed", "failed", "train_seconds", "trainable_params", "why",
)  # fmt: skip

WRITERS = 8


def write_report(results: str, out: str | None = None, price_per_hour: float | None = None) -> Report:
    """Analyse a results folder and write its report into `out` (default: RESULTS/report), both local paths or URIs.

    `price_per_hour`, of one machine, adds the cost of tuning. Raises ResultsError where the folder cannot be
    read or holds no finished trial, and where the report cannot be written.
    """
    # a name inside the results folder, so that no link that came with it leads the report elsewhere
    store, prefix = (Store(out), "") if out is not None else (Store(results), "report/")
    made_of = stamp.what_is_there(Store(results))
    loaded = load_results(results)
    looked = looks.with_look(looks.read_looks(store, prefix), looks.look(loaded.part.trials, loaded.plan))
    contents = analyse(loaded, price_per_hour)
    waves = any(one["looks"] for one in contents.verdicts)
    numbered = tuple(one | {"look": len(looked)} for one in contents.verdicts)
    contents = replace(contents, warnings=(*contents.warnings, *looks.said(looked, waves)), verdicts=numbered)
    made = tables(contents)
    drawn = draw_all(figures(contents))
    best = best_study(contents.results.study, contents.frames["scores"])
    files = _files(contents, made, drawn, best) | {looks.FILE: looks.to_json(looked)}
    path = write_files(store, files, prefix)
    said = page.said(contents)
    report = Report(path, _summary(contents.frames["scores"]), said["state"], said["findings"], contents.verdicts)
    if out is None and price_per_hour is None:
        store.write_bytes(f"{prefix}{stamp.FILE}", stamp.to_json(report, made_of))
    elif out is None:
        store.delete(f"{prefix}{stamp.FILE}")  # a run's own has no price
    return report


def _summary(scored: pd.DataFrame) -> list[dict[str, Any]]:
    shown = scored[[key for key in SUMMARY if key in scored]]
    return [{k: None if missing(v) else v for k, v in row.items()} for row in records(shown.astype(object))]


def draw_all(made: Sequence[Figure]) -> list[render.Drawn]:
    """Every figure as SVG and PNG."""
    return [render.Drawn(figure, svg := to_svg(figure.spec), to_png(svg)) for figure in made]


def _files(contents: Contents, made: dict[str, Table], drawn: list[render.Drawn], best: str | None) -> dict[str, bytes]:
    files = file_contents(made, drawn)
    files["claims.json"] = judge.to_json(contents.verdicts).encode()
    files["report.md"] = page.markdown(contents, made, drawn, best is not None).encode()
    files["index.html"] = page.html(contents, made, drawn, best is not None).encode()
    return files if best is None else files | {"best.yaml": best.encode()}


def file_contents(made: dict[str, Table], drawn: Sequence[render.Drawn]) -> dict[str, bytes]:
    """Every table in four formats and every figure in two, by file name."""
    files = {}
    for name, table in made.items():
        files[f"tables/{name}.csv"] = to_csv(table).encode()
        files[f"tables/{name}.md"] = to_markdown(table).encode()
        files[f"tables/{name}.tex"] = to_latex(table).encode()
        files[f"tables/{name}.parquet"] = to_parquet(table)
    for one in drawn:
        files[f"figures/{one.figure.name}.svg"] = one.svg.encode()
        files[f"figures/{one.figure.name}.png"] = one.png
    return files


def write_files(store: Store, files: dict[str, bytes], prefix: str = "") -> str:
    """Write the files, index.html last: a page that is there has all of its files. Returns the page's path."""
    with ThreadPoolExecutor(WRITERS) as pool:
        others = ((prefix + name, data) for name, data in files.items() if name != "index.html")
        list(pool.map(lambda item: store.write_bytes(*item), others))
    store.write_bytes(f"{prefix}index.html", files["index.html"])
    return store.shown(f"{prefix}index.html")
