"""QQP: do two questions from Quora ask the same?"""

from finebench.bench.tasks import SizeHint, Task
from finebench.bench.tasks._glue import glue

TASK = Task(
    name="qqp",
    kind="classification",
    text=("question1", "question2"),
    label="label",
    metrics=("f1", "accuracy"),
    source=glue("qqp"),
    summary="do two questions from Quora ask the same?",
    reference="Iyer, Dandekar and Csernai 2017, First Quora dataset release: question pairs",
    licence="Quora's terms of service, non-commercial",
    labels=("not_duplicate", "duplicate"),
    size_hint=SizeHint(train=363_846, score=40_430, tokens=30.4),
)
