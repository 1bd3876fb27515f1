"""The GPU's yardstick as far as it can be tested without one: models, data, settings, and the table of parts."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from finebench.bench.study.plan import Plan
from tests.benchmarks import gpu
from tests.benchmarks.bare import run
from tests.benchmarks.figures import Run
from tests.benchmarks.models import make_model, make_task
from tests.benchmarks.parts import PACKS, SHARES, Variant, measure_parts, variants
from tests.benchmarks.setting import Setting, generated, trials


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Setting:
    return gpu.settings(tmp_path_factory.mktemp("models"), "cpu", tiny=True)[0]


def test_a_made_model_trains_on_made_data(tiny: Setting) -> None:
    found = run(tiny)
    assert found["trials"] == 4
    assert all(0 <= row["score"] <= 1 and row["examples"] == 12 for row in found["rows"])


@pytest.mark.parametrize("length", [64, 128])
def test_made_inputs_reach_the_length_and_stay_below_it(tmp_path: Path, length: int) -> None:
    from transformers import AutoTokenizer

    model = make_model("tiny", tmp_path)
    task = make_task(length, tmp_path, (300, 10))
    setting = generated("tiny", model, task, 4, length, device="cpu", tiny=True, times=1.0)
    data = setting.prepared().tasks[f"pairs-{length}"]
    tokenizer = AutoTokenizer.from_pretrained(model)
    lengths = [len(ids) for ids in tokenizer(*(list(column) for column in data.train.texts))["input_ids"]]
    assert length - 2 <= max(lengths) <= length
    assert min(lengths) >= length // 2


def test_a_setting_has_64_trials(tiny: Setting) -> None:
    task, model = tiny.study["tasks"][0], Path(tiny.study["model"])
    whole = generated("minilm", model, task, 16, 64, device="cuda", tiny=False, times=10.0)
    assert Plan(whole.built()).count() == 64
    assert whole.name == "minilm-b16-t64"
    assert len({trial.id for trial in trials(whole.prepared())}) == 64


def test_every_part_stands_alone_and_together() -> None:
    found = list(variants())
    assert found[0] == Variant("resident workers alone")
    for fused, precision in ((False, "fp32"), (True, "bf16")):
        own = [one for one in found if (one.fused, one.precision) == (fused, precision)]
        assert {one.pack for one in own} >= {1, *PACKS}
        assert {one.gpu for one in own} >= {1.0, *SHARES}
    assert Variant("x", gpu=0.5).of(Setting("s", {"training": {}}, device="cuda")).study["resources"]["gpu"] == 0.5
    assert Variant("x", gpu=0.5).of(Setting("s", {"training": {}})).study["resources"]["gpu"] == 0


def test_parts_are_compared_with_the_first_and_a_refused_one_says_why(tiny: Setting) -> None:
    spans = iter([8.0, 4.0])
    asked = []

    def fake(way: str, setting: Setting, extra: Sequence[str]) -> Run:
        asked.append((way, setting.study["training"]["precision"], list(extra)))
        return Run(way, next(spans), 1, 1, {"trials": 4})

    chosen = [Variant("base"), Variant("none", pack=0), Variant("both", precision="bf16", fused=True)]
    base, refused, both = measure_parts(tiny, fake, chosen)
    assert (base.times, both.times, both.trials_per_hour) == (1.0, 2.0, 3600.0)
    assert refused.makespan is None
    assert "pack" in refused.note
    assert asked == [("finebench", "fp32", ["PlainOptimizerWorker"]), ("finebench", "bf16", [])]


def test_without_a_gpu_one_line_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["gpu"])
    with pytest.raises(SystemExit, match=r"^bench-gpu: torch sees no GPU here; finebench doctor says more$"):
        gpu.main()
