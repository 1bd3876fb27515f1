"""The studies that come with finebench: they read, and what their headers say of them is computed and true."""

import re
from pathlib import Path

import numpy as np
import pytest

from finebench.bench.data.embedded.tasks import SIZES
from finebench.bench.data.splits import draw
from finebench.bench.methods import methods
from finebench.bench.study.claim_needs import needs
from finebench.bench.study.load import load_study
from finebench.bench.study.plan import Plan
from finebench.bench.study.schema import Study
from finebench.bench.tasks import Embedded, task

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "search_spaces").glob("*.yaml"))
STUDIES = [file for file in FILES if file.stem != "template"]
REQUIRED = {"quickstart", "doering2024", "glue_minilm", "hpo_per_method", "peft_zoo"}


@pytest.fixture(params=STUDIES, ids=lambda file: file.stem)
def file(request: pytest.FixtureRequest) -> Path:
    found = request.param
    assert isinstance(found, Path)
    return found


def test_all_are_there() -> None:
    assert {file.stem for file in STUDIES} >= REQUIRED


def test_each_reads_under_its_files_name(file: Path) -> None:
    assert load_study(str(file)).name == file.stem


def header(file: Path) -> str:
    lines = file.read_text(encoding="utf-8").splitlines()
    first_key = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    return "\n".join(line.removeprefix("#").strip() for line in lines[:first_key])


def test_each_header_says_what_it_answers_how_to_start_it_and_what_it_costs(file: Path) -> None:
    text = header(file)
    assert text.startswith("Question: ")
    assert f"finebench run {file.stem}" in text
    assert re.search(r"Cost: .*(minutes|hours)", text, re.DOTALL)
    assert "2 CPU cores" in text or "GPU" in text


def test_the_cost_in_the_header_is_the_plans(file: Path) -> None:
    match = re.search(r"Cost:\s+(?:at most )?([\d,]+) trials, ([\d,]+) optimiser steps", header(file))
    assert match is not None
    said = [int(number.replace(",", "")) for number in match.groups()]
    plan = Plan(load_study(str(file)))
    assert said == [plan.count(), total_steps(plan)]


def total_steps(plan: Plan) -> int:
    """Optimiser steps of a whole study under step and epoch budgets; confirm stages in full, nothing stopped early."""
    study = plan.study
    fits = {(name, fraction): n_fit(study, name, fraction) for name in study.task_names for fraction in study.fractions}
    return sum(
        c.planned * c.cell.budget.to_steps(fits[c.cell.task, c.cell.fraction], study.training.batch_size)
        for c in plan.counts()
    )


def n_fit(study: Study, name: str, fraction: float) -> int:
    found = task(name)
    rows = SIZES["train"] if isinstance(found.source, Embedded) else found.size_hint.train if found.size_hint else 0
    assert rows
    labels = np.arange(rows) % 2
    return len(draw(labels, False, fraction, 1, study.select.fraction, study.select.at_least, study.select.scale).fit)


def test_no_claim_is_about_what_is_not_run(file: Path) -> None:
    study = load_study(str(file))
    for claim in study.claims:
        assert claim.fraction is None or claim.fraction in study.fractions
        assert claim.budget is None or claim.budget in study.budget


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_claim_can_get_a_verdict(file: Path) -> None:
    assert needs(load_study(str(file))) == []


def test_quickstart_is_what_the_readme_promises() -> None:
    study = load_study("quickstart")
    assert study.model == "embedded"
    assert set(study.task_names) == {"mini-cola", "mini-mrpc"}
    assert set(study.methods) == {"full", "bitfit", "adapter", "lora", "head"}
    assert study.fractions == [1.0]
    assert study.seeds == 6
    assert all(len(space["lr"]) == 2 for space in study.methods.values())


def test_doering_has_the_papers_axes_and_marks_what_is_not_the_papers() -> None:
    study = load_study("doering2024")
    assert study.model == "google-bert/bert-base-uncased"
    assert study.task_names == ["mrpc", "cola", "stsb"]
    assert set(study.methods) == {"full", "bitfit", "adapter"}
    assert {0.1, 0.3, 0.5, 1.0} <= set(study.fractions)
    assert study.seeds == 8
    assert {budget.epochs is not None for budget in study.budget} == {True, False}
    assert any(budget.steps is not None for budget in study.budget)
    assert all(len(space["lr"]) >= 2 for space in study.methods.values())
    claims = {(claim.says, claim.a, claim.b, claim.fraction) for claim in study.claims}
    assert ("matches", "bitfit", "full", 0.3) in claims
    assert ("varies_more", "adapter", "full", None) in claims
    assert any(says == "better" and a == "bitfit" and 0.3 < (f or 0) < 1 for says, a, _, f in claims)


def test_every_value_of_doering_is_marked_as_known_or_as_our_choice() -> None:
    text = (ROOT / "search_spaces" / "doering2024.yaml").read_text(encoding="utf-8")
    body = text[text.index("\nname:") :]
    for key in ("model", "tasks", "methods", "fractions", "seeds", "budget", "select", "training", "claims"):
        line = next(line for line in body.splitlines() if line.startswith(f"{key}:"))
        assert re.search(r"#.*(known|our choice|paper's)", line), key
    for key in ("lr", "variant", "reduction_factor"):
        lines = [line for line in body.splitlines() if line.strip().startswith(f"{key}:")]
        assert lines
        assert all("our choice" in line for line in lines), key


def test_the_search_gives_each_method_distributions_of_its_own() -> None:
    study = load_study("hpo_per_method")
    assert study.search.optuna is not None
    assert study.search.optuna.scheduler == "asha"
    assert study.search.optuna.confirm_seeds >= 6
    spaces = [space["lr"]["loguniform"] for space in study.methods.values()]
    assert len({tuple(space) for space in spaces}) >= len(spaces) - 1


def test_the_zoo_has_every_method_once() -> None:
    names = {name.split(":")[0] for name in load_study("peft_zoo").methods}
    assert names == {name.rstrip(":") for name in methods()}
