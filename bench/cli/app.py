"""The `finebench` command: thin commands over the functions that do the work. Heavy imports happen inside them."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
from typer.main import get_command

from finebench.bench import __version__
from finebench.bench.cli import arguments as ask
from finebench.bench.util.places import check_home

app = typer.Typer(
    name="finebench",
    help="Which fine-tuning method, at what cost, and how sure are we?",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


RUN, LOOK, KEEP, EXTEND, SET_UP = "Run", "Look", "Keep", "Extend", "Set up"
"""Groups of commands in `--help`, in this order."""


def _load(plugins: list[str] | None) -> None:
    """Load the plugins that a command is given."""
    if plugins:
        from finebench.bench.study.plugins import load_given

        load_given(plugins)


def _example(text: str) -> str:
    return f"Example: `{text}`"


@app.callback(invoke_without_command=True)
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> None:
    if version:
        typer.echo(f"finebench {__version__}")
        raise typer.Exit
    if context.invoked_subcommand != "doctor":  # which says it as one of its findings
        check_home()


@app.command(rich_help_panel=RUN, epilog=_example("finebench run quickstart --results results/quickstart"))
def run(
    study: ask.StudyArgument,
    results: ask.NewResultsOption = None,
    model: ask.ModelOption = None,
    data: ask.DataOption = None,
    set_: ask.SetOption = None,
    trials: ask.TrialsOption = None,
    shard: ask.ShardOption = None,
    address: ask.AddressOption = None,
    debug: ask.DebugOption = False,
    why: Annotated[bool, typer.Option("--why", help="Say for each trial why it runs or is skipped.")] = False,
    keep: ask.KeepOption = "none",
    logger: ask.LoggerOption = None,
    plugin: ask.PluginOption = None,
) -> None:
    """Run what is missing of a study, and report."""
    from finebench.bench.cli.commands import run_command

    more = (trials, address, debug, why, keep, logger, plugin or [], shard)
    raise typer.Exit(run_command(study, results, model, data, set_ or [], *more))


@app.command(rich_help_panel=RUN, epilog=_example("finebench new my-study.yaml"))
def new(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path("study.yaml"),
    data: Annotated[
        Path | None, typer.Option("--data", metavar="FILE", help="A file of your own, for which a task is proposed.")
    ] = None,
) -> None:
    """Write a commented study file to start from."""
    from finebench.bench.cli.new import write_new

    written = write_new(path, data)
    typer.echo(f"wrote {written}; run it with: finebench run {shlex.quote(str(written))}")


@app.command(rich_help_panel=RUN, epilog=_example("finebench plan doering2024 --json"))
def plan(
    study: ask.StudyArgument,
    model: ask.ModelOption = None,
    data: ask.DataOption = None,
    set_: ask.SetOption = None,
    expect: ask.ExpectOption = None,
    price_per_hour: ask.PriceOption = None,
    slots: ask.SlotsOption = None,
    plugin: ask.PluginOption = None,
    as_json: ask.JsonOption = False,
) -> None:
    """Show what would run: cells, trials, trainable parameters, FLOPs, estimated time. Runs no trial."""
    from finebench.bench.cli.show import print_plan

    print_plan(study, set_ or [], model, data, plugin or [], expect or [], price_per_hour, slots, as_json)


@app.command(
    rich_help_panel=RUN,
    epilog=_example(
        "finebench slurm doering2024 --nodes 4 --time 8:00:00 --gpus-per-node 4 --out run.sh -- --keep best"
    ),
)
def slurm(
    study: ask.StudyArgument,
    nodes: Annotated[int, typer.Option(min=1, metavar="N", help="Nodes of the job.")],
    time: Annotated[str, typer.Option(metavar="TIME", help="Time limit as Slurm has it: 90, 8:00:00, 1-12.")],
    options: Annotated[
        list[str] | None, typer.Argument(metavar="[-- RUN OPTIONS...]", help="Options of `finebench run`.")
    ] = None,
    partition: ask.PartitionOption = None,
    account: ask.AccountOption = None,
    gpus_per_node: ask.NodeGpusOption = None,
    cpus_per_node: ask.NodeCpusOption = None,
    sbatch: ask.SbatchOption = None,
    setup: ask.SetupOption = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Write it here [default: print it].")] = None,
) -> None:
    """Write a Slurm batch script that runs a study on several nodes, and queues itself again until it is done."""
    from finebench.bench.cli.new import write_script
    from finebench.bench.driver.slurm import SlurmJob, slurm_script

    job = SlurmJob(nodes, time, partition, account, gpus_per_node, cpus_per_node, sbatch or [])
    given = [study, *(options or [])]
    params = get_command(app).commands["run"].make_context("run", given).params  # type: ignore[attr-defined]
    script = slurm_script(study, job, options or [], params, setup or [])
    typer.echo(script.rstrip("\n") if out is None else write_script(out, script))


@app.command(rich_help_panel=LOOK, epilog=_example("finebench status results/quickstart"))
def status(
    results: ask.ResultsArgument,
    watch: ask.WatchOption = False,
    plugin: ask.PluginOption = None,
    as_json: ask.JsonOption = False,
) -> None:
    """Counts by status, per cell; safe while a run is going on."""
    from finebench.bench.cli.show import print_status

    _load(plugin)
    print_status(results, watch, as_json)


@app.command(rich_help_panel=LOOK, epilog=_example("finebench report results/quickstart"))
def report(
    results: ask.ResultsArgument,
    out: ask.ReportOption = None,
    price_per_hour: ask.PriceOption = None,
    check_claims: ask.CheckClaimsOption = False,
    open_: Annotated[bool, typer.Option("--open", help="Open the report in a web browser.")] = False,
    plugin: ask.PluginOption = None,
    as_json: ask.JsonOption = False,
) -> None:
    """Write the variance and efficiency report of a results folder."""
    from finebench.bench.cli.commands import report_command

    _load(plugin)
    raise typer.Exit(report_command(results, out, price_per_hour, check_claims, open_, as_json))


@app.command(rich_help_panel=LOOK, epilog=_example("finebench trial results/quickstart 1f0c2a9b"))
def trial(results: ask.ResultsArgument, trial_id: ask.IdArgument, as_json: ask.JsonOption = False) -> None:
    """Show all that is stored of one trial, and the command that runs it again."""
    from finebench.bench.cli.one_trial import print_trial

    print_trial(results, trial_id, as_json)


@app.command(rich_help_panel=LOOK, epilog=_example("finebench compare results/main results/branch --out comparison"))
def compare(
    results_a: ask.ResultsArgument,
    results_b: ask.ResultsArgument,
    out: ask.ComparisonOption = None,
    plugin: ask.PluginOption = None,
    as_json: ask.JsonOption = False,
) -> None:
    """Two results folders side by side, with intervals for what changed from the first to the second."""
    from finebench.bench.cli.compare import compare_command

    _load(plugin)
    raise typer.Exit(compare_command(results_a, results_b, out, as_json))


@app.command(rich_help_panel=RUN, epilog=_example("finebench rerun results/quickstart 1f0c2a9be37d55aa0c11"))
def rerun(
    results: ask.ResultsArgument,
    trial_id: ask.IdArgument,
    plugin: ask.PluginOption = None,
    as_json: ask.JsonOption = False,
) -> None:
    """Run one trial again, in this process, and say whether its score is bit-equal."""
    from finebench.bench.cli.rerun import rerun_command

    _load(plugin)
    raise typer.Exit(rerun_command(results, trial_id, as_json))


@app.command(rich_help_panel=KEEP, epilog=_example("finebench verify results/quickstart"))
def verify(results: ask.ResultsArgument, plugin: ask.PluginOption = None, as_json: ask.JsonOption = False) -> None:
    """Check a results folder: files, ids, duplicates, counts. Exit code 0 where it is sound, else 3."""
    from finebench.bench.cli.upkeep import verify_command

    _load(plugin)
    raise typer.Exit(verify_command(results, as_json))


@app.command(rich_help_panel=KEEP, epilog=_example("finebench compact results/quickstart"))
def compact(results: ask.ResultsArgument, as_json: ask.JsonOption = False) -> None:
    """Merge a results folder's many small files into few; loses nothing, also when it is killed."""
    from finebench.bench.cli.upkeep import compact_command

    raise typer.Exit(compact_command(results, as_json))


@app.command(
    rich_help_panel=KEEP,
    epilog=_example("finebench merge results/quickstart-1of2 results/quickstart-2of2 --into results/quickstart"),
)
def merge(
    results: Annotated[list[str], typer.Argument(metavar="RESULTS...", help="Folders or URIs of one study.")],
    into: Annotated[str, typer.Option(metavar="OUT", help="Folder or URI to copy into; it may hold some already.")],
    plugin: ask.PluginOption = None,
    as_json: ask.JsonOption = False,
) -> None:
    """Copy the trials of several results folders of one study into one; refuses folders that contradict each other."""
    from finebench.bench.cli.upkeep import merge_command

    _load(plugin)
    raise typer.Exit(merge_command(results, into, as_json))


@app.command(rich_help_panel=EXTEND, epilog=_example("finebench methods --model google-bert/bert-base-uncased"))
def methods(
    name: ask.MethodArgument = None,
    model: ask.CountedModelOption = "embedded",
    as_json: ask.JsonOption = False,
) -> None:
    """List the registered methods, with their trainable parameters on a model; or show one."""
    if name is None:
        from finebench.bench.cli.show import print_methods

        print_methods(model, as_json)
    else:
        from finebench.bench.cli.registered import print_method

        print_method(name, model, as_json)


@app.command(rich_help_panel=EXTEND, epilog=_example("finebench tasks --json"))
def tasks(as_json: ask.JsonOption = False) -> None:
    """List the registered tasks."""
    from finebench.bench.cli.show import print_tasks

    print_tasks(as_json)


@app.command(rich_help_panel=EXTEND, epilog=_example("finebench metrics"))
def metrics(as_json: ask.JsonOption = False) -> None:
    """List the registered metrics."""
    from finebench.bench.cli.registered import print_metrics

    print_metrics(as_json)


@app.command(rich_help_panel=EXTEND, epilog=_example("finebench studies"))
def studies(as_json: ask.JsonOption = False) -> None:
    """List the studies that can be run by name."""
    from finebench.bench.cli.registered import print_studies

    print_studies(as_json)


@app.command(rich_help_panel=EXTEND, epilog=_example("finebench schema > finebench.schema.json"))
def schema(what: ask.SchemaArgument = "study") -> None:
    """Print a JSON schema: of the study file, for editors, or of the tables of a results folder."""
    from finebench.bench.cli.json_schema import results_schema, study_schema
    from finebench.bench.cli.terminal.console import print_json

    print_json(study_schema() if what == "study" else results_schema())


@app.command(rich_help_panel=SET_UP, epilog=_example("finebench doctor"))
def doctor(
    results: ask.PlaceOption = "results",
    clean: ask.CleanOption = False,
    as_json: ask.JsonOption = False,
) -> None:
    """Check this machine: what works, and how to fix what does not."""
    from finebench.bench.cli.show import print_doctor

    print_doctor(results, clean, as_json)
