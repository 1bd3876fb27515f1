"""Arguments and options that several commands share, and what a shell completes for them."""

from pathlib import Path
from typing import Annotated, Literal

import typer


def complete_study(incomplete: str) -> list[str]:
    """Names of studies that begin so; where there are none, the shell completes file names."""
    from finebench.bench.study.load import known_studies

    return [name for name in known_studies() if name.startswith(incomplete)]


def complete_method(incomplete: str) -> list[str]:
    """Names of methods that begin so; a family is completed up to its colon."""
    from finebench.bench.methods import methods

    return [name for name in methods() if name.startswith(incomplete)]


def complete_set(incomplete: str) -> list[str]:
    """`key=` of the study's keys that begin so, and after `tasks=` a list of tasks, one after the other.

    bash takes an equals sign for the end of a word, and completes keys alone.
    """
    from finebench.bench.study.schema import Study
    from finebench.bench.tasks import tasks

    key, equals, value = incomplete.partition("=")
    if equals:
        before, comma, last = value.removeprefix("[").rpartition(",")
        started = [one.strip() for one in before.split(",")]
        fitting = [name for name in tasks() if name.startswith(last.strip()) and name not in started]
        return [f"{key}=[{before}{comma}{name}" for name in fitting] if key == "tasks" else []
    parts = {name: getattr(type(field.default), "model_fields", {}) for name, field in Study.model_fields.items()}
    keys = [name for one, inner in parts.items() for name in (one, *(f"{one}.{deeper}" for deeper in inner))]
    return [f"{one}=" for one in keys if one.startswith(incomplete)]


def complete_trial(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of a results folder's trials that begin so; of one on this machine, since a store elsewhere takes seconds."""
    results = str(context.params.get("results") or "")
    if not Path(results).is_dir():
        return []
    from finebench.bench.results.folder import ResultsFolder
    from finebench.bench.util.errors import InputError

    try:
        rows = list(ResultsFolder(results).finished({}, ("trial_id", "status")))
    except InputError:  # the command itself says what is wrong; a shell that completes has no place for it
        return []
    return sorted({one for table in rows for one in table["trial_id"].to_pylist() if one.startswith(incomplete)})


StudyArgument = Annotated[
    str,
    typer.Argument(
        metavar="STUDY", autocompletion=complete_study, help="A study file, or the bare name of a built-in study."
    ),
]
ResultsArgument = Annotated[
    str, typer.Argument(metavar="RESULTS", help="A results folder: a path, or a URI such as s3://bucket/folder.")
]
IdArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        autocompletion=complete_trial,
        help="The trial's id, or its beginning where no other one begins so.",
    ),
]
ModelOption = Annotated[str | None, typer.Option(metavar="MODEL", help="Hub id or folder; replaces the study's model.")]
DataOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Read GLUE tasks from DIR/TASK/{train,validation}.parquet, not from the hub."),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", autocompletion=complete_set, help="Override: key.path=value (repeatable)."
    ),
]
PluginOption = Annotated[
    list[str] | None,
    typer.Option(
        "--plugin",
        metavar="FILE",
        help="File of a plugin that a stored study rests on, or of a tracker, claim kind or table (repeatable).",
    ),
]
WatchOption = Annotated[
    bool,
    typer.Option(
        "--watch", help="Show changes until the run ends, wherever it runs: redrawn, or piped a line for each."
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
PriceOption = Annotated[float | None, typer.Option(min=0, max=1e9, metavar="PRICE", help="Price of one machine hour.")]
SlotsOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=100_000,
        metavar="N",
        help="Also the time on N slots, by simulating a run: places for a trial, with cores like those here.",
    ),
]
ExpectOption = Annotated[
    list[str] | None,
    typer.Option(
        metavar="RESULTS|[CLAIM=]EFFECT,SD",
        help="Of seeds until settled: what they will cost and decide, by a pilot's results folder, or by the mean "
        "and the standard deviation of a pair's difference (repeatable). A third number is what a collapse in "
        "every run would take from a method's score.",
    ),
]

# Of `run`.
NewResultsOption = Annotated[
    str | None,
    typer.Option(metavar="RESULTS", help="Folder or URI [default: results/NAME, of a shard results/NAME-IofN]."),
]
ShardOption = Annotated[
    str | None,
    typer.Option(metavar="I/N", help="Run part I of N: for machines that no network joins; see `merge`."),
]
AddressOption = Annotated[
    str | None, typer.Option(metavar="ADDR", help="Join the Ray cluster at ADDR (auto, host:port).")
]
KeepOption = Annotated[Literal["none", "best", "all"], typer.Option(help="Trained deltas to keep, as safetensors.")]
DebugOption = Annotated[
    bool,
    typer.Option(
        "--debug",
        help="Run in this process, without Ray: one trial after another, with its method's CPUs and, unless it "
        "asks for none, a whole GPU. Pack sizes are not measured; a hang or a crash is not survived.",
    ),
]
LoggerOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Also log trials with this tracker: tensorboard, mlflow, wandb, or one of "
        "an installed package or of a --plugin.",
    ),
]

# Of `slurm`.
PartitionOption = Annotated[str | None, typer.Option(metavar="NAME", help="Partition.")]
AccountOption = Annotated[str | None, typer.Option(metavar="NAME", help="Account.")]
NodeGpusOption = Annotated[int | None, typer.Option(min=1, metavar="N", help="GPUs of each node.")]
NodeCpusOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="CPUs of each node [default: whole nodes].")
]
TrialsOption = Annotated[
    int | None,
    typer.Option(min=1, metavar="N", help="Start at most N trials, of a search whole configurations, then stop."),
]
SbatchOption = Annotated[
    list[str] | None, typer.Option(metavar="OPTION", help="Another option of sbatch: --qos=long (repeatable).")
]
SetupOption = Annotated[
    list[str] | None, typer.Option(metavar="LINE", help="A line of shell to begin with: module load cuda (repeatable).")
]

# Of `doctor`.
PlaceOption = Annotated[str, typer.Option(metavar="RESULTS", help="Where results will lie: a folder or URI.")]
CleanOption = Annotated[
    bool,
    typer.Option(
        "--clean",
        help="First remove what ended runs have left on this machine, and what of the cache was not used within a day.",
    ),
]

# Of `report` and `compare`.
ReportOption = Annotated[str | None, typer.Option(metavar="DIR", help="Where to write it [default: RESULTS/report].")]
CheckClaimsOption = Annotated[bool, typer.Option("--check-claims", help="Exit with code 4 when a claim is refuted.")]
ComparisonOption = Annotated[
    str | None, typer.Option(metavar="DIR", help="Also write page, tables, figures here [default: nowhere].")
]

# Of `methods`.
MethodArgument = Annotated[
    str | None,
    typer.Argument(metavar="NAME", autocompletion=complete_method, help="Show all there is to know of one."),
]
CountedModelOption = Annotated[
    str, typer.Option(metavar="MODEL", help="Hub id or folder on which parameters are counted.")
]

# Of `schema`.
SchemaArgument = Annotated[
    Literal["study", "results"],
    typer.Argument(metavar="WHAT", help="study or results: keys of a study file, or columns of the results' tables."),
]
