"""RTE: does one text entail another? The challenges RTE-1, 2, 3 and 5."""

from finebench.bench.tasks import SizeHint, Task
from finebench.bench.tasks._glue import glue

TASK = Task(
    name="rte",
    kind="classification",
    text=("sentence1", "sentence2"),
    label="label",
    metrics=("accuracy",),
    source=glue("rte"),
    summary="does one text entail another? The challenges RTE-1, 2, 3 and 5",
    reference="Dagan, Glickman and Magnini 2006, and RTE-2, 3, 5; joined by Wang et al. 2019, arXiv:1804.07461",
    licence="not stated by the source",
    labels=("entailment", "not_entailment"),
    size_hint=SizeHint(train=2_490, score=277, tokens=70),
)
