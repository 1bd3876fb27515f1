"""Arguments and options that several commands share, and what a shell completes for them."""

from pathlib import Path
from typing import Annotated

import typer


def complete_study(incomplete: str) -> list[str]:
    """Names of studies that begin so; where there are none, the shell completes file names."""
    from finebench.bench.study.load import known_studies

    return [name for name in known_studies() if name.startswith(incomplete)]


def complete_method(incomplete: str) -> list[str]:
    """Names of methods that begin so; a family is completed up to its colon."""
    from finebench.bench.methods import methods

    return [name for name in methods() if name.startswith(incomplete)]


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
    str, typer.Argument(metavar="ID", help="The trial's id, or its beginning where no other one begins so.")
]
ModelOption = Annotated[str | None, typer.Option(metavar="MODEL", help="Hub id or folder; replaces the study's model.")]
DataOption = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Read GLUE tasks from DIR/TASK/{train,validation}.parquet, not from the hub."),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override: key.path=value (repeatable).")
]
PluginOption = Annotated[
    list[str] | None,
    typer.Option("--plugin", metavar="FILE", help="File of a plugin that a stored study rests on (repeatable)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]

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
        help="Also log trials with this tracker: tensorboard, mlflow, wandb, or one that "
        "is installed as an entry point.",
    ),
]

# Of `slurm`.
PartitionOption = Annotated[str | None, typer.Option(metavar="NAME", help="Partition.")]
AccountOption = Annotated[str | None, typer.Option(metavar="NAME", help="Account.")]
NodeGpusOption = Annotated[int | None, typer.Option(min=1, metavar="N", help="GPUs of each node.")]
NodeCpusOption = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="CPUs of each node [default: whole nodes].")
]
SbatchOption = Annotated[
    list[str] | None, typer.Option(metavar="OPTION", help="Another option of sbatch: --qos=long (repeatable).")
]
SetupOption = Annotated[
    list[str] | None, typer.Option(metavar="LINE", help="A line of shell to begin with: module load cuda (repeatable).")
]
