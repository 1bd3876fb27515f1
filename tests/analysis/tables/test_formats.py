"""One table in every format: numbers untouched, hostile text harmless."""

import csv
import io
import math
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from finebench.analysis.figures.base import safe_rows
from finebench.analysis.figures.verdicts import verdict_strips
from finebench.analysis.load.read import load_results
from finebench.analysis.load.words import word
from finebench.analysis.report.contents import analyse
from finebench.analysis.report.layout import tables
from finebench.analysis.tables.columns import columns
from finebench.analysis.tables.formats import (
    csv_cell,
    latex_text,
    markdown_text,
    plain,
    to_csv,
    to_latex,
    to_markdown,
    to_parquet,
)
from finebench.analysis.tables.table import Table
from tests.analysis.claim_folder import drawn
from tests.analysis.fixtures import HOSTILE, draw

FRAME = pd.DataFrame(
    {
        "task": ["a", HOSTILE, "[b"],
        "score": [0.123456789, -0.5, float("nan")],
        "n": [3, 1, 0],
        "blank": [None, None, None],
    }
)
TABLE = Table("t", "A title", "", FRAME, columns("task", "score|score", "n|count|seeds", "blank", "absent"))


def test_an_infinite_number_is_no_value_in_any_format() -> None:
    frame = pd.DataFrame({"task": ["a", "b"], "score": [math.inf, 0.5], "low": [-math.inf, math.inf], "n": [3, 1]})
    table = Table(
        "t", "A title", "", frame.astype({"low": object}), columns("task", "score|score", "low|score", "n|count")
    )
    assert [row[1] for row in csv.reader(io.StringIO(to_csv(table)))] == ["score", "", "0.5"]
    assert [column.key for column in table.shown] == ["task", "score", "n"]
    assert [row[1] for row in table.rows()] == [word(None, "score"), "0.5000"]
    assert "inf" not in to_markdown(table) + to_latex(table) + to_csv(table)
    assert pq.read_table(io.BytesIO(to_parquet(table))).column("score").to_pylist() == [None, 0.5]
    assert [row["low"] for row in safe_rows(frame)] == [None, None]


def test_an_exact_count_has_no_interval(tmp_path: Path) -> None:
    """Parameters are counted: "100 % interval" was said of them."""
    claim = {"id": "c", "says": "cheaper", "a": "one", "b": "two", "factor": 2, "cost": "trainable_params"}
    truth = {"one": {"mean": 0.8, "params": 300}, "two": {"mean": 0.8, "params": 1500}}
    contents = analyse(load_results(drawn(tmp_path, truth, [claim]).write()))
    for name in ("claims", "claims_by_task"):
        table = tables(contents)[name]
        (row,) = (dict(zip([c.key for c in table.shown], cells, strict=True)) for cells in table.rows())
        assert row["level"] == "exact"
    (figure,) = verdict_strips(list(contents.verdicts))
    assert "c: 5, exact; the claim allows" in figure.description
    assert word(0.95, "level") == "95 %"


def test_csv_keeps_full_precision_and_guards_formulas() -> None:
    rows = list(csv.reader(io.StringIO(to_csv(TABLE))))
    assert rows[0] == ["task", "score", "n", "blank"]
    assert rows[1] == ["a", "0.123456789", "3", ""]
    assert rows[2][0] == "'" + HOSTILE
    assert rows[2][1] == "-0.5"  # a negative number is no formula
    assert rows[3][1] == ""


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@A1", "\tx", "\rx"])
def test_every_formula_sign_is_guarded(text: str) -> None:
    assert csv_cell(text) == "'" + text
    assert csv_cell("a" + text) == "a" + text
    assert csv_cell(-1.5) == -1.5


def test_markdown_is_one_line_a_row_and_shows_text_as_it_is() -> None:
    lines = to_markdown(TABLE).splitlines()
    assert lines[0] == "| task | score | seeds |"
    assert lines[1] == "| :--- | ---: | ---: |"
    assert len(lines) == 5
    assert "<script>" not in lines[3]
    assert lines[3].count("|") - lines[3].count("\\|") == 4
    assert lines[4] == "| \\[b | – | 0 |"
    assert markdown_text("a_b*c`d") == "a\\_b\\*c\\`d"


def test_latex_escapes_and_balances() -> None:
    made = to_latex(TABLE)
    assert r"\begin{tabular}{lrr}" in made
    assert r"\toprule" in made
    assert "{}[b & -- & 0 \\\\" in made  # else the [ would be read as an argument of the \\ above
    assert latex_text("50 % of a_b & {c} ~ ^ \\ $") == (
        r"50 \% of a\_b \& \{c\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$"
    )
    for line in made.splitlines():
        assert line.replace(r"\{", "").count("{") == line.replace(r"\}", "").count("}")


def test_long_tables_break_over_pages() -> None:
    frame = pd.DataFrame({"n": range(100)})
    assert r"\begin{longtable}{r}" in to_latex(Table("t", "t", "", frame, columns("n|count")))


LATEX = shutil.which("pdflatex") or shutil.which("tectonic")


@pytest.mark.skipif(LATEX is None, reason="neither pdflatex nor tectonic is installed")
def test_latex_compiles_every_table_of_a_report(tmp_path: Path) -> None:
    folder = draw(tmp_path / "drawn", seeds=2, tasks=("cola", "mrpc"), curves=False)
    folder.study["claims"] = [{"id": "close", "says": "matches", "a": "steady", "b": "strong", "margin": 0.05}]
    made = tables(analyse(load_results(folder.write())))
    made["hostile"] = TABLE
    head = "\\documentclass{article}\\usepackage[a2paper,landscape]{geometry}\\usepackage{booktabs,longtable}\n"
    body = "\\clearpage\n".join(to_latex(table) for table in made.values())
    (tmp_path / "t.tex").write_text(f"{head}\\begin{{document}}\n{body}\n\\end{{document}}\n", "utf-8")
    options = ["-interaction=nonstopmode", "-halt-on-error"] if str(LATEX).endswith("pdflatex") else []
    done = subprocess.run([str(LATEX), *options, "t.tex"], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0, done.stdout.decode()[-2000:]


def test_parquet_holds_the_whole_frame(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(to_parquet(TABLE))
    read = pq.read_table(tmp_path / "t.parquet")
    assert read.column_names == ["task", "score", "n", "blank"]
    assert read["task"].to_pylist() == FRAME["task"].tolist()
    assert read["score"].to_pylist()[:2] == [0.123456789, -0.5]


def test_an_empty_table_says_so() -> None:
    empty = Table("t", "t", "", FRAME.head(0), columns("task"))
    assert to_markdown(empty) == "*No rows.*\n"
    assert to_csv(empty).splitlines() == ["task,score,n,blank"]
    assert r"\bottomrule" in to_latex(empty)


def test_plain_drops_what_would_change_the_line() -> None:
    assert plain("a\nb\x00c\u202ed\te") == "a bcd e"


@pytest.mark.parametrize(
    ("value", "kind", "text"),
    [
        (0.84567, "score", "0.8457"), (float("nan"), "score", "–"), (None, "text", "–"), (1234567, "count",
        "1,234,567"),
        (2**20, "bytes", "1.0 MiB"), (512, "bytes", "512 B"), (90.0, "seconds", "90 s"), (600.0, "seconds", "10.0 min"),
        (7200.0, "seconds", "2.0 h"), (0.3, "percent", "30 %"), (1e-3, "lr", "0.001"), (0.00094, "ratio", "0.00094×"),
        (0.94, "ratio", "0.94×"), (True, "flag", "yes"), (1.5e15, "flops", "1.50e+15"),
    ],
)  # fmt: skip
def test_words(value: object, kind: str, text: str) -> None:
    assert word(value, kind) == text
