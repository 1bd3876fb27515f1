"""QNLI: does a sentence answer a question? Made from SQuAD."""

from finebench.bench.tasks import SizeHint, Task
from finebench.bench.tasks._glue import glue

TASK = Task(
    name="qnli",
    kind="classification",
    text=("question", "sentence"),
    label="label",
    metrics=("accuracy",),
    source=glue("qnli"),
    summary="does a sentence answer a question? Made from SQuAD",
    reference="Rajpurkar et al. 2016 (EMNLP), arXiv:1606.05250, recast by Wang et al. 2019, arXiv:1804.07461",
    licence="CC BY-SA 4.0",
    labels=("entailment", "not_entailment"),
    size_hint=SizeHint(train=104_743, score=5_463, tokens=50),
)
