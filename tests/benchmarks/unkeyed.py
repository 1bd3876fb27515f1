"""A model as others train it: with torch's own dropout in place of finebench's."""

from typing import Any

from torch import nn

from finebench.bench.models.dropout import KeyedDropout


def unkeyed(model: Any) -> Any:
    """The model with torch's own dropout, since finebench's takes its masks from finebench's loop."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, KeyedDropout):
                setattr(parent, name, nn.Dropout(child.p))
    model.set_attn_implementation("sdpa")
    return model
