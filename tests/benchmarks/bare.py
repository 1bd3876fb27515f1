"""Way (b): the floor. One process and one thread, trials one after the other, everything loaded once; no harness.

    python -m tests.benchmarks.bare SETTING.json OUT.json

It is finebench's own training loop (`bench.training.worker.pack_runner.PackRun` around `bench.training.loop.train`)
without plan, scheduler, Ray and results folder, so that (c) minus (b) is the harness and nothing else, and the scores
have to be bit-equal. How that loop compares with another one is a question apart: the table sets its seconds in
training beside Trainer's.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

from tests.benchmarks.setting import Setting, trials


def run(setting: Setting) -> dict[str, Any]:
    """Train every trial; seconds of loading, of each trial, and the trials' rows."""
    begin = time.perf_counter()
    from finebench.bench.training.worker.messages import Pack, Share, Shipment
    from finebench.bench.training.worker.pack_runner import PackRun
    from finebench.bench.training.worker.worker_cache import WorkerCache

    ready = setting.prepared()
    shipment = Shipment(ready.study.name, str(ready.model.folder), ready.tasks, ready.study.trial_timeout)
    cache = WorkerCache(shipment, Share(1.0, 1.0 if setting.device == "cuda" else 0.0))
    for task in ready.tasks.values():
        cache.backbone(task)
    loaded = time.perf_counter() - begin
    rows = []
    for trial in trials(ready):
        begin = time.perf_counter()
        row = PackRun(cache, Pack((trial,))).finish()[0].trial
        if row["status"] != "ok":
            raise RuntimeError(f"bare loop: {row['status']}: {row['reason']}")
        rows.append(slim(row) | {"seconds": time.perf_counter() - begin})
    return {
        "trials": len(rows),
        "load_seconds": loaded,
        "work_seconds": sum(row["seconds"] for row in rows),
        "train_seconds": sum(row["train_seconds"] for row in rows),
        "peak_flops": gemm_peak(setting.device, trials(ready)[0].training.precision),
        "rows": rows,
    }


KEPT = ("trial_id", "score", "score_last", "select_score", "train_seconds", "train_flops", "examples", "steps")


def slim(row: dict[str, Any]) -> dict[str, Any]:
    """The columns of a `trials` row that the comparison needs."""
    return {key: row[key] for key in KEPT}


def gemm_peak(device: str, precision: str) -> float:
    """FLOP/s of the fastest of several matrix products, in the trials' arithmetic: one thread, or one GPU."""
    import torch

    from finebench.bench.training.prediction import autocast

    n, times = (8192, 10) if device == "cuda" else (1024, 4)
    a = torch.randn(n, n, device=device)
    best = 0.0
    with torch.no_grad(), autocast(torch.device(device), precision):
        b = (a @ a).clone()  # in the type that autocast computes in
        for _ in range(5):
            _wait(device)
            begin = time.perf_counter()
            for _ in range(times):
                b @ b
            _wait(device)
            best = max(best, times * 2 * n**3 / (time.perf_counter() - begin))
    return best


def _wait(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


if __name__ == "__main__":
    source, target = sys.argv[1:]
    found = run(Setting(**json.loads(Path(source).read_text())))
    Path(target).write_text(json.dumps(found))
