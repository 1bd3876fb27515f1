"""The top of a report names the claims that no run of the study as planned can decide, and what would."""

from pathlib import Path
from typing import Any

import pytest

from finebench.analysis.claims.no_verdict import no_verdict
from finebench.analysis.load.read import load_results
from finebench.analysis.report.write import write_report
from tests.analysis.claim_folder import drawn

BETTER = {"id": "better", "says": "better", "a": "a", "b": "b"}
VARIES = {"id": "varies", "says": "varies_more", "a": "a", "b": "b"}
TRUTH = {"a": {"mean": 0.85}, "b": {"mean": 0.8}}


def lines(path: Path, claims: list[dict[str, Any]], seeds: int, **study: Any) -> list[str]:
    folder = drawn(path, TRUTH, claims, seeds=seeds)
    folder.study |= study
    folder.write()
    return no_verdict(load_results(str(path)))


def test_each_reason_has_its_claims_and_the_command_that_ends_it(tmp_path: Path) -> None:
    mean, spread = lines(tmp_path, [BETTER, VARIES], 5)
    command = f"finebench run {tmp_path}/study.yaml --results {tmp_path} --set seeds="
    assert mean == f"no verdict on better as planned: 5 pairs, and a verdict needs 6. For a verdict: {command}6"
    assert spread.startswith("no verdict on varies as planned")
    assert spread.endswith(f"{command}8")


def test_the_command_gives_the_studys_plugins(tmp_path: Path) -> None:
    """By their names: a folder keeps no code."""
    plugins = [{"file": name, "hash": "0" * 15 + code} for name, code in (("my tasks.py", "1"), ("mine.py", "2"))]
    (line,) = lines(tmp_path, [BETTER], 5, plugins=plugins)
    given = "--plugin 'my tasks.py' --plugin mine.py"
    assert line.endswith(f" --results {tmp_path} {given} --set seeds=6")


@pytest.mark.parametrize(("claims", "seeds"), [([BETTER], 6), ([BETTER, VARIES], 8), ([], 2)])
def test_nothing_is_said_where_every_claim_can_get_one(tmp_path: Path, claims: list[Any], seeds: int) -> None:
    assert lines(tmp_path, claims, seeds) == []


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"training": {"later_key": 1}}, "training: unknown key 'later_key'"),
        ({"methods": {"a": {"lr": []}, "b": {}}}, "methods.a: unknown method"),
    ],
)
def test_a_study_that_does_not_read_is_said(tmp_path: Path, changes: dict[str, Any], named: str) -> None:
    (line,) = lines(tmp_path, [VARIES | {"over": "lr"}], 3, **changes)
    assert "not known" in line
    assert named in line


def test_a_method_that_was_edited_out_is_named(tmp_path: Path) -> None:
    (line,) = lines(tmp_path, [VARIES | {"over": "lr"}], 3, methods={"a": {}})
    assert line == "no verdict on varies as planned: not among the methods that are run: b"


@pytest.mark.slow
def test_it_stands_at_the_top_of_page_and_markdown(tmp_path: Path) -> None:
    for seeds, stands in ((3, True), (6, False)):
        folder = tmp_path / str(seeds)
        lines(folder, [BETTER], seeds)
        write_report(str(folder))
        for name, answer in (("index.html", "<section"), ("report.md", "## ")):
            top = (folder / "report" / name).read_text("utf-8").split(answer)[0]
            assert ("no verdict on better as planned" in top) is stands
