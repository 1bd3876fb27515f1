"""A control: full fine-tuning under another name. Whatever says that it differs from `full` is wrong."""

from typing import ClassVar

from finebench.bench.methods.full import Full


class Twin(Full):
    """Trains what `full` trains."""

    name: ClassVar[str] = "twin"
    summary: ClassVar[str] = "full fine-tuning under another name"
