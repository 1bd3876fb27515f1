"""STS-B: how similar in meaning are two sentences, from 0 to 5?"""

from finebench.bench.tasks import SizeHint, Task
from finebench.bench.tasks._glue import glue

TASK = Task(
    name="stsb",
    kind="regression",
    text=("sentence1", "sentence2"),
    label="label",
    metrics=("pearson", "spearman"),
    source=glue("stsb"),
    summary="how similar in meaning are two sentences, from 0 to 5?",
    reference="Cer et al. 2017, SemEval-2017 task 1, arXiv:1708.00055",
    licence="CC BY-SA 4.0 scores over text of mixed sources",
    size_hint=SizeHint(train=5_749, score=1_500, tokens=27.8),
)
