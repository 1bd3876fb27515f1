"""The report as a whole: its files, its sections, its escapes, and that it opens offline."""

import csv
import html.parser
import io
import json
import math
import re
from itertools import combinations
from pathlib import Path

import altair as alt
import pandas as pd
import pyarrow.parquet as pq
import pytest

from finebench.analysis.figures.palette import COLOURS
from finebench.analysis.load.read import load_results
from finebench.analysis.report.contents import analyse
from finebench.analysis.report.protocol import protocol
from finebench.analysis.report.sections import SECTIONS as SECTIONS_OF_REPORT
from finebench.analysis.report.sections import sections
from finebench.analysis.report.write import SUMMARY, Report, write_report
from finebench.analysis.tables.table import Table
from finebench.bench.util.errors import ResultsError
from tests.analysis.fixtures import HOSTILE, Folder, draw, empty

SECTIONS = ["answer", "scores", "variance", "tuning", "efficiency", "runs", "protocol", "caveats"]

TABLES = [
    *(
        "answer",
        "scores",
        "variants",
        "sensitivity",
        "learning_curves",
        "coverage",
        "failures",
        "runs",
        "efficiency",
        "tuning_cost",
    ),
    *("ratios", "fronts", "reach", "crossovers", "claims", "claims_by_task", "robustness", "pairs", "aggregates"),
    "provenance",
    "per_seed",
    *(
        "improvements",
        "profiles",
        "ranks",
        "variance_shares",
        "lr_tolerance",
        "best_of",
        "equal_budget",
        "stability",
        "power",
    ),
]

PER_TASK = [
    *("score-by-fraction", "score-by-lr", "pair-differences", "superiority", "variance-shares", "learning-curve"),
    *(
        "learning-curve-seconds",
        "learning-curve-flops",
        "pareto-train-seconds",
        "pareto-delta-bytes",
        "pareto-trainable-params",
    ),
    "pareto-peak-memory-bytes",
]

METHODS = ("strong", "steady", "shaky", "flat")

FIGURES = [
    "overview",
    *(f"{kind}-{i:02d}-{task}" for kind in PER_TASK for i, task in ((1, "cola"), (2, "mrpc"))),
    *(f"per-seed-{i:02d}-{'mrpc' if i % 2 == 0 else 'cola'}" for i in range(1, 7)),
    *(f"forest-{i:02d}-{a}-{b}" for i, (a, b) in enumerate([*combinations(METHODS, 2)] * 3, start=1)),
]


class Page(html.parser.HTMLParser):
    """What a test asks of a page: ids, links and sources, and the text outside scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.inside: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [given["id"]] if given.get("id") else []
        self.sources += [value for key in ("src", "href", "srcset", "action") if (value := given.get(key))]
        if tag in ("script", "style"):
            self.inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self.inside.pop()

    def handle_data(self, data: str) -> None:
        if not self.inside:
            self.words.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    """A partial study: out of memory, missing seeds, a pruned row, a diverged one, a method that learns nothing."""
    folder = draw(tmp_path_factory.mktemp("drawn"), seeds=3, tasks=("cola", "mrpc"))
    rows = folder.rows["trials"]
    rows[:] = [row for row in rows if not (row["task"] == "mrpc" and row["method"] == "flat" and row["seed"] == 3)]
    for row in rows:
        if (row["task"], row["method"], row["fraction"], row["seed"]) == ("mrpc", "strong", 1.0, 2):
            row.update(status="oom", reason="CUDA out of memory", score=None, select_score=None)
    folder.add(task="cola", method="strong", seed=77, stage="search", status="pruned", lr=5e-4)
    path = Path(folder.write())
    return write_report(str(path), price_per_hour=2.0), path / "report"


INFINITE = re.compile(r"(?<![a-z])inf(inity)?(?![a-z])|∞", re.IGNORECASE)


def test_infinite_values_are_shown_nowhere(tmp_path: Path) -> None:
    """A metric that overflowed is undefined, such a run collapsed; a cost that overflowed is not known."""
    folder = empty(tmp_path, claims=[{"id": "c", "says": "better", "a": "one", "b": "two"}])
    for seed in range(1, 8):
        folder.add(method="one", seed=seed, score=0.8 + 0.01 * seed)
        overflowed = {"score": math.inf, "select_score": math.inf, "train_seconds": math.inf} if seed == 2 else {}
        trial = folder.add(method="two", seed=seed, **{"score": 0.7 + 0.012 * seed, "lr": 1e-4} | overflowed)
        folder.curve(trial, [(100, 0.5, 0.5), (200, 0.6, -math.inf if seed == 3 else 0.7)])
    for row in folder.rows["trials"]:
        row["metrics"] = "{}"  # text as it was stored
    report = write_report(folder.write())
    shown = {path.name: path.read_text() for path in (tmp_path / "report").rglob("*.*") if path.suffix in TEXTS}
    shown |= {"index.html": " ".join(Page(shown["index.html"]).words), "terminal": repr(report)}
    assert {name: found.group() for name, text in shown.items() if (found := INFINITE.search(text))} == {}
    for path in (tmp_path / "report").rglob("*.parquet"):
        frame = pd.read_parquet(path)
        assert not frame.select_dtypes("number").abs().eq(math.inf).any().any(), path.name
    (two,) = (row for row in report.summary if row["method"] == "two")
    assert (two["n"], two["collapsed"]) == (7, 1)
    assert two["score"] == pytest.approx((0.5 + sum(0.7 + 0.012 * seed for seed in (1, 3, 4, 5, 6, 7))) / 7)


TEXTS = (".csv", ".md", ".tex", ".json", ".html", ".svg", ".yaml")


def test_every_file_is_there(made: tuple[Report, Path]) -> None:
    report, out = made
    assert report.path == str((out / "index.html").resolve())
    names = {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()}
    figures = {f"figures/{name}.{end}" for name in FIGURES for end in ("svg", "png")}
    expected = {"index.html", "report.md", "best.yaml", "claims.json", "looks.json"} | {
        f"tables/{t}.{end}" for t in TABLES for end in ("csv", "md", "tex", "parquet")
    }
    assert names == expected | figures
    for name in figures:
        start = (out / name).read_bytes()[:8]
        assert start.startswith(b"\x89PNG" if name.endswith("png") else b"<svg")


def test_the_page_has_every_section_in_order_and_loads_nothing(made: tuple[Report, Path]) -> None:
    text = (made[1] / "index.html").read_text("utf-8")
    page = Page(text)
    assert [one for one in page.ids if one in SECTIONS] == SECTIONS
    assert all(source.startswith(("#", "data:image/svg+xml;base64,")) for source in page.sources)
    assert not {"link", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    assert "default-src 'none'" in text
    assert "connect-src" not in text  # so that default-src forbids every request
    assert len(set(page.ids)) == len(page.ids)
    assert "@import" not in text
    assert "url(" not in text.split("</style>")[0]


def test_tables_have_headings_and_figures_have_words(made: tuple[Report, Path]) -> None:
    text = (made[1] / "index.html").read_text("utf-8")
    assert text.count("<caption") == text.count("<table ")
    assert 'lang="en"' in text
    alternatives = re.findall(r'<img class="still" alt="([^"]+)"', text)
    assert len(alternatives) == len(FIGURES)
    assert alternatives[0].startswith("Scores at the largest share of the data, with 95 % intervals. cola, strong: 0.")
    assert alternatives[1].startswith("cola: mcc against training data. strong: 0.")


def test_protocol_says_what_was_trained_chosen_and_scored_on(tmp_path: Path) -> None:
    folder = empty(tmp_path, tasks=["alpha", "beta"])
    for seed in (1, 2):
        trial = folder.add(task="alpha", seed=seed, score=0.8, n_fit=2160, n_select=240)
        folder.predict(trial, [float(i % 2) if i > 1 else 1.0 - i % 2 for i in range(10)])
        folder.add(task="beta", seed=seed, n_fit=90, n_select=10)
    facts = dict(protocol(analyse(load_results(folder.write()))))
    assert facts["trained and chosen on"] == "alpha: fit 2,160, select 240 rows; beta: fit 90, select 10 rows"
    assert facts["scored on"] == "alpha: 10 examples; beta: not known without predictions"


def test_sentences_follow_from_the_numbers(made: tuple[Report, Path]) -> None:
    report, _ = made
    scored = {(row["task"], row["method"]): row for row in report.summary if row["fraction"] == 1.0}
    cola, mrpc = report.findings
    best = max((row for row in scored.values() if row["task"] == "cola"), key=lambda row: row["score"])
    assert cola.startswith(
        f"cola, 100 % of the data: {best['method']} scored highest in mcc, {best['score']:.3f} (95 % over 3 seeds"
    )
    assert "Not compared, because seeds are missing: strong, flat." in mrpc
    assert scored["mrpc", "strong"]["complete"] is False
    total = 2 * 3 * (3 * 3 * 3 + 18)
    done = total - 3 - 9
    there, beyond, partial = report.state
    assert there == f"{done} of {total} planned runs are there, 3 failed, 9 are still to come."
    assert beyond.startswith("1 more run is there of cells, configurations or seeds that the plan does not have")
    assert partial.startswith("This is a partial report")


def test_csv_markdown_and_parquet_agree(made: tuple[Report, Path]) -> None:
    report, out = made
    rows = list(csv.DictReader(io.StringIO((out / "tables/scores.csv").read_text("utf-8"))))
    frame = pq.read_table(out / "tables/scores.parquet").to_pylist()
    assert len(rows) == len(frame) == len(report.summary) == 24
    assert (
        [float(row["score"]) for row in rows]
        == [row["score"] for row in frame]
        == [row["score"] for row in report.summary]
    )
    lines = (out / "tables/scores.md").read_text("utf-8").splitlines()
    assert len(lines) == 26
    assert f"{frame[0]['score']:.4f}" in lines[2]


def test_the_summary_is_plain_python(made: tuple[Report, Path]) -> None:
    summary = made[0].summary
    assert set(summary[0]) == set(SUMMARY)
    assert json.loads(json.dumps(summary, allow_nan=False)) == list(summary)


def test_markdown_links_its_figures(made: tuple[Report, Path]) -> None:
    text = (made[1] / "report.md").read_text("utf-8")
    links = re.findall(r"\]\((figures/[^)]+)\)", text)
    assert len(links) == len(FIGURES)
    assert all((made[1] / link).is_file() for link in links)
    for heading in ("# drawn", "## Answer", "### Tuning cost", "### Failed and diverged trials", "## Caveats"):
        assert f"\n{heading}\n" in f"\n{text}"


def hostile(path: Path) -> Folder:
    folder = empty(path, name="small", tasks=[HOSTILE], methods={HOSTILE: {"lr": [1e-3]}})
    for seed, score in ((1, 0.7), (2, 0.8)):
        trial_id = folder.add(
            task=HOSTILE, method=HOSTILE, seed=seed, score=score, metric=HOSTILE, hp={"x": HOSTILE}, device=HOSTILE
        )
        folder.curve(trial_id, [(10, 0.6, 0.6)])
    folder.add(
        task=HOSTILE, method=HOSTILE, seed=3, status="error", reason=HOSTILE, hp={"x": HOSTILE}, versions=HOSTILE
    )
    return folder


def test_hostile_names_do_nothing(tmp_path: Path) -> None:
    report = write_report(hostile(tmp_path).write())
    out = Path(report.path).parent
    text = (out / "index.html").read_text("utf-8")
    page = Page(text)
    assert page.tags.count("script") == 3
    assert "<script>alert(1)" not in text
    assert any("<script>alert(1)</script>" in word for word in page.words)  # shown as it is
    charts = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.S)
    assert charts is not None
    assert json.loads(charts[1])["figures"]
    for name in ("report.md", "tables/scores.md"):
        assert "<script" not in (out / name).read_text("utf-8")
    for svg in (out / "figures").glob("*.svg"):
        assert "<script" not in svg.read_text("utf-8")
    names = [path.name for path in out.rglob("*")]
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)


def test_a_report_may_go_elsewhere_and_again(tmp_path: Path) -> None:
    folder = empty(tmp_path / "run")
    folder.add(seed=1)
    results = folder.write()
    first = write_report(results, str(tmp_path / "out"))
    assert first.path == str(tmp_path / "out/index.html")
    assert not (tmp_path / "run/report").exists()
    assert write_report(results, str(tmp_path / "out")).summary == first.summary
    assert not list((tmp_path / "out").rglob("_*"))


def test_one_run_without_plan_study_or_evaluations_still_gives_a_report(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(
        versions=None,
        device=None,
        n_fit=None,
        git_commit=None,
        started_at=None,
        trainable_params=None,
        head_params=None,
    )
    folder.write()
    (tmp_path / "study.yaml").unlink()
    report = write_report(str(tmp_path))
    text = Path(report.path).read_text("utf-8")
    assert "Without plan.json it is not known what is still to come." in text
    assert "there is no best.yaml" in text
    assert not (tmp_path / "report/best.yaml").exists()
    assert report.summary[0]["low"] is None
    assert report.summary[0]["why"] == "one seed: no interval"


def test_only_failures_give_a_report_that_says_so(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add(status="oom", reason="too big", train_seconds=None)
    report = write_report(folder.write())
    assert report.summary[0]["score"] is None
    assert "too big" in Path(report.path).read_text("utf-8")


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ResultsError, match="holds no finished trial yet"):
        write_report(empty(tmp_path).write())
    assert not (tmp_path / "report").exists()


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    folder = empty(tmp_path)
    folder.add()
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResultsError, match=r"file' is a file, and not a folder"):
        write_report(folder.write(), str(tmp_path / "file"))


def test_every_table_stands_in_a_section(made: tuple[Report, Path]) -> None:
    """And none under “More”, which is for other people's."""
    page = (made[1] / "report.md").read_text("utf-8")
    assert "## Variance" in page
    assert "## More" not in page


def test_what_no_section_names_is_shown_all_the_same() -> None:
    table = Table("odd", "Odd", "", pd.DataFrame({"x": [1]}), ())
    shown = sections(SECTIONS_OF_REPORT, {"odd": table}, ["strange"])
    more = next(section for section in shown if section.id == "more")
    assert {(block.table, block.figures) for block in more.blocks} == {("odd", ()), (None, ("strange",))}


def test_every_figure_is_valid_vega_lite(made: tuple[Report, Path]) -> None:
    text = (made[1] / "index.html").read_text("utf-8")
    charts = re.search(r'<script type="application/json" id="charts">(.*?)</script>', text, re.S)
    assert charts is not None
    kinds = {re.split(r"-\d\d", figure["id"])[0]: figure["spec"] for figure in json.loads(charts[1])["figures"]}
    assert set(kinds) == {"overview", *PER_TASK, "per-seed", "forest"}
    for spec in kinds.values():
        alt.Chart.from_dict(spec)  # raises where the grammar is broken


def test_colours_stand_out_on_either_page() -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    for colour in COLOURS:
        for page in ("#ffffff", "#15181c"):
            light, dark = sorted((luminance(colour), luminance(page)), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 3.0, (colour, page)
