"""MRPC: do two sentences from the news mean the same?"""

from finebench.bench.tasks import SizeHint, Task
from finebench.bench.tasks._glue import glue

TASK = Task(
    name="mrpc",
    kind="classification",
    text=("sentence1", "sentence2"),
    label="label",
    metrics=("f1", "accuracy"),
    source=glue("mrpc"),
    summary="do two sentences from the news mean the same?",
    reference="Dolan and Brockett 2005 (IWP), aclanthology.org/I05-5002",
    licence="Microsoft Research Shared Source License, non-commercial",
    labels=("not_equivalent", "equivalent"),
    size_hint=SizeHint(train=3_668, score=408, tokens=53.2),
)
