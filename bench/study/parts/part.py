"""What every part of a study is: closed to unknown keys, frozen, strict about types."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Base of all parts of a study."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)
