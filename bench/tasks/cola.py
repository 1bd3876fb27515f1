"""CoLA: is an English sentence acceptable to a native speaker?"""

from finebench.bench.tasks import SizeHint, Task
from finebench.bench.tasks._glue import glue

TASK = Task(
    name="cola",
    kind="classification",
    text=("sentence",),
    label="label",
    metrics=("mcc",),
    source=glue("cola"),
    summary="is an English sentence acceptable to a native speaker?",
    reference="Warstadt, Singh and Bowman 2019 (TACL 7), arXiv:1805.12471",
    licence="research use; sentences from published linguistics, fair use",
    labels=("unacceptable", "acceptable"),
    size_hint=SizeHint(train=8_551, score=1_043, tokens=11.3),
)
