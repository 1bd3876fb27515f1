"""Weights & Biases: runs of a project, online or offline."""

from collections.abc import Mapping
from typing import ClassVar

from finebench.bench.driver.trackers import Tracker, curves, group, results, settings
from finebench.bench.results.record import Record


class WandB(Tracker):
    """Runs of the project named like the study, grouped by configuration."""

    name = "wandb"
    package = "wandb"
    install = "finebench[wandb]"
    mend = "log in with `wandb login` or WANDB_API_KEY, or set WANDB_MODE=offline"
    environment: ClassVar[Mapping[str, str]] = {
        "WANDB_SILENT": "true",
        "WANDB_CONSOLE": "off",  # it would read what this process prints
    }

    def __init__(self, study: str, results: str) -> None:
        super().__init__(study, results)
        import wandb

        offline = wandb.setup().settings.mode in ("offline", "dryrun", "disabled")
        if not offline and not wandb.login():  # which asks nobody: there is no terminal here
            raise RuntimeError("no login: run `wandb login`, set WANDB_API_KEY, or set WANDB_MODE=offline")

    def log(self, record: Record) -> None:
        """Settings, curves and results."""
        import wandb

        trial, common = record.trial, group(record)
        with wandb.init(
            project=self.study, group=common, job_type=trial["stage"], name=trial["trial_id"], config=settings(record)
        ) as run:
            for step, values in curves(record).items():
                run.log(values, step=step)
            run.summary.update(results(record))
