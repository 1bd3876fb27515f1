"""MNLI, mismatched: trained as MNLI, scored on genres that train does not have."""

from finebench.bench.tasks import SizeHint, Task
from finebench.bench.tasks._glue import glue

TASK = Task(
    name="mnli-mm",
    kind="classification",
    text=("premise", "hypothesis"),
    label="label",
    metrics=("accuracy",),
    source=glue("mnli", validation="validation_mismatched"),
    summary="trained as MNLI, scored on genres that train does not have",
    reference="Williams, Nangia and Bowman 2018 (NAACL), arXiv:1704.05426",
    licence="OANC, CC BY-SA 3.0 and CC BY 3.0 by source",
    labels=("entailment", "neutral", "contradiction"),
    size_hint=SizeHint(train=392_702, score=9_832, tokens=39),
)
