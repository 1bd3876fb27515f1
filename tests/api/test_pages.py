"""The Python of the README and of docs/python.md runs, line by line, on a study of six steps a trial in their files."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import finebench as fb
from docs import generate

ROOT = Path(__file__).parents[2]
SMALL = {
    "name": "small",
    "tasks": ["mini-mrpc"],
    "methods": {"bitfit": {"lr": 1e-2}, "head": {"lr": 1e-2}},
    "fractions": [0.1],
    "budget": {"steps": 6},
    "training": {"evals": 2},
    "claims": [{"id": "better", "says": "better", "a": "bitfit", "b": "head"}],
}


def lines(page: str) -> str:
    return "\n".join(re.findall(r"^```python\n(.*?)^```$", (ROOT / page).read_text("utf-8"), re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize(("page", "file"), [("README.md", "reviews.yaml"), ("docs/python.md", "my-study.yaml")])
def test_the_lines_run(
    page: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole; in one process, since what a worker of Ray does is tested elsewhere."""
    (tmp_path / file).write_text(json.dumps(SMALL), encoding="utf-8")  # which is YAML, too
    monkeypatch.chdir(tmp_path)
    run = fb.Study.run
    monkeypatch.setattr(fb.Study, "run", lambda self, *given, **keys: run(self, *given, debug=True, **keys))
    names: dict[str, Any] = {}
    exec(compile(lines(page), page, "exec"), names)
    assert len(names["results"].claims_df()) == 1
    assert "12/12 trials done" in capsys.readouterr().out


def test_the_reference_has_every_name_method_and_type() -> None:
    made = generate.python()
    for name in fb.__all__:
        assert name.startswith("_") or f"## fb.{name}\n" in made
    for owner in (fb.Study, fb.Plan, fb.Results):
        for name, found in vars(owner).items():
            if callable(getattr(found, "__func__", found)) and not name.startswith("_"):
                assert f"### {owner.__name__}.{name}\n\n```text\n.{name}(" in made
    for name, found in vars(fb.keys).items():
        if getattr(found, "__module__", "") == "finebench.keys" and isinstance(found, type):
            assert f"| `{name}` | " in made


def test_the_guide_speaks_of_every_method_of_results() -> None:
    page = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    names = [name for name in vars(fb.Results) if not name.startswith("_")]
    assert len(names) > 10
    assert [name for name in names if not re.search(rf"\b{name}\b", page)] == []
