"""WNLI: does a sentence follow once its pronoun is replaced? Train and validation are adversarial to each other."""

from finebench.bench.tasks import SizeHint, Task
from finebench.bench.tasks._glue import glue

TASK = Task(
    name="wnli",
    kind="classification",
    text=("sentence1", "sentence2"),
    label="label",
    metrics=("accuracy",),
    source=glue("wnli"),
    summary="does a sentence follow once its pronoun is replaced? Train and validation are adversarial to each other",
    reference="Levesque, Davis and Morgenstern 2012 (KR), recast by Wang et al. 2019, arXiv:1804.07461",
    licence="CC BY 4.0",
    labels=("not_entailment", "entailment"),
    size_hint=SizeHint(train=635, score=71, tokens=37),
)
