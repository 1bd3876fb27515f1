"""SST-2: is the sentiment of a phrase from a film review positive?"""

from finebench.bench.tasks import SizeHint, Task
from finebench.bench.tasks._glue import glue

TASK = Task(
    name="sst2",
    kind="classification",
    text=("sentence",),
    label="label",
    metrics=("accuracy",),
    source=glue("sst2"),
    summary="is the sentiment of a phrase from a film review positive?",
    reference="Socher et al. 2013 (EMNLP), aclanthology.org/D13-1170",
    licence="not stated by the source",
    labels=("negative", "positive"),
    size_hint=SizeHint(train=67_349, score=872, tokens=13.3),
)
