"""`study.run(…, progress=True)`: the command's own progress."""

from rich.text import Text

from finebench.bench.cli.terminal.console import make_console
from finebench.bench.cli.terminal.progress import make_progress
from finebench.bench.cli.terminal.waiting import Waiting
from finebench.bench.driver.opening import Settle
from finebench.bench.driver.options import RunOptions, RunOutcome
from finebench.bench.driver.run import run_study
from finebench.bench.scheduling.recorder import Observer
from finebench.bench.scheduling.scheduler import Scheduler
from finebench.bench.study.schema import Study


def run_shown(study: Study, options: RunOptions, settle: Settle) -> RunOutcome:
    """Run a study and show how it goes; raises what `run_study` raises."""
    console = make_console()
    waiting = Waiting(console)

    def observe(scheduler: Scheduler) -> Observer:
        waiting.stop()
        return make_progress(scheduler.plan, scheduler, console)

    try:
        outcome = run_study(study, options, observe, lambda trial, why, runs: None, settle, waiting.tell)
    finally:
        waiting.stop()
    console.print(Text(outcome.words), soft_wrap=True)
    return outcome
