"""A trial on two machines that share nothing but a network: the rows of one machine, also after the loss of one."""

import json

import pytest

from tests.cluster.machines import Machine, Net, obstacle, study, until

pytestmark = [pytest.mark.slow, pytest.mark.skipif(obstacle() is not None, reason=str(obstacle()))]

ROWS = """
import json, sys
import pyarrow.dataset as d
columns = ["trial_id", "status", "score", "score_last", "select_score", "steps", "tokens", "ranks"]
print("ROWS", json.dumps(d.dataset(sys.argv[1] + "/trials", format="parquet").to_table(columns).to_pylist()))
"""


def rows(machine: Machine, folder: str) -> list[dict[str, object]]:
    code, said = machine.run(f"python rows.py {folder}")
    assert code == 0, said
    return list(json.loads(said.partition("ROWS ")[2]))


def training(machine: Machine) -> bool:
    """Whether a rank beside rank 0 trains there."""
    return "ray::Rank.follow" in machine.run("ps axo args")[1]


def test_a_trial_on_two_machines_survives_the_loss_of_one(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Each has a core; a power cut takes the one with rank 1, which is no failure of the trial's (retries: 0)."""
    with Net(tmp_path_factory.mktemp("net")) as net:
        head, *others = [net.machine(name) for name in ("head", "a", "b", "c")]
        (head.tmp / "rows.py").write_text(ROWS)
        name = study(head, seeds=1, budget={"steps": 150}, resources={"gpu": 0, "ranks": 2}, retries=0)
        code, said = head.finebench(f"run {name} --debug --results alone")
        assert code == 0, said
        head.ray(cpus=0)
        for other in others:
            other.ray(head, cpus=1)
        run = head.begin(f"run {name} --address {head.ip}:6379 --results out")
        until(lambda: any(map(training, others)) or run.process.poll() is not None, 240, run.said)
        next(other for other in others if training(other)).kill()
        code, said = run.ended(300)
        assert code == 0, said
        assert "is gone; it runs again elsewhere" in said, said
        assert rows(head, "out") == rows(head, "alone")
        assert [row["ranks"] for row in rows(head, "out")] == [2]
