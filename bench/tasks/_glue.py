"""Where GLUE's tasks come from: one dataset on the hub, pinned to one commit."""

from finebench.bench.tasks import Hub

REVISION = "bcdcba79d07bc864c1c254ccfcedcce55bcc9a8c"
"""Commit of nyu-mll/glue that holds every task as Parquet."""

GLUE = "Wang et al. 2019, GLUE (ICLR), arXiv:1804.07461"


def glue(config: str, validation: str = "validation") -> Hub:
    """A GLUE config; `validation` is the split that is scored."""
    return Hub("nyu-mll/glue", config, REVISION, {"train": "train", "validation": validation})
