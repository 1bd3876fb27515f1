"""What a search suggests is the same through Ray and in process (marked slow: it starts Ray and trains)."""

from pathlib import Path

import pytest

from finebench.bench.results.folder import ResultsFolder
from tests.bench.tiny import run_tiny


def suggestions(folder: Path) -> list[dict[str, float]]:
    files = ResultsFolder(str(folder))
    return [files.read_json(f"search/{name}")["params"] for name in files.files("search", recursive=True)]


@pytest.mark.slow
@pytest.mark.parametrize("parallel", [1, 3, "auto"])
def test_debug_suggests_what_ray_does(tmp_path: Path, parallel: int | str) -> None:
    search = {"optuna": {"trials": 9, "confirm_seeds": 0, "parallel": parallel}}
    methods = {"full": {"lr": {"loguniform": [1e-5, 1e-1]}}}
    for name, debug in (("ray", False), ("debug", True)):
        run_tiny(tmp_path / name, debug=debug, search=search, methods=methods, budget={"steps": 4})
    found = suggestions(tmp_path / "ray")
    assert len(found) == 9
    assert suggestions(tmp_path / "debug") == found
    plans = [ResultsFolder(str(tmp_path / name)).plan() for name in ("ray", "debug")]
    assert plans[0] is not None
    assert plans[1] is not None
    assert plans[0]["parallel"] == plans[1]["parallel"]
