"""What a user may write: `mypy --strict` over it is a test, and never run (tests/test_packaging.py)."""

from pathlib import Path

import finebench as fb

budget: fb.keys.Budget = {"epochs": 3, "min_steps": 200}
own: fb.keys.Task = {
    "name": "own",
    "data": {"file": Path("a.csv"), "validation": 0.2},
    "text": "title",
    "label": "stars",
    "metric": "f1",
}
space: fb.keys.Distribution = {"loguniform": [1e-5, 1e-3]}
study = fb.Study(
    name="mine",
    tasks=["mrpc", own],
    methods={"full": {"lr": [1e-5, 3e-5]}, "lora": {"lr": space, "r": [4, 8]}},
    budget=[budget, {"steps": 500}],
    seeds={"most": 30, "until": "settled"},
    search={"optuna": {"trials": 20, "confirm_seeds": 6}},
    training={"precision": "bf16", "batch_size": 32},
    claims=[{"id": "x", "says": "better", "a": "full", "b": "lora"}],
)
plan = study.plan("results", data=Path("glue"))
count: int = plan.n_trials
results: fb.Results = study.run(Path("results"), progress=True, keep="best")
claim: fb.Claim = results.claim(says="matches", a="full", b="lora", margin=0.01)
verdict: str = claim.verdict
fb.load("a", Path("b")).predictions_df(task="mrpc", trial_ids="abc")

# mypy finds each of these, else it would find that there is nothing to ignore.
fb.Study(tasks=["mrpc"], methods={}, budget=budget)  # type: ignore[call-arg]
fb.Study(name="x", tasks=["mrpc"], methods={}, budget=budget, learning_rate=1)  # type: ignore[call-arg]
fb.Study(name="x", tasks=["mrpc"], methods={}, budget={"stepz": 1})  # type: ignore[arg-type]
fb.Study(name="x", tasks=["mrpc"], methods={}, budget=budget, training={"evls": 4})  # type: ignore[typeddict-unknown-key]
fb.Study(name="x", tasks=["mrpc"], methods={}, budget=budget, training={"precision": "fp8"})  # type: ignore[typeddict-item]
results.claim(says="better", a="full", b="lora", margn=0.01)  # type: ignore[call-arg]
study.run("results", keep="some")  # type: ignore[arg-type]
fb.load()  # type: ignore[call-arg]
print(plan.trials)  # type: ignore[attr-defined]
