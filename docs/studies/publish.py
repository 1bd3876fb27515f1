"""Put a results folder, finished or not, beside its study's page: few files, no machine's paths, and its report.

    python docs/studies/publish.py RESULTS docs/studies/NAME [--plugin FILE]

With the results it writes `claims.md`, which the page includes: every claim with its verdict.

Published results go on where they stopped: `finebench run docs/studies/NAME/study.yaml --results
docs/studies/NAME/results` finds the trials that are there. Publish them again afterwards: RESULTS may be the published
folder itself.
"""

import argparse
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from finebench.analysis.claims.verdict_words import pairs
from finebench.bench.results.folder import ResultsFolder
from finebench.bench.results.parquet_tables import encode
from finebench.bench.results.record import Record
from finebench.bench.results.schema import EVALS, PREDICTIONS
from finebench.bench.results.segments import own_name

NUMBERS = {"matches": "{:+.3f}", "better": "{:+.3f}", "saturates_by": "{:+.3f}"}
"""How a claim's estimate is written, by what it says."""

TABLES = ("trials", "evals", "predictions")

REPORT = ("index.html", "report.md", "claims.json", "best.yaml", "tables")
"""What is kept of a report: the page holds the figures."""


def main() -> None:
    """Compact, copy, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("results", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--plugin", action="append", default=[])
    asked = parser.parse_args()
    to = asked.page / "results"
    if asked.results.resolve() != to.resolve():
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(asked.results, to)
    name_models(ResultsFolder(str(to)))
    subprocess.run(["finebench", "compact", str(to)], check=True)
    for path in to.iterdir():
        if path.name not in (*TABLES, "study.yaml", "plan.json"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    plan = json.loads((to / "plan.json").read_text(encoding="utf-8"))
    plan |= {"data": None, "model_folder": Path(plan["model_folder"]).name}  # given anew by --data and --model
    (to / "plan.json").write_text(json.dumps(plan, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    study = (to / "study.yaml").read_text(encoding="utf-8")
    (to / "study.yaml").write_text(re.sub(r"^model: /.*/", "model: ", study, flags=re.MULTILINE), encoding="utf-8")
    plugins = [word for file in asked.plugin for word in ("--plugin", file)]
    subprocess.run(["finebench", "report", str(to), *plugins], check=True)
    for path in (to / "report").iterdir():
        if path.name not in REPORT:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for path in (to / "report" / "tables").iterdir():
        if path.suffix != ".csv":
            path.unlink()
    claims = json.loads((to / "report" / "claims.json").read_text(encoding="utf-8"))
    (to / "claims.md").write_text(table(claims), encoding="utf-8")


def name_models(folder: ResultsFolder) -> None:
    """Rows name a model's folder as the command that trained them did; here its own name is enough. A trial's identity
    is made of the model's content, and stays."""
    for row in list(folder.rows()):
        if Path(row["model"]).is_absolute():
            named = row | {"model": Path(row["model"]).name}
            record = Record(named, EVALS.empty_table(), PREDICTIONS.empty_table())
            folder.write_bytes(f"trials/{own_name(record.name)}", encode(record.trials))


def table(claims: list[dict[str, Any]]) -> str:
    """Every claim with its verdict, as a Markdown table."""
    lines = ["| claim | in words | verdict | estimate, its interval | seeds |", "|---|---|---|---|---:|"]
    for one in claims:
        form = NUMBERS.get(one["says"], "{:.3g}")
        told, low, high = (None if one[key] is None else form.format(one[key]) for key in ("estimate", "low", "high"))
        ends = f" [{low or '−∞'}, {high or '∞'}]" if low or high else ""
        interval = f"{told}{ends}" if told else ""
        lines.append(f"| `{one['id']}` | {one['statement']} | {one['verdict']} | {interval} | {pairs(one)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
