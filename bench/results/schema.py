"""The results schema: three Arrow tables, the single source of truth for everything that writes or reads results.

`trials` has one row per finished trial, `evals` one per evaluation during training, `predictions` one per trial ×
scored example. Names are snake_case with SI units. What could not be measured is null, never 0. A change of what a
column means raises `SCHEMA_VERSION`; readers refuse a newer version than their own. `ADDED` are columns that a version
has got since: files without them hold nulls there.
"""

import pyarrow as pa

SCHEMA_VERSION = 2

STATUSES = ("ok", "pruned", "diverged", "oom", "timeout", "error")
STAGES = ("grid", "search", "confirm")
PRECISIONS = ("fp32", "bf16")

TRIALS = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        pa.field("study", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),  # grid | search | confirm
        pa.field("method", pa.string(), nullable=False),
        pa.field("hyperparameters", pa.string(), nullable=False),  # JSON object, lr included, defaults filled in
        pa.field("model", pa.string(), nullable=False),
        pa.field("task", pa.string(), nullable=False),
        pa.field("fraction", pa.float64(), nullable=False),
        pa.field("n_fit", pa.int64()),
        pa.field("n_select", pa.int64()),
        pa.field("seed", pa.int64(), nullable=False),  # crossed seeds: init * 10^6 + order * 10^3 + subset
        pa.field("budget", pa.string(), nullable=False),  # JSON object, e.g. {"epochs": 3, "min_steps": 200}
        pa.field("lr", pa.float64()),
        pa.field("batch_size", pa.int64()),
        pa.field("precision", pa.string()),  # one of PRECISIONS: what it was trained in
        pa.field("status", pa.string(), nullable=False),  # one of STATUSES
        pa.field("reason", pa.string()),  # why it is not ok; after an out-of-memory or a failed pack also what was done
        # name of the main metric, which rises as predictions improve: neg_log_loss for log_loss
        pa.field("metric", pa.string(), nullable=False),
        pa.field("score", pa.float64()),  # main metric on `score`, at the checkpoint chosen on `select`
        pa.field("score_last", pa.float64()),  # the same at the last step
        pa.field("select_score", pa.float64()),  # main metric on `select`, at the chosen checkpoint
        pa.field("majority_score", pa.float64()),  # main metric of the best constant predictor on `score`
        pa.field("metrics", pa.string()),  # JSON object: all metrics on `score` at the chosen checkpoint
        pa.field("trainable_params", pa.int64()),  # encoder and head
        pa.field("head_params", pa.int64()),
        pa.field("total_params", pa.int64()),
        pa.field("delta_bytes", pa.int64()),  # what must be stored per task: trained tensors, in float32
        pa.field("steps", pa.int64()),
        pa.field("examples", pa.int64()),
        pa.field("tokens", pa.int64()),  # without padding
        pa.field("train_flops", pa.float64()),
        pa.field("train_seconds", pa.float64()),
        pa.field("eval_seconds", pa.float64()),
        pa.field("startup_seconds", pa.float64()),
        # held: resident memory, on a GPU what the allocator reserved; of several ranks, the one that held most
        pa.field("peak_memory_bytes", pa.int64()),
        pa.field("peak_allocated_bytes", pa.int64()),  # on a GPU: what tensors took of that; null on a CPU
        pa.field("energy_joules", pa.float64()),
        pa.field("pack_size", pa.int64()),  # trials trained together; above 1, the six columns above are null
        # processes that trained it, each on a GPU of its own where it trains on GPUs; seconds are those of the clock
        pa.field("ranks", pa.int64()),
        pa.field("exclusive", pa.bool_()),  # measured: nothing else ran on its core or GPU (see solitude)
        pa.field("device", pa.string()),
        pa.field("hostname", pa.string()),
        pa.field("started_at", pa.timestamp("us", tz="UTC")),
        pa.field("finished_at", pa.timestamp("us", tz="UTC")),
        pa.field("versions", pa.string()),  # JSON object: package -> version
        pa.field("git_commit", pa.string()),
        pa.field("schema_version", pa.int64(), nullable=False),
    ]
)

EVALS = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        pa.field("step", pa.int64(), nullable=False),
        pa.field("examples", pa.int64(), nullable=False),
        pa.field("train_seconds", pa.float64()),
        pa.field("train_flops", pa.float64()),
        pa.field("split", pa.string(), nullable=False),  # select | score
        pa.field("loss", pa.float64()),
        pa.field("metric", pa.string(), nullable=False),
        pa.field("value", pa.float64()),
        pa.field("lr", pa.float64()),
    ]
)

PREDICTIONS = pa.schema(
    [
        pa.field("trial_id", pa.string(), nullable=False),
        pa.field("example", pa.int64(), nullable=False),  # row number in the score split
        pa.field("label", pa.float64(), nullable=False),  # class index, or the target value
        pa.field("prediction", pa.float64()),  # class index, or the predicted value
        # of each class, in the order of plan.json's names; null for regression. Schema 1 had that of the predicted
        # class alone, which is read as a list of one
        pa.field("probability", pa.list_(pa.float32())),
    ]
)

ADDED = ("precision", "peak_allocated_bytes", "ranks")
"""Nullable columns of `trials` that files of this version may lack."""

TABLES = {"trials": TRIALS, "evals": EVALS, "predictions": PREDICTIONS}
