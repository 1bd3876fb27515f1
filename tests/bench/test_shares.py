"""Shares of a GPU: measured, packed with a reserve, raised after an out-of-memory."""

import pytest

from bench.conductor import Conductor, Pack
from bench.plan import Plan
from bench.shares import CONTEXT_BYTES, MOST_PER_GPU, RESERVE, Shares
from tests.bench.test_conductor import KNOWN, done_row
from tests.bench.tiny import drain, tiny_study

GIB = 2**30


def packs(**changes: object) -> list[Pack]:
    """The packs of a tiny study."""
    return drain(Conductor(Plan(tiny_study(**changes)), KNOWN, {}))


def test_without_gpus_auto_means_none() -> None:
    """A CPU-only machine trains on CPUs."""
    assert Shares(tiny_study(), gpus=0).gpu(packs()[0]) == 0.0


def test_the_first_of_a_kind_runs_alone_and_is_the_measurement() -> None:
    """A whole GPU until a peak is known; then as many as fit with the reserve."""
    pack = packs()[0]
    shares = Shares(tiny_study(), gpus=1)
    assert shares.gpu(pack) == 1.0
    row = done_row(pack.trials[0])
    shares.observe(row.__class__(**{**row.__dict__, "peak_memory_bytes": 2 * GIB}), 24 * GIB)
    share = shares.gpu(pack)
    fitting = round(1 / share)
    assert fitting * (2 * GIB * RESERVE + CONTEXT_BYTES) <= 24 * GIB
    assert (fitting + 1) * (2 * GIB * RESERVE + CONTEXT_BYTES) > 24 * GIB
    other = next(p for p in packs() if p.trials[0].method != pack.trials[0].method)
    assert shares.gpu(other) == 1.0


@pytest.mark.parametrize(("peak", "share"), [(1 << 20, 1 / MOST_PER_GPU), (20 * GIB, 1.0), (90 * GIB, 1.0)])
def test_tiny_and_huge_peaks(peak: int, share: float) -> None:
    """Never more than MOST_PER_GPU to a GPU; what fills more than half has it alone."""
    pack = packs()[0]
    shares = Shares(tiny_study(), gpus=1)
    row = done_row(pack.trials[0])
    shares.observe(row.__class__(**{**row.__dict__, "peak_memory_bytes": peak}), 24 * GIB)
    assert shares.gpu(pack) == share


def test_a_methods_own_resources_win() -> None:
    """What the study says is taken as said."""
    study = tiny_study(methods={"full": {"lr": 1e-3, "resources": {"gpu": 0.25, "cpu": 2}}}, resources={"gpu": 1})
    pack = drain(Conductor(Plan(study), KNOWN, {}))[0]
    shares = Shares(study, gpus=4)
    assert shares.gpu(pack) == 0.25
    assert shares.cpus(pack) == 2.0


def test_out_of_memory_on_a_share_is_tried_with_more() -> None:
    """Doubled up to a whole GPU, and then it counts."""
    study = tiny_study(resources={"gpu": 0.25})
    pack = drain(Conductor(Plan(study), KNOWN, {}))[0]
    shares = Shares(study, gpus=1)
    assert shares.raise_after_oom(pack)
    assert shares.gpu(pack) == 0.5
    assert shares.raise_after_oom(pack)
    assert shares.gpu(pack) == 1.0
    assert not shares.raise_after_oom(pack)
