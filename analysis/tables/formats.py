"""A table as CSV, Markdown, LaTeX and Parquet; text from data is escaped for each, numbers are left alone."""

import csv
import io
import re

import pyarrow as pa
import pyarrow.parquet as pq

from finebench.analysis.load.frames import finite
from finebench.analysis.load.words import missing
from finebench.analysis.tables.table import Table

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet runs a text cell that begins with one of these as a formula."""

LONG = 40
"""Rows above which a LaTeX table may break over pages."""

ALIGNED = {"prose": "p{4cm}"}
"""How text columns stand in LaTeX, where not flush left on one line."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#&])")
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    '"': "''", "–": "--", "—": "---", "·": r"\textperiodcentered{}", "×": r"$\times$", "±": r"$\pm$",
    "≥": r"$\geq$", "≤": r"$\leq$", "…": r"\dots{}", "→": r"$\rightarrow$",
    "−": r"$-$", "≈": r"$\approx$", "√": r"$\surd$", "’": "'", "“": "``", "”": "''",
    "α": r"$\alpha$", "γ": r"$\gamma$", "ε": r"$\epsilon$", "ρ": r"$\rho$", "σ": r"$\sigma$", "τ": r"$\tau$",
}  # fmt: skip


def plain(text: str) -> str:
    """One line of visible text: line ends become spaces, control and direction-changing characters go."""
    return _CONTROL.sub("", re.sub(r"[\r\n\t]+", " ", text))


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is."""
    return _MARKDOWN.sub(r"\\\1", plain(text)).replace("\\<", "&lt;").replace("\\>", "&gt;").replace("\\&", "&amp;")


def latex_text(text: str) -> str:
    """Text that LaTeX shows as it is."""
    made = "".join(_LATEX.get(character, character) for character in plain(text))
    # after the \\ of the row above, a leading [ or * would be read as its argument
    return "{}" + made if made.startswith(("[", "*")) else made


def csv_cell(value: object) -> object:
    """A cell for CSV: text that a spreadsheet would run as a formula gets a leading apostrophe; blank for no value."""
    if missing(value):
        return ""
    if isinstance(value, str):
        clean = value.replace("\x00", "")
        return "'" + clean if clean.startswith(FORMULA) else clean
    return value


def to_csv(table: Table) -> str:
    """The whole frame at full precision (RFC 4180)."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([csv_cell(str(name)) for name in table.frame.columns])
    for row in table.frame.astype(object).itertuples(index=False, name=None):
        writer.writerow([csv_cell(value) for value in row])
    return text.getvalue()


def to_markdown(table: Table) -> str:
    """A GitHub-flavoured table, without its title."""
    shown = table.shown
    if not shown or table.frame.empty:
        return "*No rows.*\n"
    lines = [_line([markdown_text(column.label) for column in shown])]
    lines.append(_line(["---:" if column.numeric else ":---" for column in shown]))
    lines += [_line([markdown_text(cell) for cell in row]) for row in table.rows()]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def to_latex(table: Table) -> str:
    r"""A booktabs table to \input; one of many rows uses longtable and breaks over pages.

    Compiles with any LaTeX engine as long as the data are in Latin letters; other scripts need XeLaTeX or LuaLaTeX.
    """
    shown = table.shown
    spec = "".join("r" if column.numeric else ALIGNED.get(column.kind, "l") for column in shown) or "l"
    head = " & ".join(latex_text(column.label) for column in shown) + r" \\"
    body = [" & ".join(latex_text(cell) for cell in row) + r" \\" for row in table.rows()]
    environment = "longtable" if len(table.frame) > LONG else "tabular"
    packages = "booktabs, longtable" if environment == "longtable" else "booktabs"
    lines = [f"% {plain(table.title)}", f"% needs packages: {packages}"]
    lines += [rf"\begin{{{environment}}}{{{spec}}}", r"\toprule", head, r"\midrule"]
    lines += [r"\endhead"] if environment == "longtable" else []
    return "\n".join([*lines, *body, r"\bottomrule", rf"\end{{{environment}}}", ""])


def to_parquet(table: Table) -> bytes:
    """The whole frame at full precision; a column without any value is written as text."""
    frame = finite(table.frame.reset_index(drop=True))
    data = pa.Table.from_pandas(frame, preserve_index=False)
    for index, field in enumerate(data.schema):
        if pa.types.is_null(field.type):
            data = data.set_column(index, field.name, pa.nulls(len(data), pa.string()))
    sink = io.BytesIO()
    pq.write_table(data.replace_schema_metadata(None), sink, compression="zstd")
    return sink.getvalue()
