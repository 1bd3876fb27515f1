"""CoLA: is an English sentence acceptable to a native speaker?"""

from bench.tasks import Task
from bench.tasks._glue import glue

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
)
