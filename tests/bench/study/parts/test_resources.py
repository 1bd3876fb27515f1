"""What one trial gets, and where: bounds, what wins over what, and that none of it is part of a trial's id."""

from pathlib import Path
from typing import Any

import pytest

from finebench.bench.driver.run import dump_study
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.load import build_study, method_resources
from finebench.bench.study.plan import Plan
from finebench.bench.util.errors import StudyError
from finebench.bench.util.safe_yaml import parse_yaml
from tests.bench.scheduling.test_scheduler import KNOWN
from tests.bench.tiny import drain, tiny_study


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"memory": "16 gigs"}, r"resources\.memory: memory is a number of bytes, or one with MB, GB, MiB, GiB, TiB"),
        ({"memory": 0}, r"resources\.memory: a number greater than 0"),
        ({"custom": {"GPU": 1}}, r"resources\.custom: 'GPU' is Ray's own name"),
        ({"custom": {"accelerator_type:H100": 1}}, "is Ray's own name"),
        ({"memory": "2000TiB"}, r"resources\.memory: a number less than or equal to"),
        ({"custom": {"fpga": 0}}, r"resources\.custom\.fpga: a number greater than or equal to 0\.0001"),
        ({"custom": {"fpga": 1e-5}}, r"resources\.custom\.fpga: a number greater than or equal to 0\.0001"),
        ({"cpu": 1e-5}, r"resources\.cpu: a number greater than or equal to 0\.0001"),
        ({"gpu": 1e-5}, r"resources\.gpu: gpu is auto, 0, or at least 0\.0001"),
        ({"labels": {"zone": "a b"}}, r"resources\.labels: a label's name has a value, !value, in\(a, b\)"),
        ({"labels": {"zone": 1}}, r"resources\.labels\.zone: text is needed"),
        ({"labels": {"ray.io/node-id": "abc"}}, "is another one in each cluster"),
        ({"accelerator": "H100", "gpu": 0}, "resources: accelerator: H100 is a type of GPU, and gpu: 0 asks for none"),
        ({"per_model": {"m": {"cpus": 1}}}, r"resources\.per_model\.m: unknown key 'cpus'; did you mean 'cpu'\?"),
        ({"per_model": {"m": {"per_model": {}}}}, r"resources\.per_model\.m: unknown key 'per_model'"),
        ({"per_model": {"embedded": {"gpu": 0}}, "accelerator": "H100"}, "is a type of GPU, and gpu: 0"),
    ],
)
def test_what_cannot_be_is_refused_with_its_key(given: dict[str, Any], said: str) -> None:
    with pytest.raises(StudyError, match=said):
        tiny_study(resources=given)


@pytest.mark.parametrize(
    ("given", "size"), [("16GiB", 16 * 2**30), ("1.5 GB", 1_500_000_000), ("2TiB", 2**41), (4096, 4096), ("512", 512)]
)
def test_memory_has_units(given: str | int, size: int) -> None:
    assert tiny_study(resources={"memory": given}).resources.memory == size


def test_a_models_win_over_the_studys_and_a_methods_over_both() -> None:
    methods = {
        "full": {"lr": [1e-3]},
        "bitfit": {"lr": [5e-3], "resources": {"memory": "1GiB", "labels": {"zone": "b"}}},
    }
    shared = {"memory": "2GiB", "cpu": 2, "labels": {"zone": "a"}}
    study = tiny_study(methods=methods, resources=shared | {"per_model": {"embedded": {"cpu": 3}, "other": {"cpu": 4}}})
    full, bitfit = (method_resources(study, name) for name in ("full", "bitfit"))
    assert (full.cpu, full.memory, full.labels) == (3, 2**31, {"zone": "a"})
    assert (bitfit.cpu, bitfit.memory, bitfit.labels) == (3, 2**30, {"zone": "b"})


def test_a_study_is_stored_with_what_was_given_and_read_back_the_same() -> None:
    study = tiny_study(resources={"memory": "2GiB", "per_model": {"other": {"memory": "4GiB"}}})
    text = dump_study(study)
    assert "accelerator" not in text
    raw = parse_yaml(text, "study.yaml")
    assert raw["resources"]["per_model"] == {"other": {"memory": "4GiB"}}
    assert build_study(raw, "study.yaml", Path(".")).resources == study.resources


def test_where_a_trial_runs_is_no_part_of_its_id() -> None:
    placed = {"accelerator": "H100", "memory": "2GiB", "custom": {"fpga": 1}, "labels": {"zone": "a"}}
    studies = (tiny_study(), tiny_study(resources=placed))
    ids = [[pack.trials[0].id for pack in drain(Scheduler(Plan(study), KNOWN, {}))] for study in studies]
    assert ids[0] == ids[1]
