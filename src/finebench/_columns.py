"""The columns of frames that may have no row: they are there all the same, as a script that reads them needs."""

_INTERVALS = ("", "_low", "_high")
_PLACE = ("task", "fraction", "budget_label")


def _with_intervals(*names: str) -> tuple[str, ...]:
    return tuple(name + end for name in names for end in _INTERVALS)


PAIRS = (
    *_PLACE, "metric", "a", "b", "score_a", "score_b", "difference", "low", "high", "pairs", "interval", "p",
    *_with_intervals("superiority"), "superiority_interval", "superiority_p", "order_bound", "order_note", "why",
    "p_holm", "family", "superiority_p_holm", "verdict",
)  # fmt: skip

EFFICIENCY = (
    *_PLACE, "method", "setting", "score", "trainable_params", "encoder_params", "head_params", "total_params",
    "delta_bytes", "shared", "device", "n", "why",
    *_with_intervals("train_seconds", "examples_per_second", "peak_memory_bytes", "peak_allocated_bytes", "train_flops",
                     "energy_joules"),
    "reference",
    *_with_intervals("x_encoder_params", "x_delta_bytes", "x_train_seconds", "x_peak_memory_bytes", "x_train_flops",
                     "x_energy_joules"),
)  # fmt: skip

CLAIMS = (
    "id", "says", "a", "b", "statement", "note", "fraction", "margin", "factor", "cost", "over", "given", "scale",
    "reference", "verdict", "reason", "quantity", "task", "estimate", "low", "high", "level", "test", "pairs", "p",
    "p_adjusted", "p_against", "p_against_adjusted", "seeds_to_settle", "seeds_low", "seeds_high", "settling",
    "missing", "choice", "effect_size", "effect_low", "effect_high", "effect_margin", "filled_verdict", "command",
    "collapsed", "tasks", "task_names", "budget_label",
)  # fmt: skip

COLUMNS = {"pairs": PAIRS, "efficiency": EFFICIENCY, "claims": CLAIMS}
"""By name of the report's frame, in no order; the columns of a budget (`budget_…`) are those of its units, and so not
known where there is none."""
