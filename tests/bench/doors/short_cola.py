"""The embedded acceptability task, scored by how much better than chance it is."""

from finebench.bench.tasks import Embedded, Task

TASK = Task(
    name="short-cola",
    kind="classification",
    text=("sentence",),
    label="label",
    metrics=("above_chance", "accuracy"),
    source=Embedded("mini-cola"),
    labels=("unacceptable", "acceptable"),
    summary="mini-cola under another metric",
)
